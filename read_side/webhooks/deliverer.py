"""All webhooks of a process: begun, ended and begun anew as commands change the file that they are kept in.

One process delivers over a file: who comes second waits for the first to end. Nothing that happens here reaches whoever folds or
answers: a file that cannot be used, a receiver, a bug are told and tried again.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import structlog

from fanfold.api.retry import Waits, retry
from read_side.webhooks.batches import Batch
from read_side.webhooks.delivery import Lane
from read_side.webhooks.hooks import Hook
from read_side.webhooks.kept_hooks import HooksUnavailable, KeptHooks, Stored
from read_side.webhooks.lane import Clock, Counts, LaneRun, Send, sent
from read_side.webhooks.source import Source

P = ParamSpec("P")
T = TypeVar("T")

LOOK_S: Final = 0.05
"""Between two looks whether there are new blocks: comparisons of numbers."""
LOOKS_AT_FILE: Final = 20
"""Of those between two looks whether a command has changed something: a second."""
RELOAD_LOOKS: Final = 600
"""Secrets end by time: after so many everything is read anew."""
STORE_LOOKS: Final = 100
"""After so many the places are stored that were passed over without a delivery."""
STORE_REST_S: Final = 0.02
"""Between two transactions of lanes, which share the disk with the log."""
NO_FILE_S: Final = 1.0
SECOND_S: Final = 2.0
ENDING_S: Final = 10.0
"""How long lanes that were cancelled are waited for: a call to the file ends, and nothing else may take long."""
AT_ONCE: Final = 2
"""Deliveries of one webhook under way. A partition each: of one partition they follow each other."""
WAITS: Final = Waits(1.0, 30.0)

_log = structlog.get_logger(__name__)


class Deliverer:
    """`run` for ever; it raises nothing. path: of the file, which need not be there yet."""

    def __init__(self, path: Path, sources: Sequence[Source], send: Send, clock: Clock) -> None:
        self.path = path
        self.counts: dict[str, Counts] = {}
        self.letters: dict[str, int] = {}
        self.hooks: dict[str, Hook] = {}
        self.trouble: str | None = None
        """Why nothing is delivered at all now."""
        self._sources, self._send, self._clock = sources, send, clock
        self._lanes: dict[str, list[LaneRun]] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._kept: KeptHooks | None = None
        self._heads: dict[int, int] = {}
        self._using = asyncio.Lock()
        self._waiting: list[tuple[Stored, asyncio.Future[bool]]] = []
        self._storing: asyncio.Task[None] | None = None
        self._reload = True

    async def run(self) -> None:
        while True:
            await retry(self._deliver_guarded, HooksUnavailable, WAITS, self._clock.sleep, self._tell)

    def behind(self, hook_id: str) -> int | None:
        """Blocks, of all partitions; None while nothing is delivered."""
        lanes = self._lanes.get(hook_id)
        return None if lanes is None else sum(lane.behind for lane in lanes)

    def degraded(self) -> list[str]:
        """For `/readyz`: nobody should be sent elsewhere for it."""
        return [] if self.trouble is None else [f"webhooks: {self.trouble}"]

    def _tell(self, failure: Exception) -> None:
        self.trouble = str(failure)
        _log.warning("webhooks are not delivered now, tried again", reason=self.trouble)

    async def _deliver_guarded(self) -> None:
        try:
            await self._deliver()
        except HooksUnavailable:
            raise
        except Exception as bug:
            _log.exception("webhooks failed")
            raise HooksUnavailable(f"{type(bug).__name__}: the service's log has more") from bug

    async def _deliver(self) -> None:
        while not self.path.exists():
            self.trouble = None  # nobody wants any
            await self._clock.sleep(NO_FILE_S)
        async with self._alone(), self._opened():
            self.trouble, self._reload = None, True
            try:
                await self._look_for_ever()
            finally:
                await self._end([*self._tasks])
                await self._end_storing()
                await asyncio.gather(*(source.close() for source in self._sources))

    async def _look_for_ever(self) -> None:
        """Raises HooksUnavailable."""
        positions, seen, look = [-2] * len(self._sources), -1, 0
        while True:
            if look % LOOKS_AT_FILE == 0:
                changes = await self.call(KeptHooks.changes)
                if changes != seen or self._reload or look % RELOAD_LOOKS == 0:
                    seen, self._reload, self.trouble = changes, False, None
                    await self._arrange(await self.call(KeptHooks.hooks, self._clock.wall_us()))
            if look % STORE_LOOKS == 0:
                await self._store_passed()
            now = [source.position() for source in self._sources]
            for at, (before, after) in enumerate(zip(positions, now, strict=True)):
                if before != after:
                    for lanes in self._lanes.values():
                        lanes[at].woken.set()
            positions, look = now, look + 1
            await self._clock.sleep(LOOK_S)

    async def _arrange(self, hooks: Sequence[Hook]) -> None:
        """What is to run, runs, and nothing else."""
        wanted = {hook.id: hook for hook in hooks}
        await self._end([each for each in self._tasks if wanted.get(each) != self.hooks.get(each)])
        self.hooks = wanted
        for gone in self.counts.keys() - wanted.keys():
            del self.counts[gone]
        for gone in self.letters.keys() - wanted.keys():
            del self.letters[gone]
        for hook in hooks:
            self.letters[hook.id], due = await self.call(KeptHooks.counted, hook.id)
            running = self._tasks.get(hook.id)
            if hook.paused is None and running is None:
                await self._begin(hook)
            if hook.paused is None and due and not any(each.get_name() == _LETTERS for each in self._tasks[hook.id]):
                self._tasks[hook.id].append(asyncio.create_task(self._try_letters(hook), name=_LETTERS))

    async def _begin(self, hook: Hook) -> None:
        stored = await self.call(KeptHooks.lanes, hook.id)
        permit, counts = asyncio.Semaphore(AT_ONCE), self.counts.setdefault(hook.id, Counts())
        lanes = [
            LaneRun(hook, source, stored.get(source.partition), self._send, self, self._clock, permit, counts)
            for source in self._sources
        ]
        self._lanes[hook.id] = lanes
        self._tasks[hook.id] = [asyncio.create_task(lane.run()) for lane in lanes]

    async def _end(self, hook_ids: Sequence[str]) -> None:
        tasks = [task for each in hook_ids for task in self._tasks.pop(each, [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=ENDING_S)
        for each in hook_ids:
            self._lanes.pop(each, None)

    async def _end_storing(self) -> None:
        """Nobody waits for it any more."""
        if self._storing is not None:
            self._storing.cancel()
            await asyncio.gather(self._storing, return_exceptions=True)
        self._waiting, self._storing = [], None

    async def _try_letters(self, hook: Hook) -> None:
        """Those that a person wants tried again, once each, one after the other."""
        task, counts = asyncio.current_task(), self.counts[hook.id]
        try:
            while (letter := await self._lasting(KeptHooks.next_due, hook.id)) is not None:
                number, message_id, body = letter
                answer = await sent(self._send, hook, message_id, body, self._clock.wall_us())
                counts.deliveries += answer.is_taken
                counts.failures += not answer.is_taken
                await self._lasting(KeptHooks.tried, number, None if answer.is_taken else str(answer))
        except Exception:
            _log.exception("dead letters were not tried", webhook=hook.id)
        finally:
            self._reload = True
            if task is not None and task in self._tasks.get(hook.id, ()):
                self._tasks[hook.id].remove(task)

    # -- what lanes have stored ---------------------------------------------------------------------------------------

    async def store(self, hook: Hook, partition: int, lane: Lane, pause: str | None) -> bool:
        """Together with whatever else is to be stored then, so that the disk is not asked for a sync a delivery."""
        self._reload = self._reload or pause is not None
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((Stored(hook, partition, lane, pause), stored))
        if self._storing is None or self._storing.done():
            self._storing = asyncio.create_task(self._store_waiting())
        return await stored

    async def _store_waiting(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting, []
            try:
                results = await self._lasting(KeptHooks.store, [each for each, _ in taken])
            except Exception as bug:  # each of them tells it
                for _, stored in taken:
                    if not stored.done():
                        stored.set_exception(bug)
                continue  # those that came meanwhile wait for nobody else
            for (_, stored), result in zip(taken, results, strict=True):
                if not stored.done():
                    stored.set_result(result)
            await self._clock.sleep(STORE_REST_S)

    async def bury(self, hook: Hook, partition: int, lane: Lane, batch: Batch, error: str) -> bool:
        self._reload = True
        return await self._lasting(KeptHooks.bury, hook, partition, lane, batch, error, self._clock.wall_us())

    async def dead(self, hook: Hook) -> int:
        return (await self._lasting(KeptHooks.counted, hook.id))[0]

    async def _store_passed(self) -> None:
        heads = {source.partition: source.position() for source in self._sources if source.position() >= 0}
        if heads != self._heads:
            await self.call(KeptHooks.store_heads, heads)
            self._heads = heads
        passed = [
            (run, Stored(run.hook, run.source.partition, run.lane, None))
            for lanes in self._lanes.values()
            for run in lanes
            if run.lane is not None and run.lane != run.stored and not run.is_storing
        ]
        if passed:
            results = await self.call(KeptHooks.store, [each for _, each in passed])
            for (run, each), result in zip(passed, results, strict=True):
                run.stored = each.lane if result else run.stored

    # -- the file -----------------------------------------------------------------------------------------------------

    async def _lasting(self, method: Callable[Concatenate[KeptHooks, P], T], *given: P.args, **named: P.kwargs) -> T:
        """As `call`, tried again until the file can be used: a delivery that cannot be stored is followed by no other."""

        async def attempt() -> T:
            return await self.call(method, *given, **named)

        return await retry(attempt, HooksUnavailable, WAITS, self._clock.sleep, self._tell)

    async def call(self, method: Callable[Concatenate[KeptHooks, P], T], *given: P.args, **named: P.kwargs) -> T:
        """One method of the file at a time, in a thread."""
        async with self._using:
            assert self._kept is not None, "opened"
            return await _whole(asyncio.to_thread(method, self._kept, *given, **named))

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        self._kept = await asyncio.to_thread(KeptHooks.opened, self.path)
        self._heads = {}
        try:
            yield
        finally:
            async with self._using:
                self._kept.close()
                self._kept = None

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """The kernel drops the lock with the process, however it ends."""
        try:
            descriptor = os.open(lock_of(self.path), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as failed:
            raise HooksUnavailable(
                f"{lock_of(self.path)} cannot be made ({failed.strerror}): see its folder"
            ) from failed
        try:
            while not _locked(descriptor):
                if self.trouble is None:
                    self.trouble = "another process delivers them; this one waits until that has ended"
                    _log.info("webhooks are delivered by another process", file=str(self.path))
                await self._clock.sleep(SECOND_S)
            yield
        finally:
            os.close(descriptor)


_LETTERS: Final = "dead letters"


def lock_of(path: Path) -> Path:
    """Held by the process that delivers."""
    return path.with_name(f"{path.name}.lock")


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _whole(call: Coroutine[Any, Any, T]) -> T:
    """A call to the file is waited for, also by who is cancelled meanwhile: no two use the connection at a time."""
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise
