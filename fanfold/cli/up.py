"""The command `up`: what a start reads is begun before what serves is imported, since both take about as long."""

from __future__ import annotations

import gc
from typing import Annotated

import typer

from deploy.start_ahead import StartAhead, start_ahead
from write_side.contract.log.log import LogFailed


def up(
    port: Annotated[int | None, typer.Option(help="port to listen on (FANFOLD_PORT, 8080)")] = None,
    host: Annotated[str | None, typer.Option(help="address to listen on (FANFOLD_HOST, 127.0.0.1)")] = None,
) -> None:
    """Start everything in one process: file log, views, gateway and console.

    Data is kept in FANFOLD_DATA (./data) and survives Ctrl-C, kill -9 and restart.

    Examples:

      fanfold up

      FANFOLD_DATA=/srv/wallet FANFOLD_PARTITIONS=2 fanfold up --port 9000
    """
    ahead: StartAhead | LogFailed | None
    try:
        ahead = start_ahead()
    except LogFailed as failure:
        ahead = failure  # told like all others, by what is imported now
    try:
        gc.disable()  # as for every command's import (`main.py`)
        from fanfold.cli.services import one_process_up

        gc.enable()
        one_process_up({name: value for name, value in (("port", port), ("host", host)) if value is not None}, ahead)
    finally:
        if isinstance(ahead, StartAhead):
            ahead.end()  # of a start that never came to serve: the process would read all snapshots before it ends
