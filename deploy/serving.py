"""Serving an ASGI application next to work that must not stop: what `fanfold up` and every single service have in common."""

from __future__ import annotations

import asyncio
import functools
import gc
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyarrow as pa
import uvicorn
import uvloop
from prometheus_client import CollectorRegistry, ProcessCollector

from deploy import one_heap
from deploy.allowed_hosts import AllowedHosts
from deploy.bounded_http import HEAD_MS_MAX, BoundedHttpProtocol, ToldPages
from deploy.code_in_memory import COMPILER, give_back_code_of
from deploy.descriptors import connections_max
from deploy.repeated_logs import say_seldom
from deploy.told_failures import tell_places_only
from deploy.unread_output import never_waiting
from write_side.contract.log.bounded_kafka import cancel_until_ended

DRAIN_S = 5
"""Open requests get this long at a stop; every one of them can be sent again with the same id."""

BACKLOG = 4096
"""Connections that the kernel keeps until they are accepted; Linux allows no more by default. Beyond it a client's first packets
are dropped, and it tries again after 1, 3, 7, 15 s."""
ACCEPTED_A_TURN = 16
"""uvloop accepts one connection a turn of the loop from each listening socket, and a turn is long when many are served: 2,000
newcomers waited a minute beside 256 busy connections. So there are so many sockets over one port's queue."""
YOUNG_OBJECTS = 100_000
OLDER_PASSES = 50
"""The collector looks through what was made since its last look after so many objects (Python: 700), and through what is older
after so many of those looks (10). Next to nothing here is garbage in cycles, and requests in flight are many objects: a third of
the time of full load went into looking."""

BESIDE_MAX = 32
"""Connections to the door beside: a few who look, of the descriptors that are kept anyway."""


def run(main: Coroutine[Any, Any, None]) -> None:
    """`main` to its end on uvloop. Every process that serves is run by this: none must be left on asyncio's own, slower loop."""
    one_heap.for_all_threads()
    tell_places_only()
    with never_waiting(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        say_seldom("aiokafka")
        try:
            runner.run(main)
        finally:
            end_tasks(runner.get_loop())


def process_metrics() -> CollectorRegistry:
    """What a service counts, with the memory, the processor time and the open files of its process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left now, and again and again, for a loop that is about to be closed: its close cancels once and waits, and
    a client of Kafka that swallows that now and then would keep the process for ever."""
    for task in asyncio.all_tasks(loop):
        cancel_until_ended(task)


class CannotListen(Exception):
    """The address is taken or not ours."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, bound before anything else is opened. Raises CannotListen."""
    # The protocol is named, and Nagle's delay off before anybody connects (accepted sockets inherit it): asyncio leaves it on
    # where no protocol is named, and then an answer's body waits 40 ms for the client's delayed acknowledgement of its head.
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        bound.bind((host, port))
        bound.listen(BACKLOG)  # so that a probe of the port sees it open
    except OSError as error:
        bound.close()
        raise CannotListen(
            f"cannot listen on {host}:{port} ({error.strerror}). Nothing was started. Stop what uses the port, or "
            "choose another one."
        ) from error
    return bound


def keep_what_was_made() -> None:
    """Leave what a start has made out of the collector's passes: it stays for ever, and looking through it again and again cost a
    third of every request. What it has freed is given back: the C library keeps freed pieces of up to 32 MiB for itself, which
    after the folding of a log is some 50 MiB that nobody asks for again."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    one_heap.give_back()
    give_back_code_of(COMPILER)
    gc.set_threshold(YOUNG_OBJECTS, OLDER_PASSES, OLDER_PASSES)
    gc.freeze()


class Beside(NamedTuple):
    """Another door of the same process, from before its start is over until its work has ended."""

    app: Any
    bound: socket.socket
    hosts: AllowedHosts


class _Server(uvicorn.Server):
    """stopping: called when it begins to stop, before it waits for the requests that are open."""

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are handled by `serve`: uvicorn would raise them again before what was taken is answered."""
        yield


async def _at_once() -> None:
    """A start that has nothing to do."""


def _nothing() -> None:
    """A stop that nothing waits for."""


def _config(
    app: Any, ws: Any, hosts: AllowedHosts, head_ms: int, most: int, told_pages: ToldPages | None = None
) -> uvicorn.Config:
    """most: connections that may be open."""
    return uvicorn.Config(
        app,
        ws=ws,
        http=functools.partial(  # type: ignore[arg-type]  # it only calls it
            BoundedHttpProtocol, hosts, head_ms, most, told_pages=told_pages
        ),
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
        proxy_headers=False,  # uvicorn would believe whoever is on loopback; gateway/arrivals/forwarded.py believes who is listed
        backlog=BACKLOG,
        timeout_graceful_shutdown=DRAIN_S,
        timeout_keep_alive=75,
    )


async def serve(
    app: Any,
    bound: socket.socket,
    *,
    work: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    drain: Callable[[], Coroutine[Any, Any, None]] = _at_once,
    on_started: Callable[[], None],
    hosts: AllowedHosts,
    start: Callable[[], Coroutine[Any, Any, None]] = _at_once,
    stopping: Callable[[], None] = lambda: None,
    ws: Any = "none",
    head_ms: int = HEAD_MS_MAX,
    connections: int | None = None,
    beside: Beside | None = None,
    told_pages: ToldPages | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, or until one of `work` ends: it is meant to run for ever, so its failure is raised.

    Requests are answered from the first second, while `start` folds the logs: the doors say so, and how far it is. `work` begins
    after it, and then `on_started` is called.  `drain` runs after the last request was taken and before the work is cancelled.

    stopping: called when the stop begins, for what would hold it up: answers that go on for ever.
    connections: open ones at most; None: as many as leave the log its files. Call it when the logs are open.
    beside: another door, which is answered for as long as the process lives.
    """
    most = connections_max() if connections is None else connections
    server = _Server(_config(app, ws, hosts, head_ms, most, told_pages), stopping)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    listening = [bound, *(bound.dup() for _ in range(ACCEPTED_A_TURN - 1))]
    serving = asyncio.create_task(server.serve(sockets=listening))
    other = (
        None if beside is None else _Server(_config(beside.app, "none", beside.hosts, head_ms, BESIDE_MAX), _nothing)
    )
    other_serving = None
    if beside is not None and other is not None:
        other_serving = asyncio.create_task(other.serve(sockets=[beside.bound]))
    working = [asyncio.create_task(start())]
    await asyncio.wait([serving, *working], return_when=asyncio.FIRST_COMPLETED)
    if working[0].done() and working[0].exception() is None and not serving.done():
        keep_what_was_made()
        on_started()
        working = [asyncio.create_task(part()) for part in work]
        await asyncio.wait([serving, *working], return_when=asyncio.FIRST_COMPLETED)
    failures = [task.exception() for task in working if task.done() and not task.cancelled()]
    server.should_exit = True
    await serving
    if not failures:
        await drain()
    for task in working:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    if other is not None and other_serving is not None:
        other.should_exit = True
        await other_serving
    for failure in failures:
        if failure is not None:
            raise failure
