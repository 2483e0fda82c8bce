"""One partition, folded: accounts, remembered ids, the head of the chain. Plain columns that the compiled loops share.

Both sides hold this state and change it with the same code: the writer by deciding, everyone else by folding blocks.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from blake3 import blake3

from write_side.contract.block.block import ZERO_HASH, Header
from write_side.contract.block.chain import Head
from write_side.contract.block.columns import FLAGS_MASK
from write_side.contract.compiled.blake3_lanes import hash_strings
from write_side.contract.compiled.compiled import njit
from write_side.contract.state.account_rows import (
    ASSET_SHIFT,
    FLAGS_AND_ASSET,
    FLOOR,
    HELD,
    KEY_A,
    KEY_B,
    POSTED,
    ROW_KEY,
    VERSION,
    rows_of_lines,
    settle,
)
from write_side.contract.state.digest import mix_cut_off, mix_identity
from write_side.contract.state.hash_index import (
    TAG,
    Growing,
    find_beside,
    find_row,
    first_slot,
    following,
    grown,
    hash_words,
    index_rows,
    with_room,
)
from write_side.contract.state.ids import PLACE, ROW_BITS, IdTable
from write_side.contract.state.pending import PendingTable
from write_side.contract.state.repeated_texts import RepeatedTexts
from write_side.contract.state.room import empty_rows, larger, with_room_for
from write_side.contract.state.texts import Joined, Texts
from write_side.contract.words.atoms import TRANSIT, WORLD

_ASSET_BITS: Final = int(ASSET_SHIFT)
_START_ACCOUNTS: Final = 1024
_START_ASSETS: Final = 16
_ROOM_ACCOUNTS: Final = 2**23
"""From 65,536 accounts on there are addresses for 8 million: 576 MiB. More than those are copied into twice as much."""


class Place(NamedTuple):
    """Where an outcome lies: block sequence and row in its outcomes."""

    sequence: int
    row: int


@dataclass
class Chained:
    """The head of a partition's chain and what its header said. partitions: of the log, 0 as long as nothing has told it."""

    partitions: int = 0
    sequence: int = -1
    block_hash: bytes = ZERO_HASH
    epoch: int = 0
    created_at_us: int = 0
    consumed_to: int = 0
    refuse_ids_before_us: int = 0

    @property
    def head(self) -> Head:
        return Head(self.epoch, self.sequence, self.block_hash)

    def advance(self, header: Header) -> None:
        self.partitions = header.partitions or self.partitions
        self.sequence = header.sequence
        self.block_hash = header.block_hash
        self.epoch = header.epoch
        self.created_at_us = header.created_at_us
        self.consumed_to = header.consumed_to
        self.refuse_ids_before_us = header.refuse_ids_before_us


@njit(cache=True)
def _cut_off_lanes(refuse_ids_before_us):  # type: ignore[no-untyped-def]
    return mix_cut_off(refuse_ids_before_us)


@lru_cache(maxsize=64)  # it rises once an hour, and stands in every block
def cut_off_lanes(refuse_ids_before_us: int) -> npt.NDArray[np.uint64]:
    """What the cut-off of ids adds to the digest, uint64[2]; not to be written to."""
    return np.array(_cut_off_lanes(refuse_ids_before_us), np.uint64)


@njit(cache=True, nogil=True)
def put_asset(hashes, slots, secret, number):  # type: ignore[no-untyped-def]
    """Enter asset `number` into the index of assets by their hash, where no asset of that hash is."""
    size = np.uint64(slots.size)
    tag = hash_words(hashes[number], np.uint64(0), secret) & TAG
    slot = first_slot(tag, size)
    while slots[slot] != 0:
        slot = following(slot, size)
    slots[slot] = tag | np.uint64(number + 1)


@njit(cache=True, nogil=True)
def identity_keys(key_a, key_b, asset_hash, owner_hash, out):  # type: ignore[no-untyped-def]
    """Row keys of n accounts (`digest.mix_identity`), uint64[n] each, into `out`."""
    for i in range(out.size):
        out[i] = mix_identity(key_a[i], key_b[i], asset_hash[i], owner_hash[i])


def string_keys(strings: pa.Array | list[str]) -> npt.NDArray[np.uint64]:
    """BLAKE3-128 of each string (at most 64 bytes): uint64[2, n]."""
    array = strings if isinstance(strings, pa.Array) else pa.array(strings, pa.utf8())
    if len(array) == 0:
        return np.empty((2, 0), np.uint64)
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    return hash_strings(starts, np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8))


@lru_cache(maxsize=1024)
def word_hash(text: str) -> np.uint64:
    """The first 8 bytes, little endian, of BLAKE3 of a text: what assets and owners are in digests and fingerprints."""
    return np.uint64(int.from_bytes(blake3(text.encode()).digest(8), "little"))


class Buffers:
    """Arrays that every block needs again: fresh memory costs its pages anew each time, up to a millisecond a block here."""

    def __init__(self) -> None:
        self._kept: dict[str, npt.NDArray[np.int64]] = {}

    def rows(self, name: str, rows: int, width: int) -> npt.NDArray[np.int64]:
        """int64[rows, width] of whatever was in it; the same memory as the last one of this name."""
        kept = self._kept.get(name)
        if kept is None or kept.size < rows * width:
            kept = self._kept[name] = np.empty(2 * rows * width, np.int64)
        return kept[: rows * width].reshape(rows, width)


class State:
    """One partition at one position.

    `rows` (see `account_rows.py`) and `changed_at_us` by account number, valid up to `count`; the properties posted, held,
    version, floor, flags, asset_of (an index into `asset_names` that means something in this process only), key_a, key_b and
    row_key show single columns of them.
    `asset_slots` finds an asset's number by its hash (`hash_index.py`; of two with one hash the first).
    `names`, `assets` and `owners` give the texts by account number; system accounts have the name `@world` or `@transit`.
    `lock` is held while a block is decided or folded and by every query here, because growing replaces the arrays.
    """

    def __init__(self, partition: int, partitions: int = 0) -> None:
        """partitions: how many the log has, where whoever folds knows it; else the first block that tells it is believed."""
        self.partition = partition
        self.lock = threading.RLock()  # whoever could take it at once may ask what is asked under it
        self.chained = Chained(partitions)
        self.digest: npt.NDArray[np.uint64] = np.zeros(2, np.uint64)
        self.ids = IdTable()
        self.pending = PendingTable()
        self.buffers = Buffers()
        self.count = 0
        self.names = Texts()
        self.owners = RepeatedTexts()
        self.secret = np.uint64(secrets.randbits(64))
        self.slots: npt.NDArray[np.uint64] = np.zeros(2 * _START_ACCOUNTS, np.uint64)
        self._growing: Growing | None = None
        self.rows = rows_of_lines(_START_ACCOUNTS)
        self.changed_at_us: npt.NDArray[np.int64] = np.empty(_START_ACCOUNTS, np.int64)
        self.asset_names: list[str] = []
        self._asset_numbers: dict[str, int] = {}
        self._asset_of_hash: dict[int, str] = {}
        self.asset_hashes: npt.NDArray[np.uint64] = np.zeros(_START_ASSETS, np.uint64)
        self.world: npt.NDArray[np.int64] = np.full(_START_ASSETS, -1, np.int64)
        self.transit: npt.NDArray[np.int64] = np.full(_START_ASSETS, -1, np.int64)
        self.asset_slots: npt.NDArray[np.uint64] = np.zeros(2 * _START_ASSETS, np.uint64)

    def become(self, other: State) -> None:
        """Be what another state of this partition is, which nobody uses from now on. Whoever holds this one keeps it."""
        with self.lock:
            self.__dict__.update({name: value for name, value in other.__dict__.items() if name != "lock"})

    @property
    def posted(self) -> npt.NDArray[np.int64]:
        return self.rows[:, POSTED]

    @property
    def held(self) -> npt.NDArray[np.int64]:
        return self.rows[:, HELD]

    @property
    def version(self) -> npt.NDArray[np.int64]:
        return self.rows[:, VERSION]

    @property
    def floor(self) -> npt.NDArray[np.int64]:
        return self.rows[:, FLOOR]

    @property
    def flags(self) -> npt.NDArray[np.int64]:
        return self.rows[: self.count, FLAGS_AND_ASSET] & FLAGS_MASK

    @property
    def asset_of(self) -> npt.NDArray[np.int64]:
        return self.rows[: self.count, FLAGS_AND_ASSET] >> ASSET_SHIFT

    @property
    def assets(self) -> Assets:
        return Assets(self)

    @property
    def key_a(self) -> npt.NDArray[np.uint64]:
        return self.rows.view(np.uint64)[:, KEY_A]

    @property
    def key_b(self) -> npt.NDArray[np.uint64]:
        return self.rows.view(np.uint64)[:, KEY_B]

    @property
    def row_key(self) -> npt.NDArray[np.uint64]:
        return self.rows.view(np.uint64)[:, ROW_KEY]

    def reserve_accounts(self, more: int) -> None:
        """Make room for `more` accounts, with the index at most 70 % full."""
        needed = self.count + more
        if needed > len(self.rows):
            self.rows = larger(self.rows, self.count, needed, _ROOM_ACCOUNTS, rows_of_lines)
        if needed > len(self.changed_at_us):
            self.changed_at_us = larger(self.changed_at_us, self.count, needed, _ROOM_ACCOUNTS)
        self.slots, self._growing = grown(self.slots, self._growing, self.rows, self.count, more, self.secret)

    def room_for_accounts(self, count: int) -> npt.NDArray[np.int64]:
        """In a state that was never used: where so many rows are to be written, before `index_accounts`."""
        self.rows = with_room_for(max(count, _START_ACCOUNTS), _ROOM_ACCOUNTS, rows_of_lines)
        self.changed_at_us = with_room_for(
            max(count, _START_ACCOUNTS), _ROOM_ACCOUNTS, lambda n: empty_rows(n, (), np.int64)
        )
        self.slots = with_room(self.slots, count)
        return self.rows[:count]

    def index_accounts(self, count: int, hidden: npt.NDArray[np.bool_]) -> None:
        """Find the rows that were written at `room_for_accounts`, but for the hidden ones, and take them into the digest."""
        self.count = count
        index_rows(self.rows, self.slots, self.secret, hidden)
        settle(self.rows, np.concatenate(([count], np.arange(count))), self.digest)

    def put_names(self, first: int, names: Joined) -> None:
        """Keep the names of the accounts from number `first` on."""
        if not self.names.put_at(first, names):
            # Kept together with a fold that opened other accounts with these numbers, in a block that never counted.
            apart = Texts()
            apart.put(self.names.joined(first))
            self.names = apart
            self.names.put(names)

    def share_names(self, other: State) -> None:
        """Keep the names together with another fold of this log: the two open the same accounts, one earlier than the other."""
        with self.lock:
            if other.names.put_at(0, self.names.joined(self.count)):
                self.names = other.names

    def asset_number(self, asset: str) -> int:
        """This process's number of an asset; -1 for one that no account here has ever had."""
        return self._asset_numbers.get(asset, -1)

    def colliding(self, asset: str, word: np.uint64 | None = None) -> str | None:
        """Another asset here with the hash of this one. Legs and messages name assets by their hashes, so two with one hash would
        be taken for each other: finding a pair takes some 2^32 names, and nobody comes upon one by chance.

        word: `word_hash` of it, where that is known already.
        """
        known = self._asset_of_hash.get(int(word_hash(asset) if word is None else word), asset)
        return None if known == asset else known

    def intern_asset(self, asset: str) -> int:
        """As `asset_number`, giving a new one a number. Only for assets of accounts being opened."""
        number = self._asset_numbers.get(asset)
        if number is None:
            number = len(self.asset_names)
            self._asset_numbers[asset] = number
            self.asset_names.append(asset)
            if number == self.world.size:
                self.world = np.concatenate((self.world, np.full(number, -1, np.int64)))
                self.transit = np.concatenate((self.transit, np.full(number, -1, np.int64)))
                self.asset_hashes = np.concatenate((self.asset_hashes, np.zeros(number, np.uint64)))
            self.asset_hashes[number] = word_hash(asset)
            if self._asset_of_hash.setdefault(int(self.asset_hashes[number]), asset) == asset:
                self.asset_slots = with_room(self.asset_slots, len(self.asset_names))
                put_asset(self.asset_hashes, self.asset_slots, self.secret, np.int64(number))
        return number

    def digest_bytes(self, refuse_ids_before_us: int | None = None) -> bytes:
        """The state digest, 16 bytes, with the given cut-off (the held one by default)."""
        cut_off = self.chained.refuse_ids_before_us if refuse_ids_before_us is None else refuse_ids_before_us
        return (self.digest + cut_off_lanes(cut_off)).astype("<u8").tobytes()

    def row_name(self, number: int) -> str:
        """The account's id; a system account's with its asset, `@world:USD/2`, since each asset has one."""
        name = self.names[number]
        return f"{name}:{self.assets[number]}" if name.startswith("@") else name

    def row_names(self, numbers: npt.NDArray[np.int64]) -> list[str]:
        """As `row_name` of each."""
        names = self.names.take(numbers)
        for i, name in enumerate(names):
            if name[0] == "@":
                names[i] = self.row_name(int(numbers[i]))
        return names

    def number_of(self, name: str) -> int | None:
        """The number of an account by its row name."""
        if name.startswith("@"):
            system, _, asset = name.partition(":")
            table = {WORLD: self.world, TRANSIT: self.transit}.get(system)
            number = self.asset_number(asset)
            if table is None or number < 0 or table[number] < 0:
                return None
            return int(table[number])
        return self._number_of(*name_key(name))

    def numbers_of(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        """The number of each account by its row name, int64[n], -1 for those that are not there, without the lock: of an account
        that is just being opened the answer may be -1."""
        found = np.empty(len(names), np.int64)
        slots = self.slots
        find_beside(self.rows, slots, self.secret, _keys_of(names), found)
        for i in np.flatnonzero(found < 0).tolist():  # system accounts are not found by their keys
            if names[i].startswith("@"):
                number = self.number_of(names[i])
                found[i] = -1 if number is None else number
        return found

    def number_of_key(self, key: bytes) -> int | None:
        """The number of an account by the 16 bytes of BLAKE3 of its id."""
        return self._number_of(*np.frombuffer(key, "<u8"))

    def _number_of(self, a: np.uint64, b: np.uint64) -> int | None:
        with self.lock:
            number = int(find_row(self.rows, self.slots, self.secret, a, b))
        return None if number < 0 else number

    def find_transfer(self, id16: bytes) -> Place | None:
        """Where the first outcome of a remembered transfer id lies."""
        with self.lock:
            row = self.ids.find(id16)
            if row is None:
                return None
            sequence, place = divmod(int(self.ids.rows[row, PLACE]), 1 << ROW_BITS)
            return Place(sequence, place)


class Assets(Sequence[str]):
    """The asset of each account, by its number."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __len__(self) -> int:
        return self._state.count

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        names = self._state.asset_names
        if isinstance(number, slice):
            return [names[asset] for asset in self._state.asset_of[number].tolist()]
        if not 0 <= number < self._state.count:
            raise IndexError(number)
        return names[int(self._state.rows[number, FLAGS_AND_ASSET]) >> _ASSET_BITS]

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Assets) else NotImplemented


def name_key(name: str) -> tuple[np.uint64, np.uint64]:
    """The key of one account name: BLAKE3-128 as two little-endian words."""
    a, b = np.frombuffer(blake3(name.encode()).digest(16), "<u8")
    return a, b


def _keys_of(names: Sequence[str]) -> npt.NDArray[np.uint64]:
    """uint64[2, n], of names of any length."""
    if len(names) > 1:
        try:
            return string_keys(list(names))
        except ValueError:  # a name of a system account is longer than what is hashed at once
            pass
    return np.ascontiguousarray(np.array([name_key(name) for name in names], np.uint64).reshape(-1, 2).T)


WORLD_KEY: Final = name_key(WORLD)
TRANSIT_KEY: Final = name_key(TRANSIT)
