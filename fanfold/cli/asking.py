"""How commands talk to the service and to the person: the address, money for the eye, failures as sentences."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Annotated, Any, Final, NoReturn, TypeVar

import typer

from fanfold.amounts import BadAmount, money
from fanfold.answers import ConnectionState, Refusal
from fanfold.cli.output import complain
from fanfold.client import Client, NotAnswered
from fanfold.stream_connection import StreamEnded

T = TypeVar("T")

DEFAULT_URL: Final = "http://127.0.0.1:8080"

URL_VARIABLE: Final = "FANFOLD_URL"
Url = Annotated[str, typer.Option("--url", envvar=URL_VARIABLE, help="address of the service")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object instead of text")]

REFUSED: Final = 1
NOT_ANSWERED: Final = 2
INTERRUPTED: Final = 130
"""Exit codes: the service said no; nobody knows (2 is also a command that was typed wrongly); Ctrl-C (129 and 143 for the
signals HUP and TERM). `output.NOT_TOLD` is 4, `move_options.BEGUN` 3."""

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
"""What `timeout`, a shell that is closed, or a supervisor sends: told like Ctrl-C, so that nobody loses the id."""


class _Ended(Exception):
    """One of these signals came."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(asked: Coroutine[Any, Any, T], *, may_be_done: str | None = None) -> T:
    """What came of it; failures end the command with a sentence and an exit code, never with a traceback.

    may_be_done: what to tell a person who gets no answer or stops waiting, of something that may have changed money; None when
    nothing was asked to change.
    """
    try:
        return asyncio.run(_until_ended(asked))
    except NotAnswered as failure:
        fail(f"{_answered(failure)}\n{_done(failure, may_be_done)}", NOT_ANSWERED)
    except StreamEnded as ended:
        fail(str(ended), NOT_ANSWERED)
    except KeyboardInterrupt:
        if may_be_done is not None:
            fail(f"Interrupted. {may_be_done}", INTERRUPTED)
        raise typer.Exit(INTERRUPTED) from None
    except _Ended as ended:
        if may_be_done is not None:
            fail(f"Interrupted. {may_be_done}", 128 + ended.number)
        raise typer.Exit(128 + ended.number) from None


def ask(url: str, question: Callable[[Client], Awaitable[T]], *, may_be_done: str | None = None) -> T:
    """What the service at `url` answers; ends the command as `run` does."""
    address = check_url(url)

    async def asked() -> T:
        async with Client(address) as client:
            return await question(client)

    return run(asked(), may_be_done=may_be_done)


def _answered(failure: NotAnswered) -> str:
    """Nobody answered, or somebody that it cannot be done now: who gets the second need not look whether the service runs."""
    if failure.problem is not None:
        return f"The service answered that it cannot ({failure.problem['code']}). {failure}"
    return (
        f"No answer. {failure}\n"
        "Is the service running? `fanfold up` starts one; --url or FANFOLD_URL names another address."
    )


def _done(failure: NotAnswered, may_be_done: str | None) -> str:
    if may_be_done is None:
        return "Nothing was asked to change."
    if failure.not_taken:
        again = f" The same command with --id {failure.ids[0]} never runs twice." if failure.ids else ""
        why = "no attempt reached the service" if failure.problem is None else "every attempt was answered so"
        return f"Nothing was taken: {why}.{again}"
    return may_be_done


async def _until_ended(asked: Coroutine[Any, Any, T]) -> T:
    """Raises _Ended."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    came: list[int] = []

    def end(number: int) -> None:
        came.append(number)
        if task is not None:
            task.cancel()

    # `nohup` ignores one of them, and means it.
    taken = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        loop.add_signal_handler(number, end, number)
    try:
        return await asked
    except asyncio.CancelledError:
        if came:
            raise _Ended(came[0]) from None
        raise
    finally:
        for number in taken:
            loop.remove_signal_handler(number)


class ConnectionTold:
    """What becomes of a connection, on standard error, for a command that prints a line for each change: without one there is
    no line, and whoever read that it waits could not know that it does no more."""

    def __init__(self) -> None:
        self._waits = False

    def tell(self, state: ConnectionState) -> None:
        if not state.live:
            complain(f"waiting: {state.reason}")
        elif self._waits:
            complain(f"live again: {state.reason}")
        self._waits = not state.live


def fail(sentence: str, code: int = REFUSED) -> NoReturn:
    complain(sentence)
    raise typer.Exit(code)


def fail_refused(refusal: Refusal, asset: str | None = None) -> NoReturn:
    """asset: what its amounts are of; None when that is not known, or several."""
    available = refusal.document.get("available")
    known = "" if available is None else f" {_available(str(available), asset)} available."
    before = " This id ran before: it was not tried again." if refusal.document.get("repeated") else ""
    fail(f"Refused ({refusal.code}): {refusal.title}. {told_detail(refusal)}{known}{before}")


def told_detail(refusal: Refusal) -> str:
    """What it means, and of a read up to which position it is true: the detail speaks of it, and nobody sees the document."""
    position = refusal.document.get("position")
    return f"{refusal.detail} (position {position})" if position and refusal.status in _OF_READS else refusal.detail


_OF_READS: Final = (404, 409)


def stale(since: str) -> str:
    """What is said of something that a damaged log keeps from being newer."""
    return (
        f"old, of {since} or before: the log of its partition is damaged behind that, and what came later is not in it"
    )


def _available(digits: str, asset: str | None) -> str:
    with suppress(ValueError, BadAmount):
        if asset is not None:
            return f"{money(int(digits), asset)} {asset} is"
    return f"{digits} minor units are"


def refuse_system(accounts: Iterable[str]) -> None:
    """Of names that the commands print themselves, and that are no accounts of a client. Raises typer.BadParameter."""
    for account in accounts:
        if account.startswith("@"):
            raise typer.BadParameter(
                f"{account} is a system account, which each partition has for itself: `fanfold system` and its asset tell it"
            )


def check_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        fail("The address must begin with http:// or https://, such as http://127.0.0.1:8080.", NOT_ANSWERED)
    return url
