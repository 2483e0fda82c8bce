"""What commands that move or hold money have in common: their options, and how they tell what came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final, NamedTuple, NoReturn, cast, get_args

import typer

from fanfold.amounts import BadAmount, BadAsset, money, units_of, with_units
from fanfold.answers import Refusal
from fanfold.api.answers.accounts import AccountState
from fanfold.api.answers.commands import Moved, Pending
from fanfold.api.ids import new_id
from fanfold.api.questions import WAIT_SECONDS_MAX
from fanfold.api.request_parts import Leg
from fanfold.api.requests import Command, Hold, HoldBetween, LegsTransfer, Transfer
from fanfold.api.values import told_of
from fanfold.api.words.beside import Across
from fanfold.cli.asking import DEFAULT_URL, NOT_ANSWERED, AsJson, Url, ask, fail, fail_refused
from fanfold.cli.output import laid_out, say
from fanfold.cli.sheet import Column, Sheet

BEGUN: Final = 3
"""Exit code: it is under way between partitions, and was not over when the answer was due."""


def legs_instead_of(arguments: str) -> Any:
    """The option --leg of a command that else has these arguments."""
    told = f"instead of {arguments}, twice or more: minus gives, plus receives, such as alice=-12.50:USD/2"
    return typer.Option("--leg", metavar="ACCOUNT=AMOUNT:ASSET", help=told)


_MINOR: Final = " Whole minor units are typed with --minor."


@dataclass(frozen=True)
class Units:
    """How amounts are typed."""

    minor: Annotated[
        bool, typer.Option("--minor", help="amounts are whole minor units (cents): 1250 of USD/2 is 12.50 dollars")
    ] = False

    def of(self, text: str, name: str, asset: str, asset_name: str = "ASSET") -> int:
        """Minor units; ends the command, before anything is asked, when the text is no amount. The names are told."""
        try:
            return units_of(text, asset, minor=self.minor)
        except BadAsset:
            fail_typed(f"{asset_name} must be a code with its decimals, such as USD/2. Nothing was asked.")
        except BadAmount as bad:
            hint = " Without --minor amounts are typed as they are shown." if self.minor else _MINOR
            fail_typed(f"{name} {bad}. Nothing was asked.{hint}")

    def legs_of(self, texts: Sequence[str]) -> list[Leg]:
        return [self._leg(text) for text in texts]

    def _leg(self, text: str) -> Leg:
        account, _, rest = text.partition("=")
        amount, _, asset = rest.partition(":")
        if not (account and amount and asset):
            fail_typed("--leg must be ACCOUNT=AMOUNT:ASSET, such as alice=-12.50:USD/2.")
        return Leg(account, self.of(amount, "the amount of --leg", asset, "the asset of --leg"), asset)


class Between(NamedTuple):
    """An amount from one account to another, in minor units."""

    from_: str
    to: str
    amount: int
    asset: str


@dataclass(frozen=True)
class Movement:
    """What is to be moved: an amount from one account to another, or legs."""

    debit: Annotated[str | None, typer.Argument(metavar="FROM", help="account that gives; @world for a deposit")] = None
    credit: Annotated[
        str | None, typer.Argument(metavar="TO", help="account that receives; @world for a withdrawal")
    ] = None
    amount: Annotated[
        str | None, typer.Argument(metavar="AMOUNT", help="as it is shown: 12.50 of USD/2; 1000 is 1000.00")
    ] = None
    asset: Annotated[str | None, typer.Argument(metavar="ASSET", help="what is moved, such as USD/2")] = None
    legs: Annotated[list[str] | None, legs_instead_of("FROM TO AMOUNT ASSET")] = None

    def moved(self, units: Units) -> Between | list[Leg]:
        """As it was typed, so that a refusal names what was. Ends the command when it is neither, or both."""
        if self.legs:
            if self.debit is not None:
                fail_typed("Give either FROM TO AMOUNT ASSET or --leg, not both.")
            return units.legs_of(self.legs)
        if self.debit is None or self.credit is None or self.amount is None or self.asset is None:
            fail_typed("FROM, TO, AMOUNT and ASSET are needed, or --leg twice or more.")
        amount = units.of(self.amount, "AMOUNT", self.asset)
        if amount <= 0:
            fail_typed("AMOUNT must be positive: FROM gives, TO receives.")
        return Between(self.debit, self.credit, amount, self.asset)


@dataclass(frozen=True)
class Note:
    """What is kept with a command and given back with its outcome."""

    reference: Annotated[str | None, typer.Option(help="a text of yours to find it by")] = None
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="NAME=TEXT", help="kept with it; may be given again")
    ] = None

    def texts(self) -> dict[str, str] | None:
        if not self.metadata:
            return None
        split = [pair.partition("=") for pair in self.metadata]
        if any(not name or not equals for name, equals, _ in split):
            fail_typed("--metadata must be NAME=TEXT.")
        return {name: text for name, _, text in split}


@dataclass(frozen=True)
class HowAcross:
    """How a command is run whose accounts live in different partitions, and how long it may take."""

    protocol: Annotated[
        str | None, typer.Option(help="saga (default) or tcc, for accounts in different partitions")
    ] = None
    wait: Annotated[int | None, typer.Option(help="seconds to wait for a transfer across partitions, 0 to 30")] = None

    def named(self) -> Across | None:
        if self.protocol not in (None, *get_args(Across)):
            fail_typed(f"--protocol must be {' or '.join(get_args(Across))}.")
        return cast("Across | None", self.protocol)


@dataclass(frozen=True)
class HowAsked:
    """By which id a command is asked, of which service, for real or not, and how its answer is told."""

    id: Annotated[str | None, typer.Option(help="UUID of this command: it never runs twice (default: a new one)")] = (
        None
    )
    dry_run: Annotated[bool, typer.Option("--dry-run", help="tell what would become of it; change nothing")] = False
    url: Url = DEFAULT_URL
    as_json: AsJson = False

    def command_id(self) -> str:
        return new_id() if self.id is None else self.id

    def ask_and_tell(self, command: Command, wait: int | None = None, *, moves: str | None = None) -> None:
        """Ask the service and print what came of it; ends with 1 when it is refused, with 3 when it is not over.

        moves: what it moves, for the eye, where the command itself does not say it.
        """
        if wait is not None and not 0 <= wait <= WAIT_SECONDS_MAX:
            fail_typed(f"--wait must be 0 to {WAIT_SECONDS_MAX} seconds.")
        answer = ask(
            self.url,
            lambda client: client.ask(command, dry_run=self.dry_run, wait_seconds=wait),
            may_be_done=None if self.dry_run else f"It may have been done. {_asked_again(command.id)}",
        )
        if isinstance(answer, Refusal):
            fail_refused(answer, _asset_of(command))
        text = json.dumps(_document(answer)) if self.as_json else _told(answer, moves or _moves(command))
        if isinstance(answer, Pending):
            say(text, changed=True, code=BEGUN)
            raise typer.Exit(BEGUN)
        say(text, changed=not self.dry_run)


def fail_typed(sentence: str) -> NoReturn:
    """End the command because of how it was typed: nothing was asked."""
    fail(sentence, NOT_ANSWERED)


COLUMNS: Final = (
    Column("account", folds=True),
    Column("asset"),
    *(Column(name, right=True) for name in ("posted", "held", "available", "floor", "version")),
    Column("position"),
)
FLAGS: Final = Column("flags", folds=True)
MOMENT: Final = (Column("changed at"), Column("final"), Column("block hash"))
"""As of a moment: when that version was made, whether nothing more of that moment can come, the block at `position`."""


def sheet_of(states: Sequence[AccountState]) -> Sheet:
    """Accounts for the eye; a column of flags only where one has some, of the block only where they are as of a moment."""
    flagged, past = any(state.flags for state in states), any(state.block_hash for state in states)
    rows = []
    for state in states:
        amounts = (state.posted, state.held, state.available, state.floor)
        shown = (money(amount, state.asset) for amount in amounts)
        flags = [", ".join(state.flags or ())] if flagged else []
        moment = [state.at, "yes" if state.final else "no", state.block_hash or ""] if past else []
        rows.append((state.account, state.asset, *shown, str(state.version), state.position, *flags, *moment))
    return Sheet((*COLUMNS, *(FLAGS,) * flagged, *MOMENT * past), rows)


_REPEATED: Final = "; this id ran before, and nothing moved now"


def _told(answer: Moved | Pending, moves: str | None) -> str:
    if isinstance(answer, Pending):
        lines = [
            f"under way ({answer.protocol}, {answer.phase}), position {answer.position}, id {answer.id}"
            f"{_REPEATED * answer.repeated}",
            moves,
            f"It ends by itself. {_asked_again(answer.id)}",
        ]
        return "\n".join(line for line in lines if line)
    about = "".join(
        f", {word} {id}" for word, id in (("hold", answer.hold), ("reverses", answer.reverses)) if id is not None
    )
    done = f"{answer.result}, position {answer.position}, id {answer.id}{about}{_REPEATED * answer.repeated}"
    dry = f"dry run: would be {answer.result}{about}; nothing has changed"
    lines = [dry if answer.dry_run else done, moves, laid_out(sheet_of(answer.accounts)) if answer.accounts else None]
    return "\n".join(line for line in lines if line)


def _moves(command: Command) -> str | None:
    """What a command moves, in both units: who typed one and meant the other sees it."""
    with suppress(BadAmount):
        if isinstance(command, Transfer | HoldBetween):
            return f"{with_units(command.amount, command.asset)} from {command.from_} to {command.to}"
        if not isinstance(command, LegsTransfer | Hold):
            return None
        if len(command.legs) == 2:
            debit, credit = sorted(command.legs, key=lambda leg: leg.amount)
            if debit.amount == -credit.amount and debit.asset == credit.asset:
                return f"{with_units(credit.amount, credit.asset or '')} from {debit.account} to {credit.account}"
        return "\n".join(f"{leg.account} {with_units(leg.amount, leg.asset or '')}" for leg in command.legs)
    return None


def _asset_of(command: Command) -> str | None:
    if isinstance(command, Transfer | HoldBetween):
        return command.asset
    assets = {leg.asset for leg in command.legs} if isinstance(command, LegsTransfer | Hold) else set()
    return assets.pop() if len(assets) == 1 else None


def _asked_again(id: str | None) -> str:
    return f"The same command with --id {id} tells what became of it, and never runs twice."


def _document(answer: Moved | Pending) -> dict[str, Any]:
    document = asdict(answer)
    del document["stale_since"]  # only a read can be old
    if isinstance(answer, Moved):
        document["accounts"] = [told_of(state) for state in answer.accounts]
    return document
