"""Commands about accounts: `open`, `balance`, `system`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, NamedTuple

import typer

from fanfold.amounts import money
from fanfold.answers import Refusal, SystemState
from fanfold.api.answers.accounts import AccountState
from fanfold.api.problems import PROBLEMS
from fanfold.api.questions import ACCOUNTS_MAX
from fanfold.api.values import told_of
from fanfold.cli.asking import (
    DEFAULT_URL,
    NOT_ANSWERED,
    REFUSED,
    AsJson,
    Url,
    ask,
    fail,
    fail_refused,
    refuse_system,
    stale,
    told_detail,
)
from fanfold.cli.move_options import Units, fail_typed, sheet_of
from fanfold.cli.output import complain, laid_out, say
from fanfold.cli.partitions import Unanswered, is_of_some_partitions, of_those_that_answer
from fanfold.cli.partitions import told as sentences_of
from fanfold.cli.sheet import Column, Sheet
from fanfold.client import Client, NotAnswered


def open_account(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="id of the account")],
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="its one asset: code and decimals, such as USD/2")],
    floor: Annotated[
        str, typer.Option(help="lowest balance, as it is shown, such as --floor=-500.00; or `none` for no limit")
    ] = "0",
    *,
    units: Units,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Open an account, or find it open with the same terms.

    Examples:

      fanfold open alice USD/2

      fanfold open house USD/2 --floor none
    """
    # No floor was typed: 0 is 0 of any asset, and what the asset must be the service says.
    lowest = None if floor == "none" else 0 if floor == "0" else units.of(floor, "--floor", asset)
    opened = ask(
        url,
        lambda client: client.open_account(account, asset, floor=lowest),
        may_be_done="It may be open. Ask again: with the same terms it is opened once.",
    )
    if isinstance(opened, Refusal):
        fail_refused(opened)
    if as_json:
        say(json.dumps(opened._asdict()), changed=True)
    else:
        lowest_told = "no floor" if opened.floor is None else f"floor {money(opened.floor, asset)}"
        is_open = "was open already" if opened.existed else "is open"
        say(f"{opened.account} {is_open}, asset {opened.asset}, {lowest_told}", changed=True)


def balance(
    accounts: Annotated[list[str], typer.Argument(metavar="ACCOUNT", help="ids of accounts")],
    min_position: Annotated[str | None, typer.Option(help="not older than this, such as 0:17 from a transfer")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="MOMENT",
            help="as they were: a time (UTC), positions, or of one account a version",
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object a line")] = False,
) -> None:
    """Show accounts as they are, or were. Ends with 1 when one of them is not there, and with 2 when one cannot be read now.

    As of a moment the block is told that says so, and whether that is final: it is not while something could still come that
    belongs to that time. Several accounts are asked for together then: those of a partition are of one block.

    Examples:

      fanfold balance alice bob

      fanfold balance alice --min-position 0:17 --json

      fanfold balance alice bob --as-of 2026-01-31T12:00:00Z
    """
    refuse_system(accounts)
    if as_of is not None and len(accounts) > 1:
        if len(set(accounts)) > ACCOUNTS_MAX:
            fail_typed(f"As of a moment {ACCOUNTS_MAX:,} accounts at most are told at once.")
        states, failed, code = ask(url, lambda client: _then(client, accounts, as_of, min_position))
    else:
        states, failed, code = ask(url, lambda client: _balances(client, accounts, as_of, min_position))
    if states:
        lines = "\n".join(json.dumps(told_of(state)) for state in states)
        say(lines if as_json else laid_out(sheet_of(states)))
    if failed:
        fail("\n".join(failed), code)


_Told = tuple[list[AccountState], list[str], int]
"""The accounts that are answered, a sentence for each of the others, and the exit code that they make."""


async def _then(client: Client, accounts: Sequence[str], as_of: str, min_position: str | None) -> _Told:
    """All of them as they were at one moment. Raises NotAnswered when the service does not answer."""
    names = list(dict.fromkeys(accounts))
    found, unanswered = await of_those_that_answer(
        lambda some: client.balances(names, as_of=as_of, min_position=min_position, partitions=some)
    )
    if isinstance(found, Refusal):
        fail_refused(found)
    if not found:
        raise unanswered[0][1]
    states: dict[str, AccountState] = {state.account: state for each in found for state in each.accounts}
    absent = {each.account: each.position for one in found for each in one.absent}
    failed = []
    for name in names:
        if name in absent:
            where = "before the first block" if absent[name] is None else f"at position {absent[name]}"
            failed.append(
                f"{name}: {PROBLEMS['account_not_found'].title} (account_not_found). It was not there {where}."
            )
        elif name not in states:
            failed.append(f"{name}: not answered")
    told = [states[name] for name in accounts if name in states]
    old = [f"{name}: {stale(each.stale_since)}" for name, each in states.items() if each.stale_since is not None]
    return told, failed + sentences_of(unanswered) + old, NOT_ANSWERED if unanswered or old else REFUSED


async def _balances(client: Client, accounts: Sequence[str], as_of: str | None, min_position: str | None) -> _Told:
    """Each by itself. Raises NotAnswered when the service does not answer."""

    async def one(account: str) -> AccountState | Refusal | NotAnswered:
        try:
            return await client.balance(account, as_of=as_of, min_position=min_position)
        except NotAnswered as failure:
            return failure

    # At once: one that cannot be read is tried for some seconds, and the others need not be.
    answers = list(zip(accounts, await asyncio.gather(*map(one, accounts)), strict=True))
    unanswered = [answer for _, answer in answers if isinstance(answer, NotAnswered)]
    if len(unanswered) == len(answers) and (len(answers) == 1 or not any(map(is_of_some_partitions, unanswered))):
        raise unanswered[0]
    failed = []
    for account, answer in answers:
        if isinstance(answer, Refusal):
            failed.append(f"{account}: {_sentence(answer)}")
        elif isinstance(answer, NotAnswered):
            failed.append(f"{account}: not answered ({_code(answer)}). {answer}")
    found = [answer for _, answer in answers if isinstance(answer, AccountState)]
    old = [f"{each.account}: {stale(each.stale_since)}" for each in found if each.stale_since is not None]
    return found, failed + old, NOT_ANSWERED if unanswered or old else REFUSED


def _sentence(no: Refusal) -> str:
    return f"{no.title} ({no.code}). {told_detail(no)}"


def _code(failure: NotAnswered) -> str:
    return "no answer" if failure.problem is None else str(failure.problem["code"])


SYSTEM_COLUMNS: Final = (
    Column("partition", right=True),
    Column("asset"),
    *(Column(name, right=True) for name in ("@world", "@transit", "all accounts")),
    Column("position"),
)


def system(
    assets: Annotated[list[str], typer.Argument(metavar="ASSET", help="assets, such as USD/2")],
    as_of: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="as it was: a time (UTC), or positions"),
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object a line")] = False,
) -> None:
    """Show the trial balance of an asset: what came from outside, what is in flight, what all accounts hold.

    The three sum to zero in every partition and in all. @world has given what it is short of; @transit holds what is on its way
    between partitions. Each partition is read at the position beside it. An asset that no account has is refused.
    Where a partition cannot be read, those of the others are told, and the command ends with 2.

    Examples:

      fanfold system USD/2 EUR/2

      fanfold system USD/2 --as-of 2026-01-31T12:00:00Z
    """
    told = ask(url, lambda client: _systems(client, assets, as_of))
    found = [each for each in told if isinstance(each, _System)]
    if found:
        lines = "\n".join(json.dumps(_system_document(each)) for each in found)
        states = [each.state for each in found]
        say(lines if as_json else laid_out(system_sheet_of(states, [bool(each.unanswered) for each in found])))
    for each in found:
        if not each.state.known:
            complain(
                f"{each.state.asset}: no account has it in the partitions that answer. Assets are written as they were opened, "
                "such as USD/2."
            )
    unanswered = [f"{each.state.asset}: {sentence}" for each in found for sentence in sentences_of(each.unanswered)]
    unanswered += [
        f"{each.state.asset}: partition {part.partition} is {stale(part.stale_since)}"
        for each in found
        for part in each.state.partitions
        if part.stale_since is not None
    ]
    refused = [f"{asset}: {_sentence(no)}" for asset, no in zip(assets, told, strict=True) if isinstance(no, Refusal)]
    if unanswered or refused:
        fail("\n".join(unanswered + refused), NOT_ANSWERED if unanswered else REFUSED)


class _System(NamedTuple):
    """The sums are of the partitions that answered."""

    state: SystemState
    unanswered: Unanswered


async def _systems(client: Client, assets: Sequence[str], as_of: str | None) -> list[_System | Refusal]:
    """Raises NotAnswered when no partition answers."""
    return [await _system(client, asset, as_of) for asset in assets]


async def _system(client: Client, asset: str, as_of: str | None) -> _System | Refusal:
    found, unanswered = await of_those_that_answer(lambda some: client.system(asset, partitions=some, as_of=as_of))
    if isinstance(found, Refusal):
        return found
    if not found:
        raise unanswered[0][1]
    if len(found) == 1:
        return _System(found[0], unanswered)
    whole = SystemState(
        found[0].asset,
        sum(each.world for each in found),
        sum(each.transit for each in found),
        ",".join(each.positions for each in found if each.positions),
        tuple(part for each in found for part in each.partitions),
        any(each.known for each in found),
    )
    return _System(whole, unanswered)


def system_sheet_of(states: Sequence[SystemState], in_part: Sequence[bool] = ()) -> Sheet:
    """in_part: of which states some partition is left out, none where it is empty."""
    rows = []
    for state, lacks in zip(states, in_part or [False] * len(states), strict=True):
        each = [(str(one.partition), one.world, one.transit, one.position) for one in state.partitions]
        every = [("these" if lacks else "all", state.world, state.transit, state.positions)]
        for partition, world, transit, position in each if len(each) == 1 else each + every:
            amounts = (money(amount, state.asset) for amount in (world, transit, -world - transit))
            rows.append((partition, state.asset, *amounts, position))
    return Sheet(SYSTEM_COLUMNS, rows)


def _system_document(told: _System) -> dict[str, Any]:
    """`unanswered`: the partitions whose sums are missing, only where there are any."""
    state = told.state
    parts = [{name: value for name, value in each._asdict().items() if value is not None} for each in state.partitions]
    document = {name: value for name, value in state._asdict().items() if name != "known"} | {"partitions": parts}
    if told.unanswered:
        document["unanswered"] = [{"partition": number, "code": _code(failure)} for number, failure in told.unanswered]
    return document
