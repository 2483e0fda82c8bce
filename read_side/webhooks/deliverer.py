"""All webhooks of a process: begun, ended and begun anew as commands change the file that they are kept in.

Nothing that happens here reaches whoever folds or answers: a file that cannot be used, a receiver and a bug are told, and tried
again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from fanfold.api.retry import retry
from read_side.webhooks.alone import alone
from read_side.webhooks.apart import apart
from read_side.webhooks.batches import Batch
from read_side.webhooks.database import HooksUnavailable
from read_side.webhooks.delivery import Lane
from read_side.webhooks.file_calls import THREAD, WAITS, FileCalls
from read_side.webhooks.hooks import Hook
from read_side.webhooks.kept_hooks import KeptHooks, Stored
from read_side.webhooks.lane import Clock, Counts, LaneRun, Send, sent
from read_side.webhooks.source import Source
from read_side.webhooks.stored_together import StoredTogether

LOOK_S: Final = 0.05
"""Between two looks whether there are new blocks: comparisons of numbers."""
LOOKS_AT_FILE: Final = 20
"""Of those between two looks whether a command has changed something: a second."""
RELOAD_LOOKS: Final = 600
"""Secrets end by time: after so many everything is read anew."""
STORE_LOOKS: Final = 100
"""After so many the places are stored that were passed over without a delivery."""
NO_FILE_S: Final = 1.0
ENDING_S: Final = 10.0
"""How long lanes that were cancelled are waited for: a call to the file ends, and nothing else may take long."""
AT_ONCE: Final = 2
"""Deliveries of one webhook under way. A partition each: of one partition they follow each other."""

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
        self._heads: dict[int, int] = {}
        self._file = FileCalls(path, clock.sleep, self._tell, clock.wall_us)
        self._stored = StoredTogether(self._file, clock.sleep)
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
        reason = self._file.silence() or self.trouble
        return [] if reason is None else [f"webhooks: {reason}"]

    def _waits_for_another(self) -> None:
        self.trouble = "another process delivers them; this one waits until that has ended"
        _log.info("webhooks are delivered by another process", file=str(self.path))

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
        while not await self._is_there():
            self.trouble = None  # nobody wants any
            await self._clock.sleep(NO_FILE_S)
        held = alone(self.path, self._clock.sleep, self._waits_for_another, self._file.waited_for)
        async with held, self._file.opened():
            self.trouble, self._reload, self._heads = None, True, {}
            try:
                await self._look_for_ever()
            finally:
                await self._end([*self._tasks])
                await self._stored.end()
                await asyncio.gather(*(source.close() for source in self._sources))

    async def _is_there(self) -> bool:
        with self._file.waited_for():
            return await apart(THREAD, self.path.exists)

    async def _look_for_ever(self) -> None:
        """Raises HooksUnavailable."""
        positions, seen, look = [-2] * len(self._sources), -1, 0
        while True:
            if look % LOOKS_AT_FILE == 0:
                changes = await self._file.call(KeptHooks.changes)
                if changes != seen or self._reload or look % RELOAD_LOOKS == 0:
                    seen, self._reload, self.trouble = changes, False, None
                    await self._arrange(await self._file.call(KeptHooks.hooks, self._clock.wall_us()))
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
            self.letters[hook.id], due = await self._file.call(KeptHooks.counted, hook.id)
            running = self._tasks.get(hook.id)
            if hook.paused is None and running is None:
                await self._begin(hook)
            if hook.paused is None and due and not any(each.get_name() == _LETTERS for each in self._tasks[hook.id]):
                self._tasks[hook.id].append(asyncio.create_task(self._try_letters(hook), name=_LETTERS))

    async def _begin(self, hook: Hook) -> None:
        stored = await self._file.call(KeptHooks.lanes, hook.id)
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

    async def _try_letters(self, hook: Hook) -> None:
        """Those that a person wants tried again, once each, one after the other."""
        task, counts = asyncio.current_task(), self.counts[hook.id]
        try:
            while (letter := await self._file.lasting(KeptHooks.next_due, hook.id)) is not None:
                number, message_id, body = letter
                answer = await sent(self._send, hook, message_id, body, self._clock.wall_us())
                counts.deliveries += answer.is_taken
                counts.failures += not answer.is_taken
                await self._file.lasting(KeptHooks.tried, number, None if answer.is_taken else str(answer))
        except Exception:
            _log.exception("dead letters were not tried", webhook=hook.id)
        finally:
            self._reload = True
            if task is not None and task in self._tasks.get(hook.id, ()):
                self._tasks[hook.id].remove(task)

    # -- what lanes have stored ---------------------------------------------------------------------------------------

    async def store(self, hook: Hook, partition: int, lane: Lane, pause: str | None) -> bool:
        self._reload = self._reload or pause is not None
        return await self._stored.store(Stored(hook, partition, lane, pause))

    async def bury(self, hook: Hook, partition: int, lane: Lane, batch: Batch, error: str) -> bool:
        self._reload = True
        return await self._file.lasting(KeptHooks.bury, hook, partition, lane, batch, error, self._clock.wall_us())

    async def dead(self, hook: Hook) -> int:
        return (await self._file.lasting(KeptHooks.counted, hook.id))[0]

    async def _store_passed(self) -> None:
        heads = {source.partition: source.position() for source in self._sources if source.position() >= 0}
        if heads != self._heads:
            await self._file.call(KeptHooks.store_heads, heads)
            self._heads = heads
        passed = [
            (run, Stored(run.hook, run.source.partition, run.lane, None))
            for lanes in self._lanes.values()
            for run in lanes
            if run.lane is not None and run.lane != run.stored and not run.is_storing
        ]
        if passed:
            results = await self._file.call(KeptHooks.store, [each for _, each in passed])
            for (run, each), result in zip(passed, results, strict=True):
                run.stored = each.lane if result else run.stored


_LETTERS: Final = "dead letters"
