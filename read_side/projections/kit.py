"""To test a projection: given events, when projected, then these rows; and the same however the events are delivered.

    given(entry("alice", 1000), entry("alice", -250)).when(MonthlyTotals).then({("alice", "2026-01"): (1000, 250)})

`when` delivers them plainly, and again in many ways: in runs cut anywhere, told twice, with a crash before, in and behind a
transaction, one partition ahead of another. `check` does so with what it is given; let hypothesis choose: `st.randoms()`.
"""

from __future__ import annotations

import datetime
import random
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from read_side.projections.advance import advance
from read_side.projections.kept_rows import KeptRows
from read_side.projections.projection import Declared, Row, declared
from read_side.whole_log.event_runs import BlockEvents, EventRuns, events_of_log
from read_side.whole_log.event_table import EVENTS, OPENED
from write_side.contract.block.block import HASH_BYTES
from write_side.contract.log.log import Log
from write_side.contract.words.times import time_us

WAYS: Final = 20
"""In how many ways `when` delivers the events."""
_RUN_MAX: Final = 5
_ANY_DAY: Final = "2026-01-31T12:00:00Z"
_ANY_ID: Final = str(uuid.UUID(int=1))

Blocks = Sequence[BlockEvents]
"""The blocks of a partition, from the first on."""


class Given(NamedTuple):
    """An event: its columns (`EVENTS`), but those that follow from what is before it."""

    partition: int
    at: str
    columns: dict[str, Any]


def entry(
    account: str, amount: int, *, at: str = _ANY_DAY, asset: str = "USD/2", partition: int = 0, **more: Any
) -> Given:
    """Money came (minor units; minus: went). at: RFC 3339 with a zone. more: other columns, such as `kind` or `reference`."""
    told = {"kind": "transfer", "transfer": _ANY_ID, "held": 0} | more
    return Given(partition, at, {"account": account, "asset": asset, "amount": amount} | told)


def opened(account: str, *, at: str = _ANY_DAY, asset: str = "USD/2", partition: int = 0, **more: Any) -> Given:
    """An account was opened. more: `owner`, `floor`."""
    told = {"kind": OPENED, "amount": 0, "held": 0} | more
    return Given(partition, at, {"account": account, "asset": asset} | told)


def given(*events: Given) -> Events:
    """Each event is a block of its own, in this order within its partition."""
    logs: defaultdict[int, list[BlockEvents]] = defaultdict(list)
    version: defaultdict[tuple[int, str], int] = defaultdict(lambda: -1)
    posted: defaultdict[tuple[int, str], int] = defaultdict(int)
    for each in events:
        blocks, account = logs[each.partition], (each.partition, each.columns["account"])
        version[account] = max(version[account] + 1, int(each.columns["kind"] != OPENED))
        posted[account] += each.columns["amount"]
        moment = datetime.datetime.fromisoformat(each.at)
        place = {"partition": each.partition, "sequence": len(blocks), "row": 0, "leg": 0, "time": moment}
        after = {"version": version[account], "posted": posted[account]}
        table = pa.Table.from_pylist([place | after | each.columns], schema=EVENTS)
        blocks.append(_block(len(blocks), time_us(moment), table))
    return Events([logs[partition] for partition in range(max(logs, default=-1) + 1)])


class Events(NamedTuple):
    """By partition, its blocks."""

    partitions: Sequence[Blocks]

    def when(self, projection: Any) -> Outcome:
        """Projected. Raises AssertionError where the rows depend on how the events are delivered."""
        check(projection, self.partitions, random.Random(0), ways=WAYS)
        told = declared(projection)
        with KeptRows.held(None, told) as file:
            _deliver_plainly(file, self.partitions)
            return Outcome(dict(file.rows()), file.answer().rows if told.question is not None else None)


class Outcome(NamedTuple):
    """rows: by key, both as tuples; answer: of the projection's question, None where it has none."""

    rows: dict[Row, Row]
    answer: list[dict[str, Any]] | None

    def then(self, expected: Mapping[Any, Any]) -> Outcome:
        """These rows and no others; a key or a row of one column may be its value."""
        assert self.rows == {_tuple(key): _tuple(row) for key, row in expected.items()}
        return self

    def then_answers(self, expected: Sequence[Mapping[str, Any]]) -> Outcome:
        """What is told live."""
        assert self.answer == list(expected)
        return self


def check(projection: Any, partitions: Sequence[Blocks], chance: random.Random, ways: int = 1) -> None:
    """Raises AssertionError where the rows depend on how the blocks are cut, repeated, interleaved and met by crashes."""
    told = declared(projection)
    with KeptRows.held(None, told) as plainly:
        _deliver_plainly(plainly, partitions)
        expected = list(plainly.rows())
    single = [[one for blocks in log for one in _single(blocks)] for log in partitions]
    for _ in range(ways):
        deliveries: list[str] = []
        with KeptRows.held(None, told) as file:
            _deliver(file, single, chance, deliveries)
            found = list(file.rows())
        assert found == expected, (
            f"The rows of {told.name} depend on how its events are delivered: {_first_difference(found, expected)}. Delivered: "
            + "; ".join(deliveries)
        )


async def blocks_of(log: Log) -> list[list[BlockEvents]]:
    """All of a log, to `check` a projection with. Raises LogFailed, ChainBroken, CheckFailed."""
    found: list[list[BlockEvents]] = []
    for partition in range(log.partitions):
        runs = EventRuns(partition)
        found.append([each async for each in runs.follow(events_of_log(log, runs, follow=False))])
    return found


class _Crash(BaseException):
    """The process ends here."""


def _deliver_plainly(file: KeptRows, partitions: Sequence[Blocks]) -> None:
    file.begin("live")
    for partition, blocks in enumerate(partitions):
        for each in blocks:
            advance(file, "live", partition, each)


def _deliver(
    file: KeptRows, partitions: Sequence[Sequence[BlockEvents]], chance: random.Random, deliveries: list[str]
) -> None:
    """In any way that may happen, until all is stored."""
    file.begin("live")
    plain = file.declared
    while unfinished := [p for p, log in enumerate(partitions) if file.checkpoint("live", p).sequence + 1 < len(log)]:
        partition = chance.choice(unfinished)
        stored = file.checkpoint("live", partition).sequence
        first = chance.randint(0, stored + 1) if chance.random() < 0.3 else stored + 1
        last = min(stored + chance.randint(1, _RUN_MAX), len(partitions[partition]) - 1)
        crashes = chance.random() < 0.3
        deliveries.append(f"{partition}:{first} to {last}{', a crash' if crashes else ''}")
        file.declared = _crashing(plain, before=chance.random() < 0.5) if crashes else plain
        try:
            advance(file, "live", partition, _joined(partitions[partition][first : last + 1]))
        except _Crash:
            pass
        finally:
            file.declared = plain


def _crashing(plain: Declared, *, before: bool) -> Declared:
    def evolve(rows: Any, events: pa.Table) -> None:
        if not before:
            plain.evolve(rows, events)
        raise _Crash

    return plain._replace(evolve=evolve)


def _block(sequence: int, at_us: int, events: pa.Table) -> BlockEvents:
    return BlockEvents(sequence, np.array([at_us]), np.full((1, HASH_BYTES), sequence % 256, np.uint8), events)


def _single(blocks: BlockEvents) -> list[BlockEvents]:
    """Block by block."""
    sequence = np.asarray(blocks.events["sequence"].combine_chunks())
    found = []
    for place in range(len(blocks.at_us)):
        at, end = np.searchsorted(sequence, [blocks.first + place, blocks.first + place + 1]).tolist()
        one = slice(place, place + 1)
        found.append(
            BlockEvents(blocks.first + place, blocks.at_us[one], blocks.hashes[one], blocks.events.slice(at, end - at))
        )
    return found


def _joined(blocks: Sequence[BlockEvents]) -> BlockEvents:
    return BlockEvents(
        blocks[0].first,
        np.concatenate([each.at_us for each in blocks]),
        np.concatenate([each.hashes for each in blocks]),
        pa.concat_tables([each.events for each in blocks]),
    )


def _tuple(given: Any) -> Row:
    return given if isinstance(given, tuple) else (given,)


def _first_difference(found: Sequence[tuple[Row, Row]], expected: Sequence[tuple[Row, Row]]) -> str:
    one, other = dict(found), dict(expected)
    key = next(each for each in sorted(one.keys() | other.keys()) if one.get(each) != other.get(each))
    return f"{key} is {one.get(key)} so, and {other.get(key)} when told plainly"
