"""`fanfold bench NAME`: the benchmarks of the repository, one JSON line each. They run from a checkout only."""

from __future__ import annotations

import asyncio
import importlib
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fanfold.cli.saying import say


class Name(StrEnum):
    """What can be measured; each is a file of `tests/benchmarks`."""

    WRITES = "writes"
    REBUILD = "rebuild"
    KAFKA = "kafka"
    CROSS = "cross"


_BLOCK = {Name.WRITES: 8_192, Name.REBUILD: 8_192, Name.KAFKA: 32_768, Name.CROSS: 8_192}
_PARTITIONS = {Name.WRITES: 2, Name.REBUILD: 2, Name.KAFKA: 1, Name.CROSS: 2}
_CROSS_PARTITIONS = 4


def bench(
    name: Annotated[Name, typer.Argument(help="what to measure")],
    transfers: Annotated[int | None, typer.Option(help="transfers in all (4,000,000; cross: 500 a protocol)")] = None,
    accounts: Annotated[int, typer.Option(help="accounts in all")] = 100_000,
    partitions: Annotated[int | None, typer.Option(help="partitions, one writer each")] = None,
    block: Annotated[int | None, typer.Option(help="transfers a block")] = None,
    cross: Annotated[
        float, typer.Option(help="writes: share of the transfers that cross partitions", min=0, max=1)
    ] = 0.0,
    folder: Annotated[
        Path | None, typer.Option(help="a folder on the disk to measure (default: the current one)")
    ] = None,
) -> None:
    """Measure this machine; prints one JSON line.

    writes: durable transfers through the embedded writers over the file log.
    rebuild: entries through a rebuild of the balance view from the file log, every check on.
    cross: latency of transfers between two partitions over a real broker, saga and tcc, one at a time.
    kafka: as writes, with the event log in a real broker (KAFKA_BOOTSTRAP, or one is started).

    Examples:

      fanfold bench writes

      fanfold bench writes --cross 0.1
    """
    try:
        benchmark, servers = (importlib.import_module(f"tests.{part}") for part in (f"benchmarks.{name}", "servers"))
    except ModuleNotFoundError:
        raise typer.BadParameter("benchmarks run from a checkout of the repository, in its top folder") from None
    with tempfile.TemporaryDirectory(prefix="fanfold-bench-", dir=folder or Path.cwd()) as scratch:
        more = {"cross": cross} if name is Name.WRITES else {}
        line = benchmark.run(
            Path(scratch),
            transfers=transfers or (500 if name is Name.CROSS else 4_000_000),
            accounts=accounts,
            partitions=partitions or (_CROSS_PARTITIONS if cross else _PARTITIONS[name]),
            block=block or _BLOCK[name],
            **more,
        )
        try:
            say(asyncio.run(line))
        except servers.ServerMissing as missing:  # it says what to install
            raise typer.BadParameter(str(missing)) from None
