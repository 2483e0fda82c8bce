"""Once the service said done, no trouble with the output is told as a refusal, and the id is told somewhere."""

from __future__ import annotations

import ast
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from fanfold.cli.output import NOT_TOLD, complain, say
from fanfold.cli.scratch import SCRATCH_PREFIX, remove
from tests.unit.fanfold.stub_wallet import StubWallet, running_wallet
from tests.unit.fanfold.test_cli import run

ROOT = Path(__file__).parents[3]
ID = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
HOLD = "01970f3e-7b1a-7c3e-8a2b-1234567890ac"
OTHER_HOLD = "01970f3e-7b1a-7c3e-8a2b-1234567890ad"
TRANSFER = "01970f3e-7b1a-7c3e-8a2b-1234567890ae"

CHANGES = {
    "transfer": ("transfer", "alice", "bob", "1", "USD/2", "--id", ID),
    "hold": ("hold", "alice", "bob", "1", "USD/2", "--id", ID),
    "capture": ("capture", HOLD, "1", "--id", ID),
    "void": ("void", OTHER_HOLD, "--id", ID),
    "reverse": ("reverse", TRANSFER, "--id", ID),
    "freeze": ("freeze", "alice", "--id", ID),
    "json": ("transfer", "alice", "bob", "1", "USD/2", "--id", ID, "--json"),
}
"""Every command that changes something and has an id."""

TROUBLES = {
    "a full disk": "> /dev/full",
    "a closed pipe": "| head -c 0",
    "no standard output": ">&-",
}
"""How an output fails, as a shell makes it."""


@pytest.fixture
def wallet(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubWallet]:
    with running_wallet() as running:
        monkeypatch.setenv("FANFOLD_URL", running.url)
        for account in ("alice", "bob"):
            run("open", account, "USD/2")
            run("transfer", "@world", account, "100", "USD/2")
        run("transfer", "alice", "bob", "5", "USD/2", "--id", TRANSFER)
        for hold in (HOLD, OTHER_HOLD):
            run("hold", "alice", "bob", "2", "USD/2", "--id", hold)
        yield running


def _in_a_shell(*arguments: str, shell: str, **environment: str) -> tuple[int, str]:
    """The exit code of the command itself, and what it said on standard error."""
    words = " ".join(f"'{word}'" for word in arguments)
    line = f"{sys.executable} -m fanfold.cli.main {words} {shell}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=ROOT,
        env=os.environ | environment,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("name", CHANGES)
def test_what_is_done_and_cannot_be_told_is_no_refusal_and_its_id_is_on_standard_error(
    wallet: StubWallet, name: str, trouble: str
) -> None:
    before = wallet.block
    code, errors = _in_a_shell(*CHANGES[name], shell=TROUBLES[trouble])
    assert wallet.block == before + 1
    assert code == NOT_TOLD
    assert "It is done" in errors
    assert ID in errors


@pytest.mark.parametrize("trouble", TROUBLES)
def test_an_opened_account_that_cannot_be_told_is_no_refusal(wallet: StubWallet, trouble: str) -> None:
    code, errors = _in_a_shell("open", "carol", "USD/2", shell=TROUBLES[trouble])
    assert (code, wallet.state("carol")["version"]) == (NOT_TOLD, 0)
    assert "carol is open" in errors


@pytest.mark.parametrize("shell", ["2>&-", "2> /dev/full", ">&- 2>&-", "> /dev/full 2> /dev/full"])
def test_without_standard_error_the_exit_code_still_says_what_happened(wallet: StubWallet, shell: str) -> None:
    code, _ = _in_a_shell(*CHANGES["transfer"], shell=shell)
    assert code == (0 if shell.startswith("2") else NOT_TOLD)
    refused, _ = _in_a_shell("transfer", "alice", "bob", "5000", "USD/2", shell=shell)
    assert refused == 1


@pytest.mark.parametrize("arguments", [("balance", "alice"), ("transfers",), ("system", "USD/2"), ("--version",)])
def test_a_read_that_cannot_be_told_is_no_refusal(wallet: StubWallet, arguments: tuple[str, ...]) -> None:
    assert _in_a_shell(*arguments, shell="> /dev/full")[0] == NOT_TOLD


@pytest.mark.parametrize("arguments", [("--help",), ("transfer", "--help"), ()])
def test_help_that_cannot_be_told_is_a_sentence(arguments: tuple[str, ...]) -> None:
    code, errors = _in_a_shell(*arguments, shell="> /dev/full")
    assert (code, len(errors.splitlines())) == (NOT_TOLD, 1)


def test_who_reads_a_part_of_what_is_told_is_no_trouble(wallet: StubWallet) -> None:
    assert _in_a_shell(*CHANGES["transfer"], shell="| (head -1; cat > /dev/null)")[0] == 0


def test_under_way_is_said_by_the_exit_code_though_it_cannot_be_told(wallet: StubWallet) -> None:
    wallet.pending_next = True
    code, errors = _in_a_shell(*CHANGES["transfer"], "--protocol", "tcc", shell="> /dev/full")
    assert code == 3
    assert ID in errors


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_an_encoding_that_lacks_a_character_writes_it_as_an_escape(wallet: StubWallet, encoding: str) -> None:
    """A refusal quotes nothing of ours, and accounts are ASCII: what is left is what a file is called, say."""
    code, _ = _in_a_shell(*CHANGES["transfer"], shell="", PYTHONIOENCODING=encoding)
    assert code == 0
    file = "caf\u00e9 \u20ac.csv"
    code, errors = _in_a_shell("import", file, "--asset", "USD/2", shell="", PYTHONIOENCODING=encoding)
    assert code == 1
    assert "cannot be read" in errors or encoding == "utf-16"


def test_the_c_locale_changes_nothing(wallet: StubWallet) -> None:
    plain = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    assert _in_a_shell(*CHANGES["transfer"], shell="", **plain)[0] == 0
    code, errors = _in_a_shell("import", "caf\u00e9.csv", "--asset", "USD/2", shell="", **plain)
    assert code == 1
    assert "cannot be read" in errors


@contextmanager
def _heeded(number: signal.Signals) -> Iterator[None]:
    """A process started in here heeds the signal, though a test run in the background may have been told to ignore it.

    Said by this process and not by a `preexec_fn`, which would copy a whole test run first: more memory than there may be.
    """
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_who_ends_a_command_that_waits_is_told_the_id(number: signal.Signals) -> None:
    """As `timeout 5 fanfold transfer ...` does: typed again without the id it would be another transfer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "fanfold.cli.main", *CHANGES["transfer"], "--url", url]
        with _heeded(number), subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
            connection, _ = silent.accept()
            with connection:
                assert connection.recv(16)
                process.send_signal(number)
                assert process.stderr is not None
                errors = process.stderr.read()
    assert process.returncode == 128 + number
    assert f"may have been done. The same command with --id {ID}" in errors
    assert "Traceback" not in errors


def test_nothing_at_the_prompt_is_printed_past_this() -> None:
    """A bare print would end a command that moved money with a traceback, or as refused."""
    for file in sorted((ROOT / "fanfold/cli").glob("*.py")):
        tree = ast.parse(file.read_text())
        printed = [
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and (
                (isinstance(node.func, ast.Name) and node.func.id == "print")
                or (isinstance(node.func, ast.Attribute) and node.func.attr in ("print", "writelines", "echo"))
            )
        ]
        assert not printed, (file.name, printed)


def test_control_characters_of_a_service_are_shown_and_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2Jb")
    complain("c\x07d")
    out, errors = capsys.readouterr()
    assert out == "a\\x1b[2Jb\n"
    assert errors == "c\\x07d\n"


class _NobodyReads(io.StringIO):
    """A pipe that is full, as under `| less`, until the person presses Ctrl-C."""

    def flush(self) -> None:
        raise KeyboardInterrupt


def test_ctrl_c_while_nobody_reads_the_output_is_no_refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", _NobodyReads())
    with pytest.raises(typer.Exit) as ended:
        say(f"done, id {ID}", changed=True)
    assert ended.value.exit_code == NOT_TOLD
    assert ID in capsys.readouterr().err


def test_a_folder_in_which_other_threads_go_on_writing_is_removed_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    (folder / "a").touch()
    late, once = iter(("b", "c")), os.rmdir

    def write_first(path: str, *, dir_fd: int | None = None) -> None:
        """What a thread makes between the removal's list of names and its last step."""
        if name := next(late, None):
            (folder / name).touch()
        once(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", write_first)
    remove(folder)
    assert not folder.exists()


def test_a_benchmark_that_is_ended_says_what_it_does_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fanfold.cli.main", "bench", "writes", "--folder", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("measuring writes")
        assert len([*tmp_path.iterdir()]) == 1
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 128 + signal.SIGTERM
    assert [*tmp_path.iterdir()] == []
    ignored = ["git", "check-ignore", "-q", f"{SCRATCH_PREFIX}x/"]
    assert not (ROOT / ".git").exists() or subprocess.run(ignored, cwd=ROOT, check=False).returncode == 0
