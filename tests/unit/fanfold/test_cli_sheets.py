"""Tables in which no figure, id or position is ever cut: at any width, and in a pipe."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from fanfold.answers import AccountStatus, BalanceChange, ConnectionState, SystemPart, SystemState
from fanfold.api.answers.accounts import AccountState
from fanfold.api.answers.positions import PartitionNow
from fanfold.api.answers.under_way import OpenTransfer, Waiting
from fanfold.cli import accounts, import_csv, move_options, rebuild, rollback, status, transfers, verify, watch
from fanfold.cli.progress import progress_line
from fanfold.cli.sheet import Column, Sheet, fold
from tests.unit.fanfold.stub_wallet import StubWallet, running_wallet
from tests.unit.fanfold.test_cli import run

ROOT = Path(__file__).parents[3]
MOST = 10**18
AT = "2026-01-01T00:00:00.000000Z"
NAMES = ("a" * 64, "B_.:-" * 12 + "x")
ASSETS = ("PTS/0", "ABCDEFGHIJKLMNOP/18")
STATES = [
    AccountState(name, asset, -MOST, MOST, None, -MOST, 2**40, "1023:1099511627776", AT, ("debit_frozen", "closed"))
    for name, asset in zip(NAMES, ASSETS, strict=True)
]
OPEN = OpenTransfer(
    str(uuid.UUID(int=2**127)),
    "saga",
    "compensating",
    1023,
    "1023:1099511627776",
    10**9,
    (Waiting(31, 1023, "release"),) * 2,
)
SYSTEM = SystemState(
    "ABCDEFGHIJKLMNOP/18",
    -MOST,
    MOST,
    "0:1099511627776,1:5",
    (SystemPart(0, "0:5", -MOST, 0), SystemPart(1, "1:5", 0, MOST)),
)
VERDICT: Any = SimpleNamespace(
    partitions=[
        SimpleNamespace(
            partition=1023, position="1023:1099511627776", blocks=10**12, outcomes=10**15, entries=10**15, accounts=10**9,
            skipped=10**6, digest="f" * 32, problem=None,
        )
    ]
)  # fmt: skip
FAR = PartitionNow(
    1023, "1023:1099511627776", 2**40, 2**40, 2**40, 2**40, 10**15, "bytes", 10**12, 10**12, 10**12, 10**12,
    "nothing moves: its log has records that were not read for 31 s",
)  # fmt: skip
DIFFERENCE = {"account": NAMES[0], "first_version": 2**40, "column": "held", "live": -MOST, "rebuilt": MOST}
BACK = {"partition": 1023, "old_generation": 2**31, "new_generation": 2**31, "kept_at": "1023:5", "position": "1023:6"}
SHEETS = {
    "balance, transfer, hold": move_options.sheet_of(STATES),
    "transfers": transfers.sheet_of([OPEN]),
    "system": accounts.system_sheet_of([SYSTEM]),
    "verify": verify.sheet_of(VERDICT),
    "rebuild": rebuild.sheet_of([DIFFERENCE]),
    "rollback": rollback.sheet_of([BACK]),
    "status": status.sheet_of([FAR]),
}


@pytest.mark.parametrize("name", SHEETS)
@pytest.mark.parametrize("width", [20, 60, 80, 200, 400, None])
def test_every_cell_of_every_table_is_there_whole(name: str, width: int | None) -> None:
    sheet = SHEETS[name]
    lines = sheet.lines(width)
    for row in sheet.rows:
        for column, cell in zip(sheet.columns, row, strict=True):
            if not column.folds:
                assert any(cell in line for line in lines), (column.name, cell)
    if width is None:
        assert [line.split("\t") for line in lines[1:]] == [list(row) for row in sheet.rows]
    elif "" not in lines and len(lines) > len(sheet.columns):  # a table and no blocks: it fits
        assert max(map(len, lines)) <= width


@given(st.lists(st.text(alphabet="ab ", min_size=1, max_size=90), min_size=1, max_size=3), st.integers(12, 60))
def test_a_folded_name_is_there_in_full(names: list[str], width: int) -> None:
    for name in names:
        pieces = fold(name, width)
        assert all(len(piece) <= width for piece in pieces)
        assert "".join(pieces).replace(" ", "") == name.replace(" ", "")


@given(
    st.lists(
        st.tuples(st.text("xy", min_size=1, max_size=70), st.integers(0, 10**25).map(str)), min_size=1, max_size=4
    ),
    st.integers(1, 120),
)
def test_figures_are_whole_whatever_the_width(rows: list[tuple[str, str]], width: int) -> None:
    lines = Sheet((Column("name", folds=True), Column("figure", right=True)), rows).lines(width)
    figures = [found for line in lines for found in re.findall(r"(?<!\d)\d+(?!\d)", line)]
    assert figures == [figure for _, figure in rows]


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("height", [5, 24, 200])
def test_watch_draws_every_figure_whole_and_counts_the_accounts_without_room(width: int, height: int) -> None:
    accounts = [f"{'a' * 40}{number:02}" for number in range(30)]
    change = BalanceChange(accounts[0], "USD/2", 2**40, -MOST, MOST, None, AT, True)
    newest = {account: change._replace(account=account) for account in accounts}
    lines = watch.drawing(accounts, newest, ConnectionState(True, "up to date"), width, height)
    whole = "\n".join(lines)
    shown = whole.count("-10,000,000,000,000,000.00")
    assert shown >= 1
    assert whole.count(AT) == whole.count(str(2**40)) == shown
    assert ("more accounts" in whole) == (shown < 30)
    assert shown == 30 or f"and {30 - shown} more accounts" in whole
    assert lines[-1] == "live: up to date"


@pytest.fixture
def wallet(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubWallet]:
    with running_wallet() as running:
        monkeypatch.setenv("FANFOLD_URL", running.url)
        yield running


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_terminal_and_a_pipe_show_every_figure(wallet: StubWallet, width: int) -> None:
    name = "a-rather-long-name-of-an-account-as-imports-have-them"
    run("open", name, "USD/2", "--floor=-9999999999999.99")
    run("transfer", "@world", name, "9999999999999999.99", "USD/2")
    figures = ("9,999,999,999,999,999.99", "10,009,999,999,999,999.98", "-9,999,999,999,999.99", "0:1")
    told, piped = _on_a_terminal("balance", name, width=width), run("balance", name).stdout
    for figure in figures:
        assert figure in told
        assert figure in piped
    assert name in "".join(told.split())
    assert f"{name}\tUSD/2\t" in piped
    assert max(map(len, told.splitlines())) <= max(width, len(f"account    {name}"))


def _on_a_terminal(*arguments: str, width: int) -> str:
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(width), "TERM": "xterm"}
    with os.fdopen(ours, "rb", buffering=0) as screen:
        command = [sys.executable, "-m", "fanfold.cli.main", *arguments]
        with subprocess.Popen(command, stdout=theirs, cwd=ROOT, env=environment) as process:
            os.close(theirs)
            shown = b""
            try:
                while more := screen.read(65536):
                    shown += more
            except OSError:
                pass  # how a terminal says that nobody is there any more
        assert process.returncode == 0
    return shown.decode().replace("\r\n", "\n")


PROGRESS = {
    "import": (import_csv.progress_figures(), "49069/49070", "rows"),
    "rollback": (rollback.progress_figures(), "100%", "12,345,678 blocks/s"),
    "rebuild": (rebuild.progress_figures(), "100%", "12,345,678 entries/s"),
    "verify": (verify.progress_figures(), "49,069 outcomes"),
}


@pytest.mark.parametrize("width", [48, 60, 80, 200])
@pytest.mark.parametrize("name", PROGRESS)
def test_progress_cuts_no_figure(name: str, width: int) -> None:
    figures, *told = PROGRESS[name]
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    progress = progress_line("pkdd99-transactions-of-a-real-bank.csv.gz", *figures, quiet=False, console=console)
    progress.add_task("at it", total=49070, completed=49069, rate=12345678)
    console.print(progress.get_renderable())
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(figure in shown for figure in told), shown


def test_who_watches_what_is_not_there_is_told_so() -> None:
    statuses = {"nobody": AccountStatus("nobody", "account_not_found")}
    lines = watch.drawing(["alice", "nobody"], {}, ConnectionState(True, "connected"), 80, 24, statuses)
    assert "nobody: not open yet (account_not_found); shown once it is" in lines
    assert not any("alice: not open" in line for line in lines)
