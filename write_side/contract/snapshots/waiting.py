"""Waiting for a store that others run: for a bounded time, and what fails there is told in words.

A call goes on in a thread that nobody has to wait for, because neither Python nor Arrow can end a call that is in a socket. A
store that has let one call wait is not asked again for a while: a start asks once a partition and side, and would add the waits
up.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

LIMIT_S: Final = 10.0
"""For one step: a list, an opening, 4 MiB read, a part written. What is silent is given up by its client before: 3 s, twice."""
REST_S: Final = 30.0
"""How long a store is left alone that made somebody wait in vain."""
IN_VAIN_S: Final = 1.0
"""A failure that took longer is one of waiting: a refused connection or a missing bucket is told within milliseconds."""
STUCK_MOST: Final = 8
"""Calls nobody waits for any more that still go on. Each has a thread and a connection; beyond these the store is not asked."""

LOOK_S: Final = 0.1
"""How soon whoever waits notices that the process ends."""
TIDY_S: Final = 5.0
LAST_TIDY_S: Final = 1.0
"""How long what removes the traces of a failure is waited for; the latter while the process ends."""
THREAD: Final = "snapshot-store"

_WORDS: Final[tuple[tuple[str, str], ...]] = (
    (r"curlCode: 28\b|timed? ?out", "did not answer in time"),
    (r"NO_SUCH_BUCKET|NoSuchBucket", "does not exist: there is no such bucket, and none is made"),
    (
        r"ACCESS_DENIED|INVALID_ACCESS_KEY|INVALID_CLIENT_TOKEN|SIGNATURE|InvalidAccessKeyId|HTTP Status Code: 40[13]|Permission",
        "refuses access: check who fanfold is there, and what that one may",
    ),
    (
        r"NETWORK_CONNECTION|curlCode|ConnectionError|Max retries|Connection|NameResolution",
        "cannot be reached, or breaks off",
    ),
)
_ADDRESSES: Final = re.compile(r"\S+://\S+|\S*\?\S+=\S+")
"""What a client says may hold an address with a token in it."""
_SAID_MOST: Final = 300

T = TypeVar("T")


class GoesOn(TimeoutError):
    """Nobody waits for the call any more, and it still uses what it was given."""


def calls_go_on() -> bool:
    """Whether some call still goes on. A process that has ended all its work need not wait for it: but Arrow would, at its exit,
    and an upload that a silent S3 does not take is given up after a minute."""
    return any(thread.name == THREAD for thread in threading.enumerate())


class Waiting:
    """Calls to the store at `place`. Several threads may use it at once. limit_s: for a call that names no other."""

    def __init__(self, place: str, limit_s: float = LIMIT_S) -> None:
        self._place = place
        self._limit_s = limit_s
        self._rests_until_s = 0.0
        self._stuck: list[threading.Thread] = []
        self._given_up = threading.Event()

    def give_up(self) -> None:
        """The process ends: who waits gets TimeoutError now, and every call after."""
        self._given_up.set()

    def call(self, function: Callable[..., T], *arguments: Any, limit_s: float | None = None) -> T:
        """What the function returns. Raises FileNotFoundError, TimeoutError, OSError for whatever else it raises, in words."""
        limit_s = self._limit_s if limit_s is None else limit_s
        now_s = time.monotonic()
        self._stuck = [each for each in self._stuck if each.is_alive()]
        if self._given_up.is_set():
            raise TimeoutError(f"{self._place} is not waited for any more: the process ends")
        if now_s < self._rests_until_s or len(self._stuck) > STUCK_MOST:
            raise TimeoutError(f"{self._place} did not answer a moment ago, and is left alone for {REST_S:.0f} s")
        returned: list[T] = []
        raised: list[BaseException] = []

        def run() -> None:
            try:
                returned.append(function(*arguments))
            except BaseException as failure:
                raised.append(failure)

        thread = threading.Thread(target=run, name=THREAD, daemon=True)
        thread.start()
        while thread.is_alive() and not self._given_up.is_set() and time.monotonic() < now_s + limit_s:
            thread.join(min(LOOK_S, limit_s))
        if returned:
            return returned[0]
        if not raised or time.monotonic() - now_s > IN_VAIN_S:
            self._rests_until_s = time.monotonic() + REST_S
        if not raised:
            self._stuck.append(thread)
            if self._given_up.is_set():
                raise GoesOn(f"{self._place} is not waited for any more: the process ends")
            raise GoesOn(f"{self._place} has not answered within {limit_s:.0f} s")
        raise self._in_words(raised[0]) from None  # what it says itself may hold what nobody should read

    def tidy(self, function: Callable[..., object], *arguments: Any) -> None:
        """Also at a store that is left alone: it is tried, and waited for only shortly. Whatever it raises is its own affair."""
        thread = threading.Thread(target=function, args=arguments, name=THREAD, daemon=True)
        del arguments  # what is to be forgotten there must not be forgotten here
        thread.start()
        thread.join(LAST_TIDY_S if self._given_up.is_set() else TIDY_S)
        if thread.is_alive():
            self._stuck.append(thread)

    def _in_words(self, failure: BaseException) -> BaseException:
        if not isinstance(failure, Exception) or isinstance(failure, MemoryError):
            return failure
        if isinstance(failure, FileNotFoundError):
            return FileNotFoundError(f"{self._place} does not have it")
        said = f"{type(failure).__name__}: {failure}"
        for pattern, words in _WORDS:
            if re.search(pattern, said, re.IGNORECASE):
                return (TimeoutError if words.endswith("in time") else OSError)(f"{self._place} {words}")
        return OSError(f"{self._place} has failed: {_ADDRESSES.sub('…', said)[:_SAID_MOST]}")
