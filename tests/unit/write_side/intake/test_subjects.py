"""Looking for what a command is about: however many ask, it takes one look at each log and one thread a partition."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.simulation import virtual_time
from tests.unit.write_side.deciding import NOON_US, id_at
from tests.unit.write_side.running import DEADLINE_S, RunningPartition
from write_side.contract.log.log import START, Record
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.intake import subjects as subjects_module
from write_side.intake.lane import Overloaded
from write_side.intake.subjects import LOOK_UPS_MAX, Subjects
from write_side.ledger.commands.commands import Mode, OpenAccount, Reverse, Void
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.owner.outcomes import Outcomes, OutcomeUnknown


class CountedReads(MemoryLog):
    """Counts the reads that are open at once, each of which would be a consumer of its own. is_silent: none ever answers."""

    def __init__(self, *, is_silent: bool = False) -> None:
        super().__init__(MemoryRecords(2))
        self.open = self.most = self.reads = 0
        self._is_silent = is_silent

    async def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        self.open += 1
        self.reads += 1
        self.most = max(self.most, self.open)
        try:
            await (asyncio.get_running_loop().create_future() if self._is_silent else asyncio.sleep(0))
            async for run in super().read(partition, after):
                yield run
        finally:
            self.open -= 1


def _void(number: int) -> Void:
    return Void(id_at(NOON_US, number), id_at(NOON_US, 100_000 + number))


def _number(number: int) -> Callable[[State], int]:
    return lambda _: number


def _six_by(number: int) -> Callable[[State], int]:
    return lambda _: 6 // number


def _followed(log: MemoryLog) -> Outcomes:
    return Outcomes(0, Replay(State(0, 2), FINGERPRINTS), log)


def test_a_thousand_voids_of_unknown_holds_share_the_looks_at_a_followed_log() -> None:
    log = CountedReads()

    async def asked() -> None:  # on virtual time: each has half a second, however long a thousand take a busy machine
        subjects = Subjects({0: _followed(log)})
        await asyncio.gather(*(subjects.home_of_hold(_void(n)) for n in range(1, 1_001)))

    virtual_time.run(asked, lambda: 0.0)
    assert log.most == 1
    assert log.reads <= 2


def test_a_log_that_does_not_answer_is_waited_for_within_the_time_to_catch_up() -> None:
    log = CountedReads(is_silent=True)

    async def asked() -> None:
        with pytest.raises(OutcomeUnknown):
            await asyncio.wait_for(_followed(log).caught_up(0.5), 0.6)

    virtual_time.run(asked, lambda: 0.001)
    assert log.reads == 1


async def test_however_many_ask_a_state_that_is_busy_the_writers_have_their_threads() -> None:
    loop = asyncio.get_running_loop()
    outcomes = _followed(MemoryLog(MemoryRecords(2)))
    lock, held, release = outcomes.state.lock, threading.Event(), threading.Event()

    def decide() -> None:
        with lock:
            held.set()
            release.wait(DEADLINE_S)

    writer = threading.Thread(target=decide)
    writer.start()
    held.wait()
    with ThreadPoolExecutor(2) as few:
        loop.set_default_executor(few)
        asking = [asyncio.create_task(outcomes.ask(_number(n))) for n in range(1_500)]
        await asyncio.sleep(0)
        try:
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "decided"), DEADLINE_S / 4) == "decided"
        finally:
            release.set()
        assert await asyncio.wait_for(asyncio.gather(*asking), DEADLINE_S) == list(range(1_500))
        writer.join()


async def test_a_question_that_fails_fails_alone() -> None:
    outcomes = _followed(MemoryLog(MemoryRecords(2)))
    held, release = threading.Event(), threading.Event()

    def decide() -> None:
        with outcomes.state.lock:
            held.set()
            release.wait(DEADLINE_S)

    writer = threading.Thread(target=decide)
    writer.start()
    held.wait()
    asking = [asyncio.create_task(outcomes.ask(_six_by(n))) for n in (1, 0, 2)]
    leaving = asyncio.create_task(outcomes.ask(lambda _: 1))
    await asyncio.sleep(0)
    leaving.cancel()
    release.set()
    one, failed, two = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), DEADLINE_S)
    assert (one, type(failed), two) == (6, ZeroDivisionError, 3)
    writer.join()


def test_more_that_look_than_may_are_refused_as_not_taken_and_the_others_are_not() -> None:
    async def told() -> list[object]:
        subjects = Subjects({0: _followed(CountedReads())})
        asking = (subjects.home_of_hold(_void(n)) for n in range(1, LOOK_UPS_MAX + 11))
        found = await asyncio.gather(*asking, return_exceptions=True)
        assert await subjects.home_of_hold(_void(1)) == 0  # there is room again
        return [type(each) if isinstance(each, Exception) else each for each in found]

    assert virtual_time.run(told, lambda: 0.001) == [0] * LOOK_UPS_MAX + [Overloaded] * 10


async def test_a_line_that_is_not_looked_for_behind_one_that_ran_leaves_the_outcome_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with RunningPartition(MemoryRecords(1)) as partition:
        reverse = Reverse(id_at(NOON_US, 1), id_at(NOON_US, 2))
        submit = partition.intake.submit((OpenAccount("a", "USD/2", 0, ""), reverse), Mode.STOP)
        running = asyncio.create_task(submit)
        while not partition.intake._lanes[0].gathered:  # noqa: ASYNC110 -- both lines were looked for
            await asyncio.sleep(0)
        monkeypatch.setattr(subjects_module, "LOOK_UPS_MAX", 0)
        with pytest.raises(OutcomeUnknown):
            await asyncio.wait_for(running, DEADLINE_S)
