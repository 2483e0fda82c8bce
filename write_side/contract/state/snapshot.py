"""A partition's state at a position, as a file: what a start begins at instead of folding the whole log.

Everything that a fold brings about is in it: accounts, texts, ids, what is pending, the head of the chain, where blocks lie and
the hashes of the last ones. Not in it are the hash indexes: where a row lies in them is secret and differs in each process
(write_side/DECISIONS.md, decision 6), so they are built again, in the same pass that sums the digest from the rows. So what was
loaded is held to the digest of the block it stands at, row by row, and the texts to the keys.

The hash proves that the bytes are those that were written; that they belong to a log is for whoever has the log to find out
(`snapshots/`): the block at `block_offset` must have `block_hash`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.contract.block.block import HASH_BYTES
from write_side.contract.block.chain import Skip
from write_side.contract.log.block_offsets import BlockOffsets
from write_side.contract.state.account_rows import ASSET_SHIFT, FLAGS_AND_ASSET, KEY_A, ROW_KEY
from write_side.contract.state.block_hashes import BlockHashes
from write_side.contract.state.fold_run import Prints
from write_side.contract.state.ids import WIDTH as ID_WIDTH
from write_side.contract.state.ids import IdIndex
from write_side.contract.state.pending_columns import FIRST_LEG, LEG_WIDTH
from write_side.contract.state.pending_columns import WIDTH as PENDING_WIDTH
from write_side.contract.state.pending_index import NODE_WIDTH, WORK_COUNT
from write_side.contract.state.replay import Replay
from write_side.contract.state.snapshot_bytes import Array, Column, Reader, SnapshotRefused, written
from write_side.contract.state.state import Chained, State, identity_keys, string_keys, word_hash
from write_side.contract.state.texts import AT_ONCE, Joined

KEYS_AT_ONCE: Final = 1 << 20
"""Names hashed together: what hashes them takes 2 GiB of text at most."""
_SMALL: Final = {
    "changed_at_us": ("<i8", ()),
    "name_ends": ("<i8", ()),
    "name_bytes": ("|u1", ()),
    "owner_of": ("<u4", ()),
    "owner_ends": ("<i8", ()),
    "owner_bytes": ("|u1", ()),
    "asset_ends": ("<i8", ()),
    "asset_bytes": ("|u1", ()),
    "world": ("<i8", ()),
    "transit": ("<i8", ()),
    "kept_from_us": ("<u8", ()),
    "pending": ("<i8", (PENDING_WIDTH,)),
    "legs": ("<i8", (LEG_WIDTH,)),
    "nodes": ("<i8", (NODE_WIDTH,)),
    "roots": ("<i8", ()),
    "work": ("<i8", (3,)),
    "lows": ("<i8", ()),
    "offsets": ("<i8", ()),
    "offset_marks": ("<i8", ()),
    "hashes": ("|u1", (HASH_BYTES,)),
}
"""Type and the lengths behind the first of every column, but for the two large ones that are read into their tables."""


class Snapshot(NamedTuple):
    """A fold that stands at a position. entries: how many were folded until then."""

    replay: Replay
    hashes: BlockHashes
    entries: int


class SnapshotHead(NamedTuple):
    """What a snapshot says of itself: where it stands (see `Chained`), in which log, and what it is good for.

    with_prints: whether ids have their fingerprints, which who decides needs.  written_by: the version of fanfold, for people.
    block_offset, last_offset: of the last block in the state, and of the last record that was looked at.
    first_block_hash, first_block_offset: of block 0, which no two logs share.
    """

    written_by: str
    partition: int
    partitions: int
    with_prints: bool
    sequence: int
    block_hash: str
    epoch: int
    created_at_us: int
    consumed_to: int
    refuse_ids_before_us: int
    timeless_from_us: int
    digest: str
    block_offset: int
    last_offset: int
    first_block_hash: str
    first_block_offset: int
    passed: int
    skipped: dict[str, int]
    entries: int


def write_snapshot(snapshot: Snapshot, *, with_prints: bool, written_by: str) -> Iterator[bytes | memoryview]:
    """The bytes in pieces. Whoever owns the fold leaves it alone meanwhile; it has folded one block at least."""
    replay, state = snapshot.replay, snapshot.replay.state
    chained = state.chained
    _, block_offset = replay.offsets.nearest(chained.sequence)
    head = SnapshotHead(
        written_by=written_by, partition=state.partition, partitions=chained.partitions, with_prints=with_prints,
        sequence=chained.sequence, block_hash=chained.block_hash.hex(), epoch=chained.epoch, created_at_us=chained.created_at_us,
        consumed_to=chained.consumed_to, refuse_ids_before_us=chained.refuse_ids_before_us,
        timeless_from_us=state.ids.timeless_from_us, digest=state.digest_bytes().hex(), block_offset=block_offset,
        last_offset=replay.last_offset, first_block_hash=snapshot.hashes.first.hex(),
        first_block_offset=replay.offsets.nearest(0)[1], passed=replay.passed,
        skipped={str(reason): count for reason, count in replay.skipped.items()}, entries=snapshot.entries,
    )  # fmt: skip
    return written(head._asdict(), [*_accounts(state), *_ids(state), *_pending(state), *_places(snapshot)])


def compile_snapshots() -> None:
    """Compile what reading a snapshot takes, before anybody is served: loading compiled loops stops all for 0.1 s."""
    state = State(0)
    state.room_for_accounts(0)
    state.index_accounts(0, np.zeros(0, np.bool_))
    state.ids.refill(0, np.zeros(2, np.uint64), 0, state.digest)
    widths = ((0, PENDING_WIDTH), (0, LEG_WIDTH), (0, NODE_WIDTH), (0,), (0, 3), (0,))
    rows, legs, nodes, roots, work, lows = (np.zeros(shape, np.int64) for shape in widths)
    state.pending.refill(rows, legs, nodes, roots, work, lows, state.digest)


def _accounts(state: State) -> Iterator[Column]:
    yield Column.of("accounts", state.rows[: state.count])
    yield Column.of("changed_at_us", state.changed_at_us[: state.count])
    ends, octets = state.names.joined(state.count)
    yield Column.of("name_ends", ends)
    yield Column.of("name_bytes", octets)
    owners: dict[str, int] = {}  # some may be in the table twice
    first = [owners.setdefault(owner, len(owners)) for owner in state.owners.texts]
    yield Column.of("owner_of", np.array(first, np.uint32)[state.owners.numbers])
    yield from _texts("owner", list(owners))
    yield from _texts("asset", state.asset_names)
    assets = len(state.asset_names)
    yield Column.of("world", state.world[:assets])
    yield Column.of("transit", state.transit[:assets])


def _ids(state: State) -> Iterator[Column]:
    yield Column("ids", "<u8", (state.ids.count, ID_WIDTH), state.ids.kept())
    yield Column.of("kept_from_us", state.ids.kept_from_us)


def _pending(state: State) -> Iterator[Column]:
    table = state.pending
    rows = table.rows[: table.count].copy()
    rows[:, FIRST_LEG] = 0  # where the legs happen to lie; in the file they lie in the order of the rows
    yield Column.of("pending", rows)
    yield Column.of("legs", table.legs[table.pool_places()])
    yield Column.of("nodes", table.nodes[: table.count])
    yield Column.of("roots", _without_zeros_behind(table.roots))
    yield Column.of("work", table.work[: int(table.counts[WORK_COUNT])])
    yield Column.of("lows", _without_zeros_behind(table.lows))


def _places(snapshot: Snapshot) -> Iterator[Column]:
    offsets, marks = snapshot.replay.offsets.columns()
    yield Column.of("offsets", offsets)
    yield Column.of("offset_marks", marks)
    yield Column.of("hashes", snapshot.hashes.column())


def _without_zeros_behind(words: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    filled = np.flatnonzero(words)
    return words[: int(filled[-1]) + 1 if len(filled) else 0]


def _texts(name: str, texts: list[str]) -> Iterator[Column]:
    """Two columns: where each text ends, and the bytes of all."""
    octets, lengths = [], []
    for first in range(0, len(texts), AT_ONCE):
        encoded = [text.encode() for text in texts[first : first + AT_ONCE]]
        octets.append(np.frombuffer(b"".join(encoded), np.uint8))
        lengths.append(np.fromiter(map(len, encoded), np.int64, len(encoded)))
    ends = np.cumsum(np.concatenate(lengths)) if lengths else np.empty(0, np.int64)
    yield Column.of(f"{name}_ends", ends)
    yield Column(f"{name}_bytes", "|u1", (int(ends[-1]) if len(ends) else 0,), octets)


def read_head(reader: Reader) -> SnapshotHead:
    """What a snapshot is. Raises SnapshotRefused, OSError."""
    return _head(reader.head())


class SnapshotRead(NamedTuple):
    """Columns whose bytes are right, in the state that they are of; whether they fit together is not known yet."""

    head: SnapshotHead
    state: State
    columns: dict[str, Array]


def read_snapshot(reader: Reader, prints: Prints | None = None) -> tuple[SnapshotHead, Snapshot]:
    """A fold that goes on from where the snapshot stands. Raises SnapshotRefused, OSError."""
    read = read_columns(reader)
    return read.head, fold_of(read, prints)


def read_columns(reader: Reader) -> SnapshotRead:
    """The part of `read_snapshot` that reads. Raises SnapshotRefused, OSError."""
    said = reader.head()
    head = _head(said)
    state = State(head.partition, head.partitions)
    columns: dict[str, Array] = {}

    def room(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        def lying(rows: int) -> Array | None:
            fits = (dtype, shape[1:]) == (np.dtype(np.uint64), (ID_WIDTH,))
            return reader.in_place(dtype, shape, rows) if fits else None

        if name in columns or not shape:
            raise SnapshotRefused(f"its column {name!r} is not what this version of fanfold has")
        if name == "accounts":
            columns[name] = state.room_for_accounts(shape[0])
        elif name == "ids":
            columns[name] = state.ids.room_for(shape[0], lying)
        elif name in _SMALL:
            wanted, behind = _SMALL[name]
            columns[name] = np.empty((shape[0], *behind), wanted)
        else:
            raise SnapshotRefused(f"its column {name!r} is not known to this version of fanfold")
        return columns[name]

    try:
        reader.columns(said, room)
        if {"accounts", "ids", *_SMALL} - columns.keys():
            raise SnapshotRefused("a column that this version of fanfold needs is not there")
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise _not_fitting(error) from error
    return SnapshotRead(head, state, columns)


def fold_of(read: SnapshotRead, prints: Prints | None = None, index: IdIndex | None = None) -> Snapshot:
    """The part of `read_snapshot` that makes a fold of what was read, once. index: of the ids of another fold of the same bytes,
    which has been checked: it is not checked again that texts have their keys. Raises SnapshotRefused."""
    head, state, columns = read
    try:
        replay = Replay(state, prints)
        replay.offsets = BlockOffsets.of(head.sequence + 1, columns["offsets"], columns["offset_marks"])
        replay.last_offset, replay.passed = head.last_offset, head.passed
        replay.skipped = Counter({Skip(reason): count for reason, count in head.skipped.items()})
        hashes = BlockHashes.of(head.sequence + 1, columns["hashes"], bytes.fromhex(head.first_block_hash))
        _refill(state, head, columns, index)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise _not_fitting(error) from error
    if state.digest_bytes().hex() != head.digest:
        raise SnapshotRefused("its rows have another digest than the block that it stands at")
    replay.began_after = head.sequence
    return Snapshot(replay, hashes, head.entries)


def _not_fitting(error: Exception) -> SnapshotRefused:
    return SnapshotRefused(f"its parts do not fit together ({error})")


def _head(said: dict[str, Any]) -> SnapshotHead:
    try:
        return SnapshotHead(**{name: said[name] for name in SnapshotHead._fields})
    except KeyError as missing:
        raise SnapshotRefused(f"its head does not say {missing}") from None


def _refill(state: State, head: SnapshotHead, columns: dict[str, Array], index: IdIndex | None) -> None:
    """Raises ValueError and LookupError for what does not fit together."""
    rows, owner_of = columns["accounts"], columns["owner_of"]
    count = len(rows)
    owners = _strings(columns["owner_ends"], columns["owner_bytes"]).to_numpy(zero_copy_only=False)
    names = _strings(columns["name_ends"], columns["name_bytes"])
    assets = _strings(columns["asset_ends"], columns["asset_bytes"]).to_pylist()
    if not len(names) == len(owner_of) == len(columns["changed_at_us"]) == count:
        raise ValueError("as many texts as accounts")
    state.chained = Chained(
        head.partitions, head.sequence, bytes.fromhex(head.block_hash), head.epoch, head.created_at_us, head.consumed_to,
        head.refuse_ids_before_us,
    )  # fmt: skip
    for asset in assets:
        state.intern_asset(asset)
    hidden = np.zeros(count, np.bool_)
    for table, column in ((state.world, columns["world"]), (state.transit, columns["transit"])):
        table[: len(assets)] = column
        hidden[column[column >= 0]] = True
    asset_of = rows[:, FLAGS_AND_ASSET] >> ASSET_SHIFT
    if index is None:
        _check_keys(state, rows, names, asset_of, [word_hash(owner) for owner in owners], owner_of)
    if np.any(asset_of >= len(assets)):
        raise ValueError("assets of accounts")
    state.names.put(Joined(columns["name_ends"], columns["name_bytes"]))
    state.owners.texts.put(Joined(columns["owner_ends"], columns["owner_bytes"]))
    state.owners.put(owner_of)
    state.changed_at_us[:count] = columns["changed_at_us"]
    state.index_accounts(count, hidden)
    state.ids.refill(len(columns["ids"]), columns["kept_from_us"], head.timeless_from_us, state.digest, index)
    pending, legs, nodes, roots, work, lows = (
        columns[name] for name in ("pending", "legs", "nodes", "roots", "work", "lows")
    )
    if not state.pending.refill(pending, legs, nodes, roots, work, lows, state.digest):
        raise ValueError("pending rows and their legs")


def _check_keys(
    state: State,
    rows: npt.NDArray[np.int64],
    names: pa.Array,
    asset_of: npt.NDArray[np.int64],
    owner_hashes: list[np.uint64],
    owner_of: npt.NDArray[np.uint32],
) -> None:
    """The texts are those of the keys: digests know keys alone."""
    parts = [names[first : first + KEYS_AT_ONCE] for first in range(0, len(rows), KEYS_AT_ONCE)]
    keys = np.concatenate([string_keys(part.cast(pa.utf8())) for part in parts] or [string_keys([])], axis=1)
    row_keys = np.empty(len(rows), np.uint64)
    hashes = np.array(owner_hashes, np.uint64)[owner_of]
    identity_keys(keys[0], keys[1], state.asset_hashes[asset_of], hashes, row_keys)
    if not np.array_equal(rows[:, KEY_A : ROW_KEY + 1].view(np.uint64), np.stack((*keys, row_keys), axis=1)):
        raise ValueError("the names of accounts and their keys")


def _strings(ends: npt.NDArray[np.int64], octets: npt.NDArray[np.uint8]) -> pa.Array:
    starts = np.concatenate((np.zeros(1, np.int64), ends))
    if np.any(np.diff(starts) < 0) or int(starts[-1]) != len(octets):
        raise ValueError("texts and where they end")
    return pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(starts), pa.py_buffer(octets))
