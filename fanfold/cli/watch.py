"""The command `watch`: balances as they change, until Ctrl-C."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from fanfold.amounts import money
from fanfold.answers import BalanceChange, ConnectionState
from fanfold.cli.asking import DEFAULT_URL, Url, check_url, run
from fanfold.cli.output import complain, is_terminal, say_next
from fanfold.cli.sheet import Column, Sheet
from fanfold.client import Client

ABSENT: Final = "no such account yet; it is shown once it is opened"
REDRAWS_PER_SECOND: Final = 10
"""More the eye does not see; the newest balance of an account replaces the one not drawn yet."""

COLUMNS: Final = (
    Column("account", folds=True),
    Column("asset"),
    *(Column(name, right=True) for name in ("posted", "held", "available", "version")),
    Column("changed at"),
)


def watch(
    accounts: Annotated[list[str], typer.Argument(metavar="ACCOUNT", help="ids of accounts")],
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object for every change")] = False,
) -> None:
    """Watch balances live until Ctrl-C. Connects again by itself.

    On a terminal it draws a table that changes; in a pipe it prints a line for every change.

    Examples:

      fanfold watch alice bob

      fanfold watch alice --json | jq .posted
    """
    address, wanted = check_url(url), list(dict.fromkeys(accounts))
    if as_json or not is_terminal():
        run(_print_changes(address, wanted, as_json))
    else:
        run(_draw_changes(address, wanted))


async def _print_changes(url: str, accounts: list[str], as_json: bool) -> None:
    if not as_json:
        say_next("\t".join(column.name for column in COLUMNS))
    async with Client(url) as client, aclosing(client.watch(accounts)) as updates:
        waiting, absent = False, set[str]()
        async for update in updates:
            if isinstance(update, BalanceChange):
                say_next(json.dumps(update._asdict()) if as_json else "\t".join(_cells(update.account, update)))
                continue
            for account in set(update.absent) - absent:
                complain(f"{account}: {ABSENT}")
            absent |= set(update.absent)
            if not update.live:
                complain(f"waiting: {update.reason}")
                waiting = True
            elif waiting:
                # Without a change there is no line, and whoever read that it waits could not know.
                complain(f"live again: {update.reason}")
                waiting = False


async def _draw_changes(url: str, accounts: list[str]) -> None:
    newest: dict[str, BalanceChange] = {}
    state = ConnectionState(False, "connecting")
    console = Console(highlight=False)

    def drawn() -> Text:
        return Text("\n".join(drawing(accounts, newest, state, console.width, console.height)), no_wrap=False)

    with Live(console=console, get_renderable=drawn, refresh_per_second=REDRAWS_PER_SECOND):
        async with Client(url) as client, aclosing(client.watch(accounts)) as updates:
            async for update in updates:
                if isinstance(update, BalanceChange):
                    newest[update.account] = update
                else:
                    state = update


def drawing(
    accounts: list[str], newest: dict[str, BalanceChange], state: ConnectionState, width: int, height: int
) -> list[str]:
    """The table as lines, and under it whether it is live. Accounts for which there is no room are counted, never cut."""
    last = f"live: {state.reason}" if state.live else f"NOT live: {state.reason}"
    for shown in range(len(accounts), 0, -1):
        rows = [_cells(account, newest.get(account)) for account in accounts[:shown]]
        left = len(accounts) - shown
        missing = [
            f"{account}: {ABSENT}" for account in accounts[:shown] if account in state.absent and account not in newest
        ]
        more = [f"and {left} more accounts: make the window taller, or use --json"] if left else []
        lines = [*Sheet(COLUMNS, rows).lines(width), *missing, *more, last]
        if sum(max(1, -(-len(line) // width)) for line in lines) < height or shown == 1:
            return lines
    return [last]


def _cells(account: str, now: BalanceChange | None) -> tuple[str, ...]:
    if now is None:
        return (account, *["-"] * (len(COLUMNS) - 1))
    amounts = (money(amount, now.asset) for amount in (now.posted, now.held, now.available))
    return (account, now.asset, *amounts, str(now.version), now.at)
