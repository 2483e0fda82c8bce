"""`fanfold compare`: the wallet chapter's designs under one load and the same faults. It runs from a checkout only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from fanfold.cli.from_checkout import from_checkout
from fanfold.cli.scratch import scratch_folder

DESIGNS: Final = "in_memory_sharding,two_phase_commit,try_confirm_cancel,saga,event_sourcing"
FAULTS: Final = "service,pause,node,zookeeper"
UNLIKE_PROMISED: Final = 1


def compare(
    designs: Annotated[
        str, typer.Option(help=f"which, with commas between: {DESIGNS},event_sourcing_kafka", metavar="NAMES")
    ] = DESIGNS,
    seconds: Annotated[float, typer.Option(help="how long each is under load", min=0.1)] = 10.0,
    accounts: Annotated[int, typer.Option(help="accounts in all, on two nodes", min=8)] = 10_000,
    cross: Annotated[float, typer.Option(help="share of the transfers between the two nodes", min=0, max=1)] = 0.1,
    faults: Annotated[
        str,
        typer.Option(
            help="service: killed at every step of a transfer; pause: a node hangs; node: one is killed and started again; "
            "zookeeper: of the three that have the map of the nodes one is killed, then two, and the session ended; none",
            metavar="NAMES",
        ),
    ] = FAULTS,
    dead: Annotated[
        float, typer.Option(help="seconds that nobody recovers a killed service, to see what stays locked", min=0.1)
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object instead of tables")] = False,
    redis: Annotated[
        list[str] | None, typer.Option(help="redis://HOST:PORT of a node that is there; twice, one each", metavar="URL")
    ] = None,
    zookeeper: Annotated[
        str, typer.Option(help="a ZooKeeper that is there, for the map of the Redis nodes", metavar="HOST:PORT,...")
    ] = "",
    postgres: Annotated[
        list[str] | None,
        typer.Option(help="postgresql://HOST:PORT/DATABASE of a node that is there; twice, one each", metavar="URL"),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="write what was found as one page, too: tables and charts, opens offline", metavar="FILE"),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="a folder on the disk that event_sourcing writes to (default: the current one)")
    ] = None,
) -> None:
    """Run the wallet chapter's designs side by side: the same load, the same faults, one judge of the money.

    in_memory_sharding: balances in two Redis nodes, the map of them in ZooKeeper, two commands a transfer.
    two_phase_commit, try_confirm_cancel, saga: over two PostgreSQL nodes.
    event_sourcing: fanfold itself over its file log; event_sourcing_kafka: over a real broker.

    The servers are started on loopback, on free ports, and ended; those that are given are neither killed nor paused, and what is
    made in them (fanfold_compare_...) is taken away. No password is shown. A design that loses money under a fault is expected
    to, and that is told; the command ends with 1 when one did what it does not say of itself.

    Examples:

      fanfold compare

      fanfold compare --designs two_phase_commit,event_sourcing --seconds 30 --faults none

      fanfold compare --designs in_memory_sharding --seconds 1 --json

      fanfold compare --html designs.html

      fanfold compare --designs saga --postgres postgresql://wallet@db1/wallet --postgres postgresql://wallet@db2/wallet
    """
    if html is not None and (html.is_dir() or not html.absolute().parent.is_dir()):
        raise typer.BadParameter(f"--html names a file in a folder that is there, not {html}")
    run = from_checkout("fanfold.cli.compare_run")
    with scratch_folder(folder) as scratch:
        given = run.Given(tuple(redis or ()), zookeeper, tuple(postgres or ()))
        wishes = run.Wishes.of(
            designs, faults, seconds=seconds, accounts=accounts, cross=cross, dead_s=dead, given=given
        )
        kept = run.run(wishes, scratch, as_json=as_json, html=html)
    if not kept:
        raise typer.Exit(UNLIKE_PROMISED)
