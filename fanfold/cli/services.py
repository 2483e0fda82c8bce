"""Commands that serve: the three sides as services of their own, and what `up` does once all is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from deploy import one_process, services, serving
from deploy.settings import ProcessSettings
from deploy.start_ahead import StartAhead
from fanfold.cli.known_failures import STOPPED, failures_told
from fanfold.cli.output import complain, write
from write_side.contract.log.log import LogFailed


def one_process_up(given: Mapping[str, int | str], ahead: StartAhead | LogFailed | None) -> None:
    """All sides in one process (`up.py`). given: settings by the command line; ahead: what was begun already, or why it cannot
    be."""

    def started(address: str, reasons: Sequence[str]) -> None:
        _tell("fanfold", address, reasons)
        _tell_who_is_let_in()
        complain("Open it in a browser to watch balances live. Ctrl-C stops; the data stays.")

    def serve() -> None:
        if isinstance(ahead, LogFailed):
            raise ahead
        settings = ProcessSettings.model_validate(ProcessSettings().model_dump() | dict(given))
        one_process.main(settings, started, ahead)

    _run(serve)


def write_side() -> None:
    """Start the write side alone: intake, and the writers of FANFOLD_OWN_PARTITIONS (all), over Kafka.

    Example:

      FANFOLD_LOG=kafka://localhost:9092 FANFOLD_PARTITIONS=4 fanfold write-side
    """
    _run(lambda: serving.run(services.write_side(partial(_tell, "fanfold write side"))))


def projector() -> None:
    """Start the read side alone: projectors of every partition, and the REST queries.

    Example:

      FANFOLD_LOG=kafka://localhost:9092 FANFOLD_VIEW=redis://localhost:6379 fanfold projector
    """
    _run(lambda: serving.run(services.projector(partial(_tell, "fanfold read side"))))


def webhooks() -> None:
    """Deliver webhooks alone: those that `fanfold webhook` keeps, over a log in Kafka, beside the other services.

    One process delivers; a second one over the same file waits until the first has ended. `fanfold up` delivers them by itself.

    Example:

      FANFOLD_LOG=kafka://localhost:9092 FANFOLD_DATA=/srv/webhooks fanfold webhooks
    """
    _run(lambda: serving.run(services.webhooks(partial(_tell, "fanfold webhooks"))))


def gateway() -> None:
    """Start the gateway alone: the public door to a write side and a read side, and the WebSocket stream.

    Example:

      FANFOLD_VIEW=redis://localhost:6379 FANFOLD_WRITE_URL=http://127.0.0.1:8081 \\
      FANFOLD_READ_URL=http://127.0.0.1:8082 fanfold gateway
    """

    def started(address: str, reasons: Sequence[str]) -> None:
        _tell("fanfold gateway", address, reasons)
        _tell_who_is_let_in()

    _run(lambda: serving.run(services.gateway(started)))


def _tell_who_is_let_in() -> None:
    if services.asks_nobody():
        complain("Nobody is asked who asks (FANFOLD_AUTH=off): whoever reaches it from this machine may move money.")
    elif ProcessSettings().admin_port is None:
        complain(
            "No port is set for whoever runs it (FANFOLD_ADMIN_PORT): metrics and all of /readyz are told nowhere."
        )


def _tell(name: str, address: str, reasons: Sequence[str]) -> None:
    for reason in reasons:
        complain(f"{name}: {reason}")
    # A service does not end because nobody can read this.
    write(f"{name} is up, and not ready: {address}" if reasons else f"{name} is ready: {address}")


def _run(serve: Callable[[], None]) -> None:
    with failures_told(STOPPED):
        serve()
