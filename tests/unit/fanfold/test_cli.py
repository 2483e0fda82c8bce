"""The commands as a person meets them: what is printed, the exit code, and never a traceback."""

from __future__ import annotations

import ast
import json
import os
import re
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fanfold import client, http_answers
from fanfold.api.answers.accounts import AccountState
from fanfold.api.retry import Waits
from fanfold.api.values import told_of
from fanfold.cli.main import COMMANDS, KEY_COMMANDS, LOG_COMMANDS, Command, app
from tests.unit.fanfold.stub_wallet import StubWallet

ROOT = Path(__file__).parents[3]
NOBODY = "http://127.0.0.1:9"


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.output
    return result


def test_open_transfer_and_balance(wallet: StubWallet) -> None:
    assert "alice is open" in run("open", "alice", "USD/2").stdout
    assert "open already" in run("open", "alice", "USD/2").stdout
    done = run("transfer", "@world", "alice", "1234.56", "USD/2").stdout
    assert "done, position 0:2" in done
    assert "1,234.56" in done
    shown = run("balance", "alice").stdout
    assert "1,234.56" in shown
    state = json.loads(run("balance", "alice", "--json").stdout)
    assert (state["posted"], state["version"], state["floor"]) == (123456, 1, 0)


def test_transfer_with_an_id_runs_once(wallet: StubWallet) -> None:
    run("open", "alice", "USD/2", "--floor", "none")
    id = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
    first = run("transfer", "alice", "@world", "0.05", "USD/2", "--id", id, "--json").stdout
    assert run("transfer", "alice", "@world", "0.05", "USD/2", "--id", id, "--json").stdout == first
    assert json.loads(run("balance", "alice", "--json").stdout)["posted"] == -5


def _rich(*accounts: str) -> None:
    for account in accounts:
        run("open", account, "USD/2")
        run("transfer", "@world", account, "1.00", "USD/2")


def test_hold_capture_and_void(wallet: StubWallet) -> None:
    _rich("alice", "shop")
    id = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
    deadline = ("--deadline", "2030-01-01T00:00:00Z")
    assert f"held, position 0:4, id {id}" in run("hold", "alice", "shop", "0.60", "USD/2", "--id", id, *deadline).stdout
    captured = json.loads(run("capture", id, "0.25", "--reference", "order 7", "--json").stdout)
    assert (captured["result"], captured["hold"]) == ("done", id)
    assert "voided, position" in run("void", id).stdout
    assert "hold_unknown" in run("capture", id, "--final", code=1).stderr


def test_legs_move_together_and_back(wallet: StubWallet) -> None:
    _rich("alice", "bob", "fees")
    id = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
    legs = ("--leg", "alice=-0.10:USD/2", "--leg", "bob=0.09:USD/2", "--leg", "fees=0.01:USD/2")
    done = run("transfer", *legs, "--protocol", "tcc", "--metadata", "order=7", "--id", id, "--wait", "5").stdout
    assert f"done, position 0:6, id {id}" in done
    assert f"reverses {id}" in run("reverse", id).stdout
    assert json.loads(run("balance", "alice", "--json").stdout)["posted"] == 100


def test_dry_run_says_so_and_changes_nothing(wallet: StubWallet) -> None:
    _rich("alice")
    assert (
        "dry run: would be done; nothing has changed"
        in run("transfer", "alice", "@world", "0.05", "USD/2", "--dry-run").stdout
    )
    assert json.loads(run("balance", "alice", "--json").stdout)["posted"] == 100
    assert "insufficient_available" in run("transfer", "alice", "@world", "1.01", "USD/2", "--dry-run", code=1).stderr


def test_transfer_still_under_way_ends_with_3(wallet: StubWallet) -> None:
    _rich("alice", "bob")
    for form in ((), ("--json",)):
        wallet.pending_next = True
        told = run(
            "transfer", "alice", "bob", "0.05", "USD/2", "--protocol", "tcc", "--wait", "0", *form, code=3
        ).stdout
        if form:
            assert json.loads(told)["phase"] == "trying"
        else:
            assert "under way (tcc, trying)" in told
            assert "The same command with --id" in told


def test_what_is_not_told_of_an_account_is_left_out_and_not_null(wallet: StubWallet) -> None:
    run("open", "alice", "USD/2", "--floor", "none")
    read = json.loads(run("balance", "alice", "--json").stdout)
    assert (read["flags"], read["floor"], "stale_since" in read) == ([], None, False)
    told = AccountState("alice", "USD/2", 1, 0, None, None, 1, "0:1", "2026-01-01T00:00:00.000000Z")
    assert "flags" not in told_of(told), "the service leaves them out where a command does not change them"
    [frozen] = json.loads(run("freeze", "alice", "--debit", "--json").stdout)["accounts"]
    assert frozen["flags"] == ["debit_frozen"]
    [part] = json.loads(run("system", "USD/2", "--json").stdout)["partitions"]
    assert "stale_since" not in part


def test_flags_are_set_shown_and_cleared(wallet: StubWallet) -> None:
    _rich("alice")
    assert "debit_frozen, credit_frozen" in run("freeze", "alice").stdout
    assert "account_frozen_for_debit" in run("transfer", "alice", "@world", "1", "USD/2", code=1).stderr
    run("unfreeze", "alice", "--debit")
    assert json.loads(run("balance", "alice", "--json").stdout)["flags"] == ["credit_frozen"]
    run("unfreeze", "alice", "--credit")
    run("close", "alice")
    assert "closed" in run("balance", "alice").stdout
    assert json.loads(run("reopen", "alice", "--json").stdout)["result"] == "changed"


def test_refused_transfer_says_why_and_ends_with_1(wallet: StubWallet) -> None:
    run("open", "alice", "USD/2")
    told = run("transfer", "alice", "@world", "5", "USD/2", code=1).stderr
    assert "insufficient_available" in told
    assert "No money moved" in told


def test_balance_shows_those_that_are_there_and_names_those_that_are_not(wallet: StubWallet) -> None:
    run("open", "alice", "USD/2")
    result = run("balance", "alice", "nobody", "nothing", code=1)
    assert "alice" in result.stdout
    assert all(name in result.stderr for name in ("nobody", "nothing"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("balance", "alice"),
        ("transfer", "a", "b", "1", "USD/2"),
        ("open", "alice", "USD/2"),
        ("import", str(ROOT / "tests/data/pkdd99-transactions.csv.gz"), "--asset", "CZK/2", "--minor"),
    ],
)
def test_service_that_is_not_there_is_a_sentence_that_says_what_to_do(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_answers, "WAITS", Waits(0.001, 3.0))
    told = run(*arguments, "--url", NOBODY, code=2).stderr
    assert "fanfold up" in told
    assert "FANFOLD_URL" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    "arguments",
    [
        ("transfer", "@world", "alice", "5", "USD/2"),
        ("hold", "alice", "bob", "5", "USD/2"),
        ("freeze", "alice"),
    ],
)
def test_who_gets_no_answer_is_told_the_id_to_ask_again_with(
    wallet: StubWallet, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed again without it the command would be another one, and could move money twice."""
    monkeypatch.setattr(http_answers, "WAITS", Waits(0.001, 3.0))
    with _hanging_up() as url:
        told = run(*arguments, "--url", url, code=2).stderr
    assert "may have been done" in told
    id = told.partition("--id ")[2].split()[0]
    assert str(uuid.UUID(id)) == id


@contextmanager
def _hanging_up() -> Iterator[str]:
    """A port where everybody is heard and nobody answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    server.accept()[0].close()

        threading.Thread(target=hang_up, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "arguments", [("transfer", "@world", "alice", "5", "USD/2"), ("freeze", "alice"), ("open", "alice", "USD/2")]
)
def test_who_never_got_a_connection_is_told_that_nothing_was_taken(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_answers, "WAITS", Waits(0.001, 3.0))
    told = run(*arguments, "--url", NOBODY, code=2).stderr
    assert "Nothing was taken: no attempt reached the service." in told
    assert not any(words in told for words in ("may have been done", "may be open"))


@pytest.mark.parametrize("code", ["partition_stopped", "starting", "overloaded"])
def test_who_is_answered_that_nothing_was_taken_is_told_so_and_not_that_nobody_answered(
    wallet: StubWallet, code: str
) -> None:
    wallet.fail_next, wallet.fail_code, wallet.fail_reason = client.ATTEMPTS_MAX, code, "the disk is full"
    told = run("transfer", "@world", "alice", "5", "USD/2", code=2).stderr
    assert code in told
    assert "the disk is full" in told
    assert "Nothing was taken" in told
    assert str(uuid.UUID(told.partition("--id ")[2].split()[0])) in told
    assert not any(words in told for words in ("No answer", "may have been done", "fanfold up"))


def test_one_attempt_without_an_answer_is_enough_that_it_may_have_been_done(wallet: StubWallet) -> None:
    wallet.fail_next, wallet.fail_code = client.ATTEMPTS_MAX, "outcome_unknown"
    told = run("transfer", "@world", "alice", "5", "USD/2", code=2).stderr
    assert "(outcome_unknown)" in told
    assert "may have been done" in told
    assert "Nothing was taken" not in told


def test_a_read_that_the_service_cannot_answer_is_told_with_the_code(wallet: StubWallet) -> None:
    wallet.fail_next, wallet.fail_code = client.ATTEMPTS_MAX, "partition_elsewhere"
    told = run("balance", "alice", code=2).stderr
    assert "partition_elsewhere" in told
    assert "Nothing was asked to change." in told
    assert "fanfold up" not in told


@pytest.mark.parametrize(
    "arguments", [("balance", "alice"), ("transfers",), ("transfer", "a", "b", "5", "USD/2", "--dry-run")]
)
def test_who_asked_for_no_change_is_told_that_nothing_was_changed(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_answers, "WAITS", Waits(0.001, 3.0))
    told = run(*arguments, "--url", NOBODY, code=2).stderr
    assert "Nothing was asked to change." in told
    assert "may have been done" not in told


@pytest.mark.parametrize(
    "arguments",
    [
        ("transfer", "a", "b", "1.505", "USD/2"),
        ("transfer", "a", "b", "1.50", "USD/2", "--minor"),
        ("transfer", "a", "b", "12,50", "USD/2"),
        ("transfer", "a", "b", "1", "USD"),
        ("hold", "a", "b", "1.505", "USD/2"),
        ("transfer", "--leg", "a=-1.505:USD/2", "--leg", "b=1.505:USD/2"),
        ("open", "a", "USD/2", "--floor", "1.505"),
        ("system",),
        ("transfer", "a", "b", "1_000", "USD/2"),
        ("transfer", "a", "b", "1"),
        ("transfer",),
        ("transfer", "a", "b", "0", "USD/2"),
        ("transfer", "--", "a", "b", "-5", "USD/2"),
        ("transfer", "a", "b", "1", "USD/2", "--leg", "a=1:USD/2"),
        ("transfer", "--leg", "a=1", "--leg", "b=-1"),
        ("transfer", "--leg", "a", "--leg", "b=-1:USD/2"),
        ("transfer", "a", "b", "1", "USD/2", "--protocol", "xa"),
        ("transfer", "a", "b", "1", "USD/2", "--metadata", "x"),
        ("transfer", "a", "b", "1", "USD/2", "--wait", "31"),
        ("hold", "a", "b"),
        ("capture",),
        ("capture", "01970f3e-7b1a-7c3e-8a2b-1234567890ab", "1.5", "--minor"),
        ("freeze",),
        ("open", "a", "USD/2", "--floor", "low"),
        ("balance", "a", "--url", "localhost:8080"),
        ("balance",),
        ("no-such-command",),
    ],
)
def test_command_typed_wrongly_ends_with_2(arguments: tuple[str, ...]) -> None:
    run(*arguments, code=2)


def test_what_moved_is_told_in_both_units(wallet: StubWallet) -> None:
    """Who typed the one and meant the other sees it."""
    _rich("alice", "shop")
    for typed in (("0.50", "USD/2"), ("50", "USD/2", "--minor")):
        assert "0.50 USD/2 (50 minor units) from @world to alice" in run("transfer", "@world", "alice", *typed).stdout
    legs = ("--leg", "alice=-10:USD/2", "--leg", "shop=9:USD/2", "--leg", "fees=1:USD/2", "--minor")
    told = run("transfer", *legs, "--dry-run", code=1).stderr
    assert "account_unknown" in told
    run("open", "fees", "USD/2")
    told = run("transfer", *legs, "--dry-run").stdout
    assert "alice -0.10 USD/2 (-10 minor units)\nshop 0.09 USD/2 (9 minor units)" in told
    id = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
    assert (
        "0.60 USD/2 (60 minor units) from alice to shop"
        in run("hold", "alice", "shop", "0.60", "USD/2", "--id", id).stdout
    )
    assert "0.25 USD/2 (25 minor units) of the hold" in run("capture", id, "0.25").stdout
    assert "10 minor units of the hold" in run("capture", id, "10", "--minor").stdout
    assert (wallet.state("alice")["posted"], wallet.state("alice")["held"]) == ("165", "25")


def test_an_amount_of_a_hold_is_of_what_it_holds(wallet: StubWallet) -> None:
    _rich("alice", "shop")
    id = json.loads(run("hold", "alice", "shop", "0.60", "USD/2", "--json").stdout)["id"]
    assert "3 decimals, and USD/2 has 2" in run("capture", id, "0.255", code=2).stderr
    assert "transfer_not_found" in run("capture", "01970f3e-7b1a-7c3e-8a2b-1234567890ab", "0.25", code=1).stderr
    assert wallet.state("alice")["held"] == "60"


def test_an_amount_below_zero_is_told_as_one_and_not_as_an_option() -> None:
    for command in ("transfer", "hold"):
        told = run(command, "a", "b", "-5", "USD/2", code=2).stderr
        assert "must be positive" in told
        assert "No such option" not in told


def test_a_refusal_tells_what_is_available_as_amounts_are_typed(wallet: StubWallet) -> None:
    _rich("alice")
    assert "1.00 USD/2 is available." in run("transfer", "alice", "@world", "5", "USD/2", code=1).stderr


def test_a_floor_is_typed_as_it_is_shown(wallet: StubWallet) -> None:
    assert "floor -5.00" in run("open", "alice", "USD/2", "--floor=-5").stdout
    assert "floor -0.05" in run("open", "bob", "USD/2", "--floor=-5", "--minor").stdout
    assert (wallet.state("alice")["floor"], wallet.state("bob")["floor"]) == ("-500", "-5")


def test_the_version_is_told() -> None:
    assert run("--version").stdout == f"fanfold {metadata.version('fanfold')}\n"


def test_system_shows_a_trial_balance_that_sums_to_zero(wallet: StubWallet) -> None:
    _rich("alice", "bob")
    told = run("system", "USD/2").stdout
    assert "0\tUSD/2\t-2.00\t0.00\t2.00\t0:3" in told
    assert json.loads(run("system", "USD/2", "--json").stdout)["world"] == -200
    assert "usd: The asset is malformed" in run("system", "usd", code=1).stderr


def test_an_asset_that_nobody_has_is_refused_and_the_others_are_told(wallet: StubWallet) -> None:
    _rich("alice")
    told = run("system", "USD/2", "XXX/2", code=1)
    assert "XXX/2: No such account (account_not_found). No account has this asset" in told.stderr
    assert "XXX/2" not in told.stdout
    assert "0\tUSD/2\t-1.00" in told.stdout


def test_watch_in_a_pipe_says_which_account_is_not_there_yet(wallet: StubWallet) -> None:
    run("open", "alice", "USD/2")
    command = [sys.executable, "-m", "fanfold.cli.main", "watch", "alice", "nobody"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ)) as watching:
        assert watching.stderr is not None
        assert watching.stderr.readline() == "nobody: not open yet (account_not_found); shown once it is\n"
        watching.terminate()


def test_an_account_named_twice_is_watched_once(wallet: StubWallet) -> None:
    run("open", "alice", "USD/2")
    command = [sys.executable, "-m", "fanfold.cli.main", "watch", "alice", "alice"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ)) as watching:
        assert watching.stdout is not None
        assert watching.stdout.readline().startswith("account\tasset")
        assert watching.stdout.readline().startswith("alice\tUSD/2\t0.00")
        watching.terminate()
    assert [message["accounts"] for message in wallet.subscribed] == [[{"account": "alice"}]]


def test_watch_in_a_pipe_says_that_it_waits_and_that_it_waits_no_more(wallet: StubWallet) -> None:
    run("open", "alice", "USD/2")
    command = [sys.executable, "-m", "fanfold.cli.main", "watch", "alice"]
    environment = dict(os.environ)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        watching.stdout.readline()
        assert watching.stdout.readline().startswith("alice\t")
        wallet.drop_sockets()
        assert watching.stderr.readline().startswith("waiting: the connection was lost")
        assert watching.stderr.readline().startswith("live again: connected")
        watching.terminate()


def test_watch_prints_every_change_as_a_json_line(wallet: StubWallet) -> None:
    run("open", "alice", "USD/2")
    run("transfer", "@world", "alice", "0.05", "USD/2")
    # A process of its own: it watches until it is told to stop.
    command = [sys.executable, "-m", "fanfold.cli.main", "watch", "alice", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ)) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["posted"] == 5
        run("transfer", "@world", "alice", "6", "USD/2", "--minor")
        assert json.loads(watching.stdout.readline())["posted"] == 11
        watching.terminate()


SINGLE_COMMANDS = [
    (name, command)
    for name, command in (COMMANDS | LOG_COMMANDS | KEY_COMMANDS).items()
    if isinstance(command, Command)
]


def test_list_of_commands_says_what_each_command_says_itself() -> None:
    """Read, not imported: the list must not need what the commands need."""
    listed = "".join(run(*group, "--help").stdout for group in ((), ("log",), ("key",), ("webhook",)))
    for name, command in SINGLE_COMMANDS:
        source = ast.parse((ROOT / f"fanfold/cli/{command.file}.py").read_text())
        functions = {node.name: node for node in source.body if isinstance(node, ast.FunctionDef)}
        first = (ast.get_docstring(functions[command.function]) or "").splitlines()[0]
        assert re.findall(r"\w+", first)[:3] == re.findall(r"\w+", command.help)[:3]
        assert name in listed


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, command in SINGLE_COMMANDS
        if command.file in ("accounts", "moves", "flags", "watch", "import_csv")
    ],
)
def test_help_shows_examples(name: str) -> None:
    shown = run(name, "--help").stdout
    assert "Examples:" in shown
    assert f"fanfold {name}" in shown


def test_moving_money_does_not_load_the_service() -> None:
    modules = "fanfold.cli.main, fanfold.cli.accounts, fanfold.cli.watch, fanfold.cli.moves, fanfold.cli.flags"
    code = f"import sys, {modules}; print('numba' in sys.modules, 'pyarrow' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert told.stdout.strip() == "False False"


def test_an_asset_that_is_none_is_told_as_one_and_not_as_a_floor_or_an_amount(wallet: StubWallet) -> None:
    told = run("open", "carol", "usd/2", code=1).stderr
    assert "asset_malformed" in told
    assert "--floor" not in told
    for arguments in (("open", "carol", "usd/2", "--floor=-5"), ("transfer", "@world", "carol", "5", "usd/2")):
        told = run(*arguments, code=2).stderr
        assert "ASSET must be a code with its decimals" in told
        assert not any(words in told for words in ("--floor", "AMOUNT", "--minor"))
    assert "the asset of --leg must be" in run("transfer", "--leg", "a=1:usd/2", "--leg", "b=-1:usd/2", code=2).stderr


def test_who_typed_minor_is_not_told_to_type_it() -> None:
    told = run("transfer", "@world", "a", "1.00", "USD/2", "--minor", code=2).stderr
    assert "Whole minor units are typed with --minor" not in told
    assert "Without --minor" in told
    assert "Whole minor units are typed with --minor" in run("transfer", "a", "b", "1.005", "USD/2", code=2).stderr


@pytest.mark.parametrize("command", ["transfer", "hold"])
def test_a_flat_movement_is_asked_flat_and_so_refused_by_its_own_fields(wallet: StubWallet, command: str) -> None:
    told = run(command, "al ice", "bob", "5", "USD/2", code=1).stderr
    assert "from must match" in told
    assert "legs" not in told
    told = run(command, "alice", "alice", "5", "USD/2", code=1).stderr
    assert "to must name two different accounts" in told


def test_the_id_of_a_movement_means_the_same_flat_and_in_legs(wallet: StubWallet) -> None:
    _rich("alice", "bob")
    id = ("--id", "01970f3e-7b1a-7c3e-8a2b-1234567890ab")
    flat = run("transfer", "alice", "bob", "0.10", "USD/2", *id, "--json").stdout
    assert run("transfer", "--leg", "alice=-0.10:USD/2", "--leg", "bob=0.10:USD/2", *id, "--json").stdout == flat


def test_a_read_of_what_is_not_there_tells_the_position_that_it_speaks_of(wallet: StubWallet) -> None:
    _rich("alice")
    told = run("balance", "nobody", code=1).stderr
    assert f"up to the position of this answer. (position 0:{wallet.block})" in told


OPTION = re.compile(r"--[a-z][a-z-]+")


@pytest.mark.parametrize("width", ["60", "80"])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_cuts_no_name_of_an_option_and_no_example(name: str, width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    whole = run(name, "--help").stdout
    monkeypatch.setenv("COLUMNS", width)
    shown = run(name, "--help").stdout
    options = whole.partition("Options:")[2]
    assert "--help" in options
    for option in set(OPTION.findall(options)):
        assert option in shown, option
    assert "\u2026" not in shown
    for example in re.findall(r"^ +(?:FANFOLD_\w+=\S+ )*fanfold .*$", whole, re.MULTILINE):
        assert example in shown


@pytest.mark.parametrize("width", ["60", "80"])
def test_the_list_of_commands_is_told_whole(width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", width)
    shown = " ".join(run("--help").stdout.split())
    assert all(command.help in shown for command in COMMANDS.values())


def test_every_option_that_is_instead_of_something_names_what_its_command_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    for name, instead in (
        ("transfer", "FROM TO AMOUNT ASSET"),
        ("hold", "FROM TO AMOUNT ASSET"),
        ("capture", "AMOUNT"),
    ):
        shown = run(name, "--help").stdout
        assert f"instead of {instead}, twice" in shown
        assert all(re.search(rf"^  \[?{word}\]?\b", shown, re.MULTILINE) for word in instead.split())


@pytest.mark.parametrize("command", [["balance", "@world:USD/2"], ["statement", "@transit:USD/2"]])
def test_a_system_account_is_told_by_its_own_command(command: list[str]) -> None:
    told = CliRunner().invoke(app, command)
    assert told.exit_code == 2
    assert "fanfold system" in " ".join(told.output.split())
