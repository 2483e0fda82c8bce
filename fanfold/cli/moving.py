"""What commands that move or hold money have in common: their options, and how they tell what came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, NoReturn, cast

import typer
from rich.console import Console
from rich.table import Table

from fanfold.answers import AccountState, Moved, Pending, Refusal
from fanfold.cli.asking import DEFAULT_URL, NOT_ANSWERED, AsJson, Url, check_url, fail, fail_refused, money, run
from fanfold.client import Client
from fanfold.commands import Across, Command, Leg, between
from fanfold.ids import new_id

BEGUN: Final = 3
"""Exit code: it is under way between partitions, and was not over when the answer was due."""

Legs = Annotated[
    list[str] | None,
    typer.Option(
        "--leg",
        metavar="ACCOUNT=AMOUNT:ASSET",
        help="instead of FROM TO AMOUNT ASSET, twice or more: minus gives, plus receives, such as alice=-1000:USD/2",
    ),
]


@dataclass(frozen=True)
class Movement:
    """What is to be moved: an amount from one account to another, or legs."""

    debit: Annotated[str | None, typer.Argument(metavar="FROM", help="account that gives; @world for a deposit")] = None
    credit: Annotated[
        str | None, typer.Argument(metavar="TO", help="account that receives; @world for a withdrawal")
    ] = None
    amount: Annotated[str | None, typer.Argument(help="in minor units: 1000 of USD/2 is 10.00 dollars")] = None
    asset: Annotated[str | None, typer.Argument(help="what is moved, such as USD/2")] = None
    legs: Legs = None

    def to_legs(self) -> Sequence[Leg]:
        """Ends the command when it is neither, or both."""
        if self.legs:
            if self.debit is not None:
                fail_typed("Give either FROM TO AMOUNT ASSET or --leg, not both.")
            return legs_of(self.legs)
        if self.debit is None or self.credit is None or self.amount is None or self.asset is None:
            fail_typed("FROM, TO, AMOUNT and ASSET are needed, or --leg twice or more.")
        units = whole_number(self.amount, "AMOUNT")
        if units <= 0:
            fail_typed("AMOUNT must be positive: FROM gives, TO receives.")
        return between(self.debit, self.credit, units, self.asset)


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
        if self.protocol not in (None, "saga", "tcc"):
            fail_typed("--protocol must be saga or tcc.")
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

    def ask_and_tell(self, command: Command, wait: int | None = None) -> None:
        """Ask the service and print what came of it; ends with 1 when it is refused, with 3 when it is not over."""
        if wait is not None and not 0 <= wait <= 30:
            fail_typed("--wait must be 0 to 30 seconds.")

        async def ask() -> Moved | Pending | Refusal:
            async with Client(check_url(self.url)) as client:
                return await client.ask(command, dry_run=self.dry_run, wait_seconds=wait)

        answer = run(ask(), may_be_done=None if self.dry_run else f"It may have been done. {_asked_again(command.id)}")
        if isinstance(answer, Refusal):
            fail_refused(answer)
        print(json.dumps(_document(answer))) if self.as_json else _tell(answer)
        if isinstance(answer, Pending):
            raise typer.Exit(BEGUN)


def fail_typed(sentence: str) -> NoReturn:
    """End the command because of how it was typed: nothing was asked."""
    fail(sentence, NOT_ANSWERED)


def legs_of(texts: Sequence[str]) -> list[Leg]:
    return [_leg(text) for text in texts]


def whole_number(text: str, name: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        fail_typed(
            f"{name} must be a whole number of minor units, such as 1000 for 10.00 of an asset with two decimals."
        )
    return int(text)


def states_table(states: Sequence[AccountState]) -> Table:
    """Accounts for the eye; a column of flags only where one has some."""
    table = Table("account", "asset")
    for name in ("posted", "held", "available", "floor", "version"):
        table.add_column(name, justify="right")
    table.add_column("position")
    flagged = any(state.flags for state in states)
    if flagged:
        table.add_column("flags")
    for state in states:
        amounts = (state.posted, state.held, state.available, state.floor)
        shown = (money(amount, state.asset) for amount in amounts)
        flags = [", ".join(state.flags or ())] if flagged else []
        table.add_row(state.account, state.asset, *shown, str(state.version), state.position, *flags)
    return table


def _tell(answer: Moved | Pending) -> None:
    if isinstance(answer, Pending):
        print(f"under way ({answer.protocol}, {answer.phase}), position {answer.position}, id {answer.id}")
        print(f"It ends by itself. {_asked_again(answer.id)}")
        return
    about = "".join(
        f", {word} {id}" for word, id in (("hold", answer.hold), ("reverses", answer.reverses)) if id is not None
    )
    if answer.dry_run:
        print(f"dry run: would be {answer.result}{about}; nothing has changed")
    else:
        print(f"{answer.result}, position {answer.position}, id {answer.id}{about}")
    if answer.accounts:
        Console().print(states_table(answer.accounts))


def _asked_again(id: str | None) -> str:
    return f"The same command with --id {id} tells what became of it, and never runs twice."


def _document(answer: Moved | Pending) -> dict[str, Any]:
    if isinstance(answer, Pending):
        return {"result": "pending"} | answer._asdict()
    return answer._asdict() | {
        "accounts": [state._asdict() for state in answer.accounts],
        "steps": [step._asdict() for step in answer.steps],
    }


def _leg(text: str) -> Leg:
    account, _, rest = text.partition("=")
    amount, _, asset = rest.partition(":")
    if not (account and amount and asset):
        fail_typed("--leg must be ACCOUNT=AMOUNT:ASSET, such as alice=-1000:USD/2.")
    return Leg(account, whole_number(amount, "the amount of --leg"), asset)
