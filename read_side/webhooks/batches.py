"""What is delivered: the wanted events of blocks, as bodies of bounded size. The same events behind the same place are the same
body for ever, and the same message id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fanfold.api.webhooks import BALANCES_TYPE, BODY_BYTES_MAX, CHANGES_MAX, TEST_TYPE
from read_side.webhooks.hooks import Hook
from read_side.whole_log.event_place import Place, count_up_to
from read_side.whole_log.event_runs import BlockEvents
from write_side.contract.words.atoms import available
from write_side.contract.words.position import Position
from write_side.contract.words.times import format_time

_ENVELOPE_BYTES_MAX: Final = 1_024


class Batch(NamedTuple):
    """One delivery. place: of its last change; changes: how many."""

    place: Place
    message_id: str
    body: bytes
    changes: int


class Wanted(NamedTuple):
    """The wanted events of blocks behind a place. floor: int64[n], of the account of each. blocks: that they are of."""

    events: pa.Table
    floor: npt.NDArray[np.int64]
    blocks: BlockEvents

    def up_to(self, last: Place) -> Wanted:
        """Those that stand there or before; all of them where none does."""
        count = count_up_to(self.events, last) or len(self.events)
        return Wanted(self.events.slice(0, count), self.floor[:count], self.blocks)

    def batches(self, hook: Hook, partition: int) -> Iterator[Batch]:
        """In their order, made one at a time."""
        for at in range(0, len(self.events), CHANGES_MAX):
            part = slice(at, at + CHANGES_MAX)
            rows = self.events.slice(at, CHANGES_MAX).to_pylist()
            yield from self._cut(hook, partition, rows, self.floor[part].tolist())

    def _cut(self, hook: Hook, partition: int, rows: list[dict[str, Any]], floors: list[int]) -> Iterator[Batch]:
        """By bytes: where references are long, and never between the bytes of a change."""
        first, texts, size = 0, list[bytes](), _ENVELOPE_BYTES_MAX
        for number, (row, floor) in enumerate(zip(rows, floors, strict=True)):
            text = msgspec.json.encode(_change(row, floor))
            if texts and size + len(text) + 1 > BODY_BYTES_MAX:
                yield self._batch(hook, partition, rows[first], rows[number - 1], texts)
                first, texts, size = number, [], _ENVELOPE_BYTES_MAX
            texts.append(text)
            size += len(text) + 1
        if texts:
            yield self._batch(hook, partition, rows[first], rows[-1], texts)

    def _batch(
        self, hook: Hook, partition: int, first: dict[str, Any], last: dict[str, Any], texts: list[bytes]
    ) -> Batch:
        begins, ends = (Place(row["sequence"], row["row"], row["leg"]) for row in (first, last))
        block_hash = self.blocks.hashes[ends.sequence - self.blocks.first].tobytes().hex()
        data = {
            "webhook": hook.id,
            "partition": partition,
            "position": str(Position(partition, ends.sequence)),
            "block_hash": block_hash,
        }
        head = msgspec.json.encode({"type": BALANCES_TYPE, "timestamp": _time(last), "data": data})
        body = b"".join((head[:-2], b',"changes":[', b",".join(texts), b"]}}"))
        places = "_".join("-".join(map(str, place)) for place in (begins, ends))
        return Batch(ends, f"msg_{hook.id}_{partition}_{places}", body, len(texts))


def wanted_of(hook: Hook, blocks: BlockEvents, behind: Place, floor_of: Any) -> Wanted:
    """Which events of these blocks the hook wants, of those behind a place. floor_of: of accounts, list[str] to int64[n].

    Whole columns are looked at, and rows made of what is wanted alone.
    """
    events = (
        blocks.events.slice(count_up_to(blocks.events, behind)) if behind.sequence >= blocks.first else blocks.events
    )
    if len(events):
        is_wanted = hook.wants.of(events["account"])
        events = events.filter(pa.array(is_wanted)) if is_wanted.any() else events.slice(0, 0)
    floor = floor_of(events["account"].to_pylist()) if len(events) else np.empty(0, np.int64)
    return Wanted(events, floor, blocks)


def probe(hook_id: str, message_id: str, at_us: int) -> Batch:
    """What `fanfold webhook test` sends: nothing has changed."""
    body = {"type": TEST_TYPE, "timestamp": format_time(at_us), "data": {"webhook": hook_id}}
    return Batch(Place(-1, 0, 0), message_id, msgspec.json.encode(body), 0)


def _change(row: dict[str, Any], floor: int) -> dict[str, Any]:
    left = available(row["posted"], row["held"], floor)
    told = {
        "id": f"{row['partition']}:{row['sequence']}:{row['row']}:{row['leg']}",
        "account": row["account"],
        "asset": row["asset"],
        "version": row["version"],
        "posted": str(row["posted"]),
        "held": str(row["held"]),
        "available": None if left is None else str(left),
        "kind": row["kind"],
        "at": _time(row),
        "position": str(Position(row["partition"], row["sequence"])),
    }
    return told | {name: row[name] for name in ("transfer", "reference", "flags") if row[name] is not None}


def _time(row: dict[str, Any]) -> str:
    return f"{row['time'].replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
