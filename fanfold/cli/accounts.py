"""Commands about accounts: `open`, `balance`, `system`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final, TypeVar

import typer

from fanfold.amounts import money
from fanfold.answers import Refusal, SystemState
from fanfold.cli.asking import DEFAULT_URL, AsJson, Url, ask, fail, fail_refused, told_detail
from fanfold.cli.moving import Units, sheet_of
from fanfold.cli.output import complain, laid_out, say
from fanfold.cli.sheet import Column, Sheet
from fanfold.client import Client

T = TypeVar("T")


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
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object a line")] = False,
) -> None:
    """Show accounts as they are. Ends with 1 when one of them is not there.

    Examples:

      fanfold balance alice bob

      fanfold balance alice --min-position 0:17 --json
    """
    states, refused = _ask_each(url, accounts, lambda client, name: client.balance(name, min_position=min_position))
    if states:
        lines = "\n".join(json.dumps(asdict(state)) for state in states)
        say(lines if as_json else laid_out(sheet_of(states)))
    if refused:
        fail("\n".join(refused))


def _ask_each(
    url: str, names: Sequence[str], question: Callable[[Client, str], Awaitable[T | Refusal]]
) -> tuple[list[T], list[str]]:
    """What is answered of each, one after the other; and of those that are refused a sentence."""

    async def each(client: Client) -> list[T | Refusal]:
        return [await question(client, name) for name in names]

    answers = list(zip(names, ask(url, each), strict=True))
    refused = [f"{name}: {no.title} ({no.code}). {told_detail(no)}" for name, no in answers if isinstance(no, Refusal)]
    return [answer for _, answer in answers if not isinstance(answer, Refusal)], refused


SYSTEM_COLUMNS: Final = (
    Column("partition", right=True),
    Column("asset"),
    *(Column(name, right=True) for name in ("@world", "@transit", "all accounts")),
    Column("position"),
)


def system(
    assets: Annotated[list[str], typer.Argument(metavar="ASSET", help="assets, such as USD/2")],
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object a line")] = False,
) -> None:
    """Show the trial balance of an asset: what came from outside, what is in flight, what all accounts hold.

    The three sum to zero in every partition and in all. @world has given what it is short of; @transit holds what is on its way
    between partitions. Each partition is read at the position beside it. Zeros of an asset that no account
    has are told as such.

    Examples:

      fanfold system USD/2 EUR/2
    """
    found, refused = _ask_each(url, assets, lambda client, asset: client.system(asset))
    if found:
        lines = "\n".join(json.dumps(_system_document(state)) for state in found)
        say(lines if as_json else laid_out(system_sheet_of(found)))
    for state in found:
        if not state.known:
            complain(f"{state.asset}: no account has it. Assets are written as they were opened, such as USD/2.")
    if refused:
        fail("\n".join(refused))


def system_sheet_of(states: Sequence[SystemState]) -> Sheet:
    rows = []
    for state in states:
        each = [(str(one.partition), one.world, one.transit, one.position) for one in state.partitions]
        every = [("all", state.world, state.transit, state.positions)]
        for partition, world, transit, position in each if len(each) == 1 else each + every:
            amounts = (money(amount, state.asset) for amount in (world, transit, -world - transit))
            rows.append((partition, state.asset, *amounts, position))
    return Sheet(SYSTEM_COLUMNS, rows)


def _system_document(state: SystemState) -> dict[str, Any]:
    parts = [each._asdict() for each in state.partitions]
    return {name: value for name, value in state._asdict().items() if name != "known"} | {"partitions": parts}
