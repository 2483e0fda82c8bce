"""The command `watch`: balances as they change, until Ctrl-C."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import MappingProxyType
from typing import Annotated, Final, NamedTuple

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from fanfold.amounts import money
from fanfold.answers import AccountStatus, BalanceChange, ConnectionState
from fanfold.api.problems import PROBLEMS
from fanfold.cli.asking import DEFAULT_URL, ConnectionTold, Url, check_url, run
from fanfold.cli.output import complain, is_terminal, say_next
from fanfold.cli.sheet import Column, Sheet
from fanfold.cli.watch_topic import draw_topic, print_topic
from fanfold.client import Client

REDRAWS_PER_SECOND: Final = 10
"""More the eye does not see; the newest balance of an account replaces the one not drawn yet."""

NO_STATUSES: Final[Mapping[str, AccountStatus]] = MappingProxyType({})

COLUMNS: Final = (
    Column("account", folds=True),
    Column("asset"),
    *(Column(name, right=True) for name in ("posted", "held", "available", "version")),
    Column("changed at"),
)


def watch(
    accounts: Annotated[list[str] | None, typer.Argument(metavar="ACCOUNT", help="ids of accounts")] = None,
    url: Url = DEFAULT_URL,
    topic: Annotated[str | None, typer.Option(help="a topic in the place of accounts", metavar="NAME")] = None,
    prefix: Annotated[
        str | None, typer.Option(help="every account whose id begins so, in the place of accounts", metavar="TEXT")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object for every change")] = False,
) -> None:
    """Watch balances, or a topic, live until Ctrl-C. Connects again by itself.

    On a terminal it draws a table that changes; in a pipe it prints a line for every change. An account that is not open yet, or
    that cannot be read, is told as such (in a pipe on standard error) and shown as soon as it can be.

    A topic is what the question of a projection is answered with (FANFOLD_TOPICS of the service): every row each time, in a pipe
    as a JSON object a line.

    Examples:

      fanfold watch alice bob

      fanfold watch alice --json | jq .posted

      fanfold watch --prefix shop:

      fanfold watch --topic leaderboard
    """
    if [bool(accounts), topic is not None, prefix is not None].count(True) != 1:
        raise typer.BadParameter("name accounts, one --prefix, or one --topic", param_hint="ACCOUNT")
    if prefix == "":
        raise typer.BadParameter("must not be empty", param_hint="--prefix")
    address, accounts = check_url(url), list(dict.fromkeys(accounts or ()))
    wanted = _Wanted(accounts, prefix or "")
    if topic is not None:
        run(draw_topic(address, topic) if is_terminal() and not as_json else print_topic(address, topic))
    elif as_json or not is_terminal():
        run(_print_changes(address, wanted, as_json))
    else:
        run(_draw_changes(address, wanted))


class _Wanted(NamedTuple):
    """Accounts, or all with a prefix; "" for none."""

    accounts: list[str]
    prefix: str

    def watched(self, client: Client) -> AsyncGenerator[BalanceChange | AccountStatus | ConnectionState, None]:
        return client.watch_prefix(self.prefix) if self.prefix else client.watch_accounts(self.accounts)


async def _print_changes(url: str, wanted: _Wanted, as_json: bool) -> None:
    if not as_json:
        say_next("\t".join(column.name for column in COLUMNS))
    async with Client(url) as client, aclosing(wanted.watched(client)) as updates:
        connection = ConnectionTold()
        async for update in updates:
            if isinstance(update, BalanceChange):
                say_next(json.dumps(update._asdict()) if as_json else "\t".join(_cells(update.account, update)))
            elif isinstance(update, AccountStatus):
                complain(status_line(update))
            else:
                connection.tell(update)


async def _draw_changes(url: str, wanted: _Wanted) -> None:
    newest: dict[str, BalanceChange] = {}
    statuses: dict[str, AccountStatus] = {}
    state = ConnectionState(False, "connecting")
    console = Console(highlight=False)

    def drawn() -> Text:
        accounts = sorted(newest.keys() | statuses.keys()) if wanted.prefix else wanted.accounts
        lines = drawing(accounts, newest, state, console.width, console.height, statuses)
        return Text("\n".join(lines), no_wrap=False)

    with Live(console=console, get_renderable=drawn, refresh_per_second=REDRAWS_PER_SECOND):
        async with Client(url) as client, aclosing(wanted.watched(client)) as updates:
            async for update in updates:
                if isinstance(update, BalanceChange):
                    newest[update.account] = update
                    statuses.pop(update.account, None)
                elif isinstance(update, AccountStatus):
                    statuses[update.account] = update
                    if update.code is None:
                        del statuses[update.account]
                else:
                    state = update


def drawing(
    accounts: list[str],
    newest: dict[str, BalanceChange],
    state: ConnectionState,
    width: int,
    height: int,
    statuses: Mapping[str, AccountStatus] = NO_STATUSES,
) -> list[str]:
    """The table as lines, and under it whether it is live. Accounts for which there is no room are counted, never cut.

    statuses: of those of which nothing is told; of the accounts in the table each has a line.
    """
    last = f"live: {state.reason}" if state.live else f"NOT live: {state.reason}"
    for shown in range(len(accounts), 0, -1):
        rows = [_cells(account, newest.get(account)) for account in accounts[:shown]]
        left = len(accounts) - shown
        more = [f"and {left} more accounts: make the window taller, or use --json"] if left else []
        notes = [status_line(statuses[account]) for account in accounts[:shown] if account in statuses]
        lines = [*Sheet(COLUMNS, rows).lines(width), *notes, *more, last]
        if sum(max(1, -(-len(line) // width)) for line in lines) < height or shown == 1:
            return lines
    return [last]


def status_line(status: AccountStatus) -> str:
    """Why nothing is told of an account, and what follows."""
    if status.code is None:
        return f"{status.account}: read again, and up to date"
    if status.code == "account_not_found":
        return f"{status.account}: not open yet ({status.code}); shown once it is"
    title = PROBLEMS[status.code].title if status.code in PROBLEMS else "It cannot be read now"
    return f"{status.account}: {title} ({status.code}); shown once it can be read"


def _cells(account: str, now: BalanceChange | None) -> tuple[str, ...]:
    if now is None:
        return (account, *["-"] * (len(COLUMNS) - 1))
    amounts = (money(amount, now.asset) for amount in (now.posted, now.held, now.available))
    return (account, now.asset, *amounts, str(now.version), now.at)
