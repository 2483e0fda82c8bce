"""Commands about accounts and their money: `open`, `transfer`, `balance`, `watch`."""

from __future__ import annotations

import json
import sys
from contextlib import aclosing
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from fanfold.answers import AccountState, BalanceChange, ConnectionState, Opened, Refusal
from fanfold.cli.asking import DEFAULT_URL, AsJson, Url, check_url, fail, fail_refused, money, run
from fanfold.cli.moving import HowAcross, HowAsked, Movement, Note, states_table, whole_number
from fanfold.client import Client
from fanfold.commands import LegsTransfer

REDRAWS_PER_SECOND = 10
"""More the eye does not see; the newest balance of an account replaces the one not drawn yet."""


def open_account(
    account: Annotated[str, typer.Argument(help="id of the account")],
    asset: Annotated[str, typer.Argument(help="its one asset: code and decimals, such as USD/2")],
    floor: Annotated[str, typer.Option(help="lowest balance in minor units, or `none` for no limit")] = "0",
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Open an account, or find it open with the same terms.

    Examples:

      fanfold open alice USD/2

      fanfold open house USD/2 --floor none
    """
    lowest = None if floor == "none" else whole_number(floor, "--floor")

    async def ask() -> Opened | Refusal:
        async with Client(check_url(url)) as client:
            return await client.open_account(account, asset, floor=lowest)

    opened = run(ask(), may_be_done="It may be open. Ask again: with the same terms it is opened once.")
    if isinstance(opened, Refusal):
        fail_refused(opened)
    if as_json:
        print(json.dumps(opened._asdict()))
    else:
        print(f"{opened.account} {'was open already' if opened.existed else 'is open'}, asset {opened.asset}")


def transfer(*, movement: Movement, across: HowAcross, note: Note, asked: HowAsked) -> None:
    """Move money from one account to another, or in legs, all or nothing.

    Ends with 1 when it is refused, with 2 when nobody knows, with 3 when it is still under way between partitions.

    Examples:

      fanfold transfer @world alice 1000 USD/2

      fanfold transfer alice bob 250 USD/2 --id 01970f3e-7b1a-7c3e-8a2b-1234567890ab

      fanfold transfer --leg alice=-250:USD/2 --leg bob=240:USD/2 --leg fees=10:USD/2 --protocol tcc
    """
    command = LegsTransfer(movement.to_legs(), asked.command_id(), across.named(), note.reference, note.texts())
    asked.ask_and_tell(command, across.wait)


def balance(
    accounts: Annotated[list[str], typer.Argument(help="ids of accounts")],
    min_position: Annotated[str | None, typer.Option(help="not older than this, such as 0:17 from a transfer")] = None,
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object a line")] = False,
) -> None:
    """Show accounts as they are. Ends with 1 when one of them is not there.

    Examples:

      fanfold balance alice bob

      fanfold balance alice --min-position 0:17 --json
    """

    async def ask() -> list[AccountState | Refusal]:
        async with Client(check_url(url)) as client:
            return [await client.balance(account, min_position=min_position) for account in accounts]

    answers = run(ask())
    states = [answer for answer in answers if isinstance(answer, AccountState)]
    if as_json:
        for state in states:
            print(json.dumps(state._asdict()))
    elif states:
        Console().print(states_table(states))
    refused = [
        f"{account}: {answer.title} ({answer.code}). {answer.detail}"
        for account, answer in zip(accounts, answers, strict=True)
        if isinstance(answer, Refusal)
    ]
    if refused:
        fail("\n".join(refused))


def watch(
    accounts: Annotated[list[str], typer.Argument(help="ids of accounts")],
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object for every change")] = False,
) -> None:
    """Watch balances live until Ctrl-C. Connects again by itself.

    Examples:

      fanfold watch alice bob

      fanfold watch alice --json | jq .posted
    """
    run(_print_changes(check_url(url), accounts) if as_json else _draw_changes(check_url(url), accounts))


async def _print_changes(url: str, accounts: list[str]) -> None:
    async with Client(url) as client, aclosing(client.watch(accounts)) as updates:
        async for update in updates:
            if isinstance(update, BalanceChange):
                print(json.dumps(update._asdict()), flush=True)
            elif not update.live:
                print(f"waiting: {update.reason}", file=sys.stderr, flush=True)


async def _draw_changes(url: str, accounts: list[str]) -> None:
    newest: dict[str, BalanceChange] = {}
    state = ConnectionState(False, "connecting")
    with Live(_changes(accounts, newest, state), refresh_per_second=REDRAWS_PER_SECOND) as live:
        async with Client(url) as client, aclosing(client.watch(accounts)) as updates:
            async for update in updates:
                if isinstance(update, BalanceChange):
                    newest[update.account] = update
                else:
                    state = update
                live.update(_changes(accounts, newest, state))


def _changes(accounts: list[str], newest: dict[str, BalanceChange], state: ConnectionState) -> Table:
    table = Table(caption=f"live: {state.reason}" if state.live else f"NOT live: {state.reason}")
    for name in ("account", "asset"):
        table.add_column(name)
    for name in ("posted", "held", "available", "version"):
        table.add_column(name, justify="right")
    table.add_column("changed at")
    for account in accounts:
        now = newest.get(account)
        if now is None:
            table.add_row(account, *["-"] * 6)
            continue
        amounts = (money(amount, now.asset) for amount in (now.posted, now.held, now.available))
        table.add_row(account, now.asset, *amounts, str(now.version), now.at)
    return table
