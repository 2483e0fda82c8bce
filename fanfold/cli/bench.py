"""`fanfold bench NAME`: the benchmarks of the repository, one JSON line each. They run from a checkout only."""

from __future__ import annotations

import asyncio
import importlib
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from rich.progress import TimeElapsedColumn

from fanfold.cli.output import complain, say
from fanfold.cli.progress import kept, progress_line
from fanfold.cli.scratch import scratch_folder


class Name(StrEnum):
    """What can be measured; each is a file of `tests/benchmarks`."""

    WRITES = "writes"
    REBUILD = "rebuild"
    KAFKA = "kafka"
    CROSS = "cross"
    DEPLOYED = "deployed"
    REQUESTS = "requests"
    DOOR = "door"
    PUSH = "push"
    BATCHES = "batches"
    IDS = "ids"
    LONE = "lone"
    GETS = "gets"
    START = "start"
    MEMORY = "memory"
    HISTORY = "history"
    PUBLISH = "publish"


class LogKind(StrEnum):
    FILE = "file"
    KAFKA = "kafka"


_TRANSFERS = {
    Name.CROSS: 500,
    Name.DEPLOYED: 1_000,
    Name.REQUESTS: 20_000,
    Name.DOOR: 400_000,
    Name.PUSH: 200_000,
    Name.BATCHES: 131_072,
    Name.LONE: 16_000,
    Name.GETS: 20_000,
    Name.IDS: 16_777_216,
    Name.START: 1_000_000,
    Name.MEMORY: 1_000_000,
    Name.HISTORY: 10_000_000,
    Name.PUBLISH: 1_000_000,
}
_ACCOUNTS = {
    Name.DEPLOYED: 100,
    Name.REQUESTS: 1_000,
    Name.PUSH: 2_000,
    Name.BATCHES: 1_000,
    Name.LONE: 1_000,
    Name.GETS: 1_000,
    Name.IDS: 4_000_000,
    Name.START: 200_000,
    Name.MEMORY: 1_000_000,
}
_BLOCK = {Name.KAFKA: 32_768, Name.START: 1}
_PARTITIONS = {
    Name.KAFKA: 1,
    Name.DEPLOYED: 1,
    Name.REQUESTS: 1,
    Name.DOOR: 1,
    Name.PUSH: 1,
    Name.BATCHES: 1,
    Name.LONE: 1,
    Name.GETS: 1,
    Name.START: 1,
    Name.MEMORY: 1,
    Name.HISTORY: 1,
}
_CROSS_PARTITIONS = 4


def bench(
    name: Annotated[Name, typer.Argument(metavar="NAME", help=f"what to measure: {', '.join(Name)}")],
    transfers: Annotated[
        int | None,
        typer.Option(
            help="transfers in all (4,000,000; cross: 500 a protocol; deployed: 1,000; requests: 20,000; door: 400,000; "
            "push: 200,000; batches: 131,072; lone: 16,000; gets: 20,000 a turn; ids: 16,777,216; start, memory and publish: "
            "1,000,000; history: 10,000,000)"
        ),
    ] = None,
    accounts: Annotated[
        int | None,
        typer.Option(
            help="accounts in all (100,000; deployed: 100; requests, batches, lone and gets: 1,000; push: 2,000, a socket each; "
            "ids: 4,000,000; start: 200,000; memory: 1,000,000)"
        ),
    ] = None,
    partitions: Annotated[int | None, typer.Option(help="partitions, one writer each")] = None,
    block: Annotated[int | None, typer.Option(help="transfers a block")] = None,
    cross: Annotated[
        float, typer.Option(help="writes: share of the transfers that cross partitions", min=0, max=1)
    ] = 0.0,
    open_holds: Annotated[int, typer.Option("--open", help="writes: holds that stay open all the while", min=0)] = 0,
    clients: Annotated[int, typer.Option(help="requests, door: clients at once", min=1)] = 64,
    in_flight: Annotated[
        int | None, typer.Option(help="requests, door: how many each client keeps in flight (1; door: 40)", min=1)
    ] = None,
    zipf: Annotated[
        float, typer.Option(help="door: how unevenly accounts are drawn, the n-th with a weight of n^-ZIPF", min=0)
    ] = 0.5,
    ledger_rate: Annotated[
        int, typer.Option(help="push: changes a second of accounts that nobody watches", min=1)
    ] = 100_000,
    log: Annotated[
        LogKind, typer.Option(help="lone, rebuild: the log; kafka: a real broker (KAFKA_BOOTSTRAP, or one is started)")
    ] = LogKind.FILE,
    folder: Annotated[
        Path | None, typer.Option(help="a folder on the disk to measure (default: the current one)")
    ] = None,
) -> None:
    """Measure this machine; prints one JSON line.

    writes: durable transfers through the embedded writers over the file log.
    rebuild: entries through a rebuild of the balance view from the log, every check on.
    cross: latency of transfers between two partitions over a real broker, saga and tcc, one at a time.
    deployed: latency of a lone GET and a lone POST through gateway, write side and projector over real Kafka and Redis.
    ids: filling the tables of remembered ids, accounts and holds, forgetting ids, and the longest stop that a block makes for it.
    start: `fanfold up` over a log of small blocks until it answers, without and with a snapshot; the longest stop for taking one.
    memory: resident bytes an account and an id, of `fanfold up` and of a projector alone, and how long the collector takes.
    publish: the events of a log into a topic of a real broker, and the processor time an event of each stage.
    history: sealing the history of a log, and pages and past states of an account with a million entries among them.
    requests: single POSTs to `fanfold up`, percentiles and the longest wait.
    door: single transfers over the stream's `submit` to `fanfold up`, beside a bare asyncio peer of the same bytes.
    push: a gateway's pushes a core-second beside a bare asyncio protocol's, and what changes cost it that nobody watches.
    batches: transfers in batches of lines and of Arrow to `fanfold up`, processor time of each.
    lone: single POSTs, 1, 4, 16 and 64 at once: latency, and the processor time of each stage from HTTP to the answer.
    gets: reading a balance from `fanfold up`, processor time of each, beside a bare answer over the same server.
    kafka: as writes, with the event log in a real broker (KAFKA_BOOTSTRAP, or one is started).

    Examples:

      fanfold bench writes

      fanfold bench writes --cross 0.1

      fanfold bench writes --open 1000000 --partitions 1

      fanfold bench requests --clients 64 --in-flight 40

      fanfold bench door --zipf 1.5

      fanfold bench push --ledger-rate 1000000

      fanfold bench lone --log kafka
    """
    try:
        benchmark, servers = (importlib.import_module(f"tests.{part}") for part in (f"benchmarks.{name}", "servers"))
    except ModuleNotFoundError:
        raise typer.BadParameter("benchmarks run from a checkout of the repository, in its top folder") from None
    with (
        scratch_folder(folder) as scratch,
        progress_line(f"measuring {name}", TimeElapsedColumn(table_column=kept()), quiet=False) as progress,
    ):
        progress.add_task("measuring", total=None)
        if not sys.stderr.isatty():
            complain(f"measuring {name}: one line of JSON follows, in some minutes for large sizes")
        more: dict[str, float] = {}
        if name is Name.WRITES:
            more = {"cross": cross, "open_holds": open_holds}
        elif name is Name.REQUESTS:
            more = {"clients": clients, "in_flight": in_flight or 1}
        elif name is Name.DOOR:
            more = {"clients": clients, "in_flight": in_flight or 40, "zipf": zipf}
        elif name is Name.PUSH:
            more = {"ledger_rate": ledger_rate}
        elif name in (Name.LONE, Name.REBUILD):
            more = {"with_kafka": log is LogKind.KAFKA}
        line = benchmark.run(
            scratch,
            transfers=transfers or _TRANSFERS.get(name, 4_000_000),
            accounts=accounts or _ACCOUNTS.get(name, 100_000),
            partitions=partitions or (_CROSS_PARTITIONS if cross else _PARTITIONS.get(name, 2)),
            block=block or _BLOCK.get(name, 8_192),
            **more,
        )
        try:
            # A service has this loop, and `lone` is one; the others were never measured on it.
            with asyncio.Runner(loop_factory=uvloop.new_event_loop if name is Name.LONE else None) as runner:
                say(runner.run(line))
        except servers.ServerMissing as missing:  # it says what to install
            raise typer.BadParameter(str(missing)) from None
