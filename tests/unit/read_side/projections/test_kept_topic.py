"""A topic says what its projection comes to, and whatever becomes of that reaches nobody else."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fanfold.api.frames.pushed import TOPIC_BYTES_MAX
from read_side.contract.topics import TopicAnswer, without_answer
from read_side.feed.topic_feed_memory import MemoryTopicFeed
from read_side.projections.kept_topic import KeptTopic
from tests.unit.read_side.whole_log.test_publish import LIMIT_S, Wallet


class Counts:
    name, version = "counts", 1
    key, row = {"account": str}, {"n": int}
    question = "SELECT account, n, n / 2.0 AS half, NULL AS unknown FROM counts ORDER BY account"

    def evolve(self, rows: Any, events: Any) -> None:
        for account, n in Counter(events["account"].to_pylist()).items():
            rows[account] = rows.get(account, 0) + n


class Raises(Counts):
    """In partition 0, from the second run of a wallet on."""

    name = "raises"
    question = "SELECT sum(n) AS n FROM raises"

    def evolve(self, rows: Any, events: Any) -> None:
        super().evolve(rows, events)
        if "stop" in switches and 0 in events["partition"].to_pylist():
            raise RuntimeError("this was not foreseen")


class Interrupts(Counts):
    name = "interrupts"
    question = "SELECT sum(n) AS n FROM interrupts"

    def evolve(self, rows: Any, events: Any) -> None:
        raise KeyboardInterrupt


class Long(Counts):
    name = "long"
    question = (
        "SELECT sum(n) AS n, CASE WHEN sum(n) BETWEEN 5 AND 12 THEN hex(zeroblob(40000)) ELSE '' END AS much FROM long"
    )


class Rows(Counts):
    name = "rows"
    question = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2000000) SELECT n FROM c"


class Silent(Counts):
    question = None  # type: ignore[assignment]


switches: set[str] = set()
"""What happens to the projections of a test now."""


@pytest.fixture(autouse=True)
def _switched_off() -> None:
    switches.clear()


@pytest.fixture
async def wallet() -> Wallet:
    wallet = Wallet(2)
    await wallet.open()
    return wallet


class Kept:
    """A topic that runs, and what gateways were told of it."""

    def __init__(self, wallet: Wallet, folder: Path, name: str) -> None:
        self.feed = MemoryTopicFeed()
        self.topic = KeptTopic(f"{__name__}:{name}", folder, self.feed, self._sleep)
        self.wallet, self.told = wallet, list[TopicAnswer]()

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        self.topic.announce()
        hearing = asyncio.create_task(self._hear())
        running = asyncio.create_task(self.topic.run(self.wallet.log, None))
        try:
            async with asyncio.timeout(LIMIT_S):
                yield running
        finally:
            running.cancel()
            hearing.cancel()
            await asyncio.gather(running, hearing, return_exceptions=True)

    async def _hear(self) -> None:
        async for answer in self.feed.subscribe():
            self.told.append(answer)

    async def until(self, seen: Callable[[], bool]) -> None:
        while not seen():  # noqa: ASYNC110 - the projection works in a thread of its own
            await asyncio.sleep(0.005)

    def rows(self) -> Any:
        return None if not self.told or self.told[-1].rows is None else json.loads(self.told[-1].rows)


def expected(wallet: Wallet) -> dict[str, int]:
    return Counter(each["subject"] for partition in range(2) for each in wallet.expected(partition))


async def test_answers_are_told_whole_with_amounts_as_digits_and_go_on_after_the_end(
    wallet: Wallet, tmp_path: Path
) -> None:
    kept = Kept(wallet, tmp_path / "made" / "topics", "Counts")

    def is_right() -> bool:
        return bool(kept.rows()) and {each["account"]: int(each["n"]) for each in kept.rows()} == expected(wallet)

    async with kept.running():
        await wallet.move(0)
        await kept.until(is_right)
    assert kept.told[0] == without_answer("counts")
    [first, *_] = kept.rows()
    assert first == {"account": first["account"], "n": first["n"], "half": int(first["n"]) / 2, "unknown": None}
    assert kept.topic.degraded() == []
    before, again = kept.told[-1], Kept(wallet, tmp_path / "made" / "topics", "Counts")
    async with again.running():
        await again.until(lambda: len(again.told) > 0 and again.told[-1].number > 0)
        assert again.told[-1] == before, "what is stored is told at once, under the number it had"
        await wallet.move(1)
        kept.told = again.told
        await again.until(is_right)
    assert again.told[-1].history == before.history
    assert again.told[-1].number > before.number


class Noting(MemoryTopicFeed):
    """notes: of each answer its rows, and whether it was said that they are not at the end of the log yet."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[tuple[Any, bool]] = []

    def tell(self, answer: TopicAnswer, *, catching_up: bool = False) -> None:
        if answer.rows is not None:
            self.notes.append((json.loads(answer.rows), catching_up))
        super().tell(answer)

    def has_told_all(self) -> bool:
        return any(not behind for _, behind in self.notes)


async def test_rows_are_said_to_be_behind_until_every_partition_was_at_the_end_of_the_log_or_can_go_no_further(
    wallet: Wallet, tmp_path: Path
) -> None:
    for name in ("Counts", "Raises"):
        kept = Kept(wallet, tmp_path, name)
        kept.feed = noting = Noting()
        kept.topic._feed = noting
        switches.add("stop")
        async with kept.running():
            await kept.until(noting.has_told_all)
        before = [rows for rows, behind in noting.notes if behind]
        told = next(rows for rows, behind in noting.notes if not behind)
        assert before, "what was there when it began was not known to be all"
        if name == "Counts":
            assert {each["account"]: int(each["n"]) for each in told} == expected(wallet)


async def test_a_projection_that_raises_keeps_its_last_answer_and_the_other_partition(
    wallet: Wallet, tmp_path: Path
) -> None:
    kept = Kept(wallet, tmp_path, "Raises")

    def counted() -> int:
        return int((kept.rows() or [{"n": None}])[0]["n"] or 0)

    async with kept.running() as running:
        await wallet.move(0)
        await kept.until(lambda: counted() == sum(expected(wallet).values()))
        switches.add("stop")
        before = counted()
        await wallet.move(0)
        await kept.until(lambda: bool(kept.topic.degraded()))
        [reason] = kept.topic.degraded()
        assert reason.startswith("topic raises: partition 0: raises failed in the blocks 0:")
        assert "RuntimeError: this was not foreseen" in reason
        await wallet.move(1)
        await kept.until(lambda: counted() > before)
        assert not running.done()
    assert kept.topic.degraded() == [reason]


async def test_an_answer_that_is_too_large_is_a_code_until_it_is_small_enough(wallet: Wallet, tmp_path: Path) -> None:
    kept = Kept(wallet, tmp_path, "Long")
    async with kept.running():
        await kept.until(lambda: kept.rows() == [{"n": "4", "much": ""}])
        before = kept.told[-1]
        await wallet.move(0)
        await kept.until(lambda: kept.told[-1].code == "topic_too_large")
        [reason] = kept.topic.degraded()
        assert "80,0" in reason
        assert f"more than {TOPIC_BYTES_MAX:,}" in reason
        assert (kept.told[-1].rows, kept.told[-1].number) == (None, before.number + 1)
        await wallet.move(0)
        await kept.until(lambda: kept.rows() == [{"n": "16", "much": ""}])
        assert kept.topic.degraded() == []


async def test_of_an_answer_without_a_limit_no_more_is_looked_at_than_could_be_told(
    wallet: Wallet, tmp_path: Path
) -> None:
    kept = Kept(wallet, tmp_path, "Rows")
    async with kept.running():
        await kept.until(lambda: bool(kept.topic.degraded()))
        [reason] = kept.topic.degraded()
    assert kept.told[-1].code == "topic_too_large"
    assert "LIMIT its question" in reason


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Silent", "has no `question`"),
        ("Nothing", "has no attribute"),
        ("LIMIT_S", "is no projection"),
        ("no", "no attribute"),
    ],
)
async def test_what_is_no_topic_is_told_and_the_process_goes_on(
    name: str, said: str, wallet: Wallet, tmp_path: Path
) -> None:
    kept = Kept(wallet, tmp_path, name)
    async with kept.running() as running:
        await running
    [reason] = kept.topic.degraded()
    assert said in reason
    assert "until the service starts again" in reason
    assert kept.told == []


async def test_a_projection_that_raises_what_ends_a_loop_ends_itself(wallet: Wallet, tmp_path: Path) -> None:
    kept = Kept(wallet, tmp_path, "Interrupts")
    async with kept.running() as running:
        await running
    [reason] = kept.topic.degraded()
    assert "KeyboardInterrupt was raised" in reason


async def test_a_module_that_ends_its_process_when_it_is_read_ends_nobody(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "ends_all.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    [reason] = KeptTopic("ends_all:Any", tmp_path, MemoryTopicFeed()).degraded()
    assert "SystemExit: 3" in reason


async def test_a_file_that_cannot_be_used_now_is_tried_again_and_one_of_others_is_left_alone(
    wallet: Wallet, tmp_path: Path
) -> None:
    kept = Kept(wallet, tmp_path / "topics", "Counts")
    (tmp_path / "topics").write_text("a file where the folder goes")
    async with kept.running():
        await kept.until(lambda: bool(kept.topic.degraded()))
        assert "cannot be made" in kept.topic.degraded()[0]
        (tmp_path / "topics").unlink()
        await kept.until(lambda: bool(kept.told) and kept.told[-1].number > 0)
        assert kept.topic.degraded() == []
    other = tmp_path / "others"
    other.mkdir()
    (other / "counts.db").write_text("nobody's database")
    refused = Kept(wallet, other, "Counts")
    async with refused.running() as running:
        await running
    assert "is no SQLite database" in refused.topic.degraded()[0]
    assert (other / "counts.db").read_text() == "nobody's database"
    assert refused.told == [without_answer("counts")]
