"""The command `fanfold`: which commands there are, and where each one lives."""

from __future__ import annotations

import gc
import importlib
import os
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from deploy import one_heap
from fanfold.cli.option_groups import flat
from fanfold.cli.output import fail_untold, say, write
from write_side.contract.snapshots.waiting import calls_go_on


class Command(NamedTuple):
    """A function of a file in this folder; `help` is the first line of its docstring."""

    file: str
    function: str
    help: str


class Group(NamedTuple):
    """Commands under one name."""

    help: str
    commands: dict[str, Command]


SERVICES: Final = ("up", "services")
"""The files of the commands that serve."""
LOG_COMMANDS: Final = {
    "clock": Command("log_clock", "clock", "Tell whether the log's time is ahead of this machine's clock."),
}
KEY_COMMANDS: Final = {
    "add": Command("keys", "add", "Make a key for a machine. It is shown once."),
    "list": Command("keys", "list_keys", "List the keys of machines."),
    "revoke": Command("keys", "revoke", "Revoke a key: it is refused, and its streams end."),
}
WEBHOOK_COMMANDS: Final = {
    "add": Command("webhooks", "add", "Add a webhook: changes of accounts are sent to its URL."),
    "list": Command("webhooks", "list_hooks", "List the webhooks: how far behind each is, and why."),
    "remove": Command("webhooks", "remove", "Remove a webhook."),
    "pause": Command("webhooks", "pause", "Pause a webhook: nothing is sent, and nothing is lost."),
    "resume": Command("webhooks", "resume", "Resume a webhook where it was."),
    "replay": Command("webhooks", "replay", "Deliver again from a position or a time."),
    "rotate": Command("webhooks", "rotate", "Make a new secret; for a while both sign."),
    "dead": Command("webhook_letters", "dead", "List deliveries that were given up."),
    "retry": Command("webhook_letters", "retry", "Have dead letters tried again."),
    "discard": Command("webhook_letters", "discard", "Discard a dead letter."),
    "test": Command("webhooks", "test", "Send a signed test delivery now."),
}
COMMANDS: Final[dict[str, Command | Group]] = {
    "up": Command("up", "up", "Start everything in one process: file log, views, gateway and console."),
    "open": Command("accounts", "open_account", "Open an account, or find it open with the same terms."),
    "transfer": Command("moves", "transfer", "Move money from one account to another, or in legs, all or nothing."),
    "hold": Command("moves", "hold", "Hold money for somebody: nobody can spend it until it is captured or let go."),
    "capture": Command("moves", "capture", "Move what is held, all of it or a part."),
    "void": Command("moves", "void", "Let a hold go: what it held can be spent again."),
    "reverse": Command("moves", "reverse", "Move the money of a done transfer back, at most once."),
    "freeze": Command("flags", "freeze", "Freeze an account: it gives nothing, or receives nothing."),
    "unfreeze": Command("flags", "unfreeze", "Unfreeze an account."),
    "close": Command("flags", "close", "Close an account. Only one at zero can be closed."),
    "reopen": Command("flags", "reopen", "Reopen a closed account."),
    "balance": Command("accounts", "balance", "Show accounts as they are, or as they were at a moment."),
    "statement": Command("statement", "statement", "Show what moved an account, with the balance after each line."),
    "system": Command(
        "accounts", "system", "Show the trial balance of an asset: outside, in flight, held by all accounts."
    ),
    "status": Command("status", "status", "Show how far each partition is behind its log."),
    "top": Command("top", "top", "Show what a service does just now: rates, lag, pushes, refusals, memory."),
    "watch": Command("watch", "watch", "Watch balances, or a topic, live until Ctrl-C."),
    "import": Command("import_csv", "import_csv", "Import transactions from a CSV file, in its order."),
    "transfers": Command("transfers", "transfers", "List transfers under way, and what each waits for."),
    "explain": Command("explain", "explain", "Tell what every partition did for a transfer, step by step."),
    "tail": Command("log", "tail", "Print the events of the log as JSON lines, from the beginning."),
    "log": Group("Look at the log as a writer would.", LOG_COMMANDS),
    "verify": Command("verify", "verify", "Replay the log and check every block."),
    "proof": Command("proof", "proof", "Print what an account was, or check that against the blocks."),
    "publish": Command("publish", "publish", "Keep a Kafka topic of single events, as CloudEvents in JSON."),
    "export": Command("export", "export", "Write the events of the log as Parquet files by day."),
    "project": Command("project", "project", "Keep the rows of your own projection, or make them again."),
    "rebuild": Command("rebuild", "rebuild", "Make the view again from the log, compare, and switch."),
    "rollback": Command("rollback", "rollback", "Go back to the view of before the last switch, caught up."),
    "trim": Command("trim", "trim", "Let the log forget what its archive has and nothing needs it for."),
    "write-side": Command("services", "write_side", "Start the write side alone."),
    "projector": Command("services", "projector", "Start the read side alone."),
    "gateway": Command("services", "gateway", "Start the gateway alone."),
    "webhooks": Command("services", "webhooks", "Deliver webhooks alone: over a log in Kafka."),
    "webhook": Group("Have webhooks: who is told of changes by a POST.", WEBHOOK_COMMANDS),
    "token": Command("keys", "token", "Make a token with a key of your own, for tests and small set-ups."),
    "key": Group("Have the keys of machines: who asks without a person.", KEY_COMMANDS),
    "bench": Command("bench", "bench", "Measure this machine."),
    "compare": Command("compare", "compare", "Run the wallet chapter's designs side by side, and kill them."),
}
"""The order is the one of `fanfold --help`."""


class _HelpIsSaid:
    """Help that cannot be written is told like anything else that cannot (`output.py`)."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)  # type: ignore[misc]
        trouble = write(formatter.getvalue().rstrip())
        if trouble is not None:
            fail_untold(trouble)
        formatter.buffer.clear()  # it is said, and is not to be said again


class _Single(_HelpIsSaid, TyperCommand):
    """One command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as wrong:
            if not re.match(r"-[0-9.]", getattr(wrong, "option_name", None) or ""):
                raise
            raise typer.BadParameter(
                "AMOUNT must be positive: FROM gives, TO receives. What begins with a minus is read as an option.", ctx
            ) from None


class _Commands(_HelpIsSaid, TyperGroup):
    """Imports a command when it is run: neither help nor a transfer waits for the compiler that `up` loads (2 s)."""

    known: Mapping[str, Command | Group] = COMMANDS

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.known)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in for a command, enough for the list of them."""
        known = self.known.get(cmd_name)
        if isinstance(known, Group):
            return _group(cmd_name, known)
        return None if known is None else _single(cmd_name, lambda: None, known.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, found, rest = super().resolve_command(ctx, args)
        if name is None or isinstance(found, TyperGroup):
            return name, found, rest
        known = self.known[name]
        assert isinstance(known, Command)
        if known.file in SERVICES:
            one_heap.for_all_threads()
        gc.disable()  # of the thousands of objects that modules make none goes: looking for one took a tenth of a start
        module = importlib.import_module(f"fanfold.cli.{known.file}")
        gc.enable()
        return name, _single(name, getattr(module, known.function), None), rest


_EXAMPLE: Final = re.compile(r"(\n\n)( *(?:FANFOLD_\w+=\S+ )*fanfold )")
"""A paragraph that may be copied: with a backspace before it its lines stay whole (click's way to say so)."""


def _single(name: str, function: Any, help: str | None) -> Any:
    # Plain lines: in boxes of 80 columns the names of options are cut.
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, help=help, cls=_Single)(flat(function))
    command = typer.main.get_command(alone)
    command.name, command.short_help = name, help
    if command.help:
        command.help = _EXAMPLE.sub("\\1\b\n\\2", command.help)
    return command


def _group(name: str, group: Group) -> Any:
    made = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
    made.callback(cls=_Commands, help=group.help)(lambda: None)
    command: Any = typer.main.get_command(made)
    command.name, command.short_help, command.known = name, group.help, group.commands
    return command


app = typer.Typer(
    cls=_Commands, add_completion=False, rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        say(f"fanfold {metadata.version('fanfold')}")
        raise typer.Exit


@app.callback()
def fanfold(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="print the version and end")
    ] = False,
) -> None:
    """An event-sourced wallet service: it folds events and fans them out.

    Start one with `fanfold up`, then, in another terminal:

      fanfold open alice USD/2

      fanfold transfer @world alice 10.00 USD/2

      fanfold watch alice

    Amounts are typed as they are shown: 1000 of USD/2 is 1,000.00 dollars; with --minor it is 1000 cents.

    Ends with 0 when it is done, 1 refused, 2 not answered or typed wrongly, 3 under way, 4 done and not told, 130 Ctrl-C.
    """


def main() -> None:
    """What the installed command calls."""
    try:
        app()
    except SystemExit as ended:
        if calls_go_on():  # all that had to be ended was; what is left is a snapshot store that does not answer
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
        raise


if __name__ == "__main__":
    main()
