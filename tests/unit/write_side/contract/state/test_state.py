"""State: equal whatever the order of building, found at every size, and the tables behind it never more than 70 % full."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from blake3 import blake3

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, assert_same_state, id_at, timeless_id
from tests.unit.write_side.ledger.streams import cut, random_stream
from write_side.contract.state.hash_index import find_row
from write_side.contract.state.ids import IdRow, IdTable, put_id, split_id
from write_side.contract.state.state import Place, State
from write_side.ledger.commands.commands import Command, OpenAccount, Transfer

MASK = 2**64 - 1


class IndependentDigest:
    """The digest over rows in plain integers, written from the description in `digest.py`."""

    A, B = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
    ACCOUNTS, IDS, CUT_OFFS = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7

    @classmethod
    def _lane_a(cls, h: int, *words: int) -> int:
        for word in words:
            h = (h ^ (word & MASK)) * cls.A & MASK
            h ^= h >> 32
        return h

    @classmethod
    def _lane_b(cls, h: int, *words: int) -> int:
        for word in words:
            h = (h ^ (word & MASK)) * cls.B & MASK
            h ^= h >> 29
        return h

    @classmethod
    def _row(cls, start: int, *words: int) -> tuple[int, int]:
        a, b = cls._lane_a(start, *words), cls._lane_b(start, *words)
        return (a ^ a >> 31) * cls.B & MASK, (b ^ b >> 31) * cls.A & MASK

    @classmethod
    def of(cls, state: State) -> bytes:
        rows = [cls._row(cls.CUT_OFFS, state.chained.refuse_ids_before_us)]
        for number in range(state.count):
            key_a, key_b = (
                int.from_bytes(blake3(state.names[number].encode()).digest()[at : at + 8], "little") for at in (0, 8)
            )
            asset, owner = (_word(text[number]) for text in (state.assets, state.owners))
            row_key = cls._lane_a(cls._lane_a(cls._lane_b(cls._lane_a(key_a, key_b), asset)), owner)
            columns = (state.posted, state.held, state.version, state.floor, state.flags)
            rows.append(cls._row(row_key ^ cls.ACCOUNTS, number, *(int(column[number]) for column in columns)))
        for row in state.ids.remembered().tolist():
            rows.append(cls._row(cls.IDS, row[0], row[1], row[5]))
        return b"".join((sum(row[lane] for row in rows) & MASK).to_bytes(8, "little") for lane in (0, 1))


def _word(text: str) -> int:
    return int.from_bytes(blake3(text.encode()).digest()[:8], "little")


@pytest.mark.parametrize("seed", range(4))
def test_the_digest_kept_up_to_date_is_the_one_of_all_rows_from_scratch(seed: int) -> None:
    partition = DecidingPartition(ids_max=(1 << 24, 30)[seed % 2])
    for at_us, commands in cut(random_stream(seed, segments=4, commands=80), seed):
        block = partition.decide(commands, at_us)
        assert block.header.digest == IndependentDigest.of(partition.state)
    assert partition.replayed().digest_bytes() == IndependentDigest.of(partition.state)


def test_states_that_differ_in_anything_differ_in_digest() -> None:
    opening = OpenAccount("a", "USD/2", 0, "")
    deposit = Transfer(id_at(NOON_US, 1), "@world", "a", 5, "USD/2")
    variants: list[list[Command]] = [
        [opening],
        [opening._replace(account="b")],
        [opening._replace(asset="EUR/2")],
        [opening._replace(floor=-1)],
        [opening._replace(owner="o")],
        [opening, OpenAccount("b", "USD/2", 0, "")],
        [OpenAccount("b", "USD/2", 0, ""), opening],
        [opening, deposit],
        [opening, deposit._replace(amount=6)],
        [opening, deposit._replace(id=id_at(NOON_US, 2))],
        [opening, deposit._replace(credit="nobody")],
    ]
    digests = []
    for commands in variants:
        partition = DecidingPartition()
        partition.decide(commands, NOON_US)
        digests.append(partition.state.digest_bytes())
    later = DecidingPartition()
    later.decide(variants[0], NOON_US + 3_600_000_000)  # the cut-off is a row too
    assert len({*digests, later.state.digest_bytes()}) == len(variants) + 1


def test_accounts_are_found_by_name_and_key_however_far_the_tables_grew() -> None:
    partition = DecidingPartition()
    state = partition.state
    sizes = (1, 1020, 2, 400, 700, 3000, 4000)
    opened = 0
    for n, size in enumerate(sizes):
        names = [f"n{opened + i}" for i in range(size)]
        partition.decide(
            [OpenAccount(name, ("USD/2", f"C{n}/0")[i == 0], 0, name) for i, name in enumerate(names)], NOON_US + n
        )
        opened += size
        assert state.count <= 0.7 * state.slots.size
    replayed = partition.replayed()
    assert_same_state(state, replayed)
    for some in (state, replayed):
        for i in range(0, opened, 37):
            number = some.number_of(f"n{i}")
            assert number is not None
            assert some.names[number] == some.owners[number] == f"n{i}"
            assert some.number_of_key(blake3(f"n{i}".encode()).digest(16)) == number
        for unknown in ("n", "n99999", "@world", "@world:XXX/0", "@transit:", "@mint:USD/2", "@world:USD/2:USD/2", ""):
            assert some.number_of(unknown) is None
        for system in ("@world", "@transit"):
            number = some.number_of(f"{system}:C0/0")
            assert number is not None
            assert some.row_name(number) == f"{system}:C0/0"


def test_more_assets_than_the_tables_began_with() -> None:
    partition = DecidingPartition()
    openings = [OpenAccount(f"a{n}", f"C{n}/0", 0, "") for n in range(100)]
    partition.decide(openings[:10], NOON_US)
    partition.decide(openings[10:], NOON_US + 1)
    deposits = [Transfer(id_at(NOON_US, n), "@world", f"a{n}", n + 1, f"C{n}/0") for n in range(100)]
    partition.decide(deposits, NOON_US + 2)
    state = partition.replayed()
    assert_same_state(state, partition.state)
    for n in range(100):
        world = state.number_of(f"@world:C{n}/0")
        assert world is not None
        assert int(state.posted[world]) == -n - 1


def test_remembered_ids_tell_their_place_however_far_the_table_grew() -> None:
    partition = DecidingPartition()
    partition.decide([OpenAccount("a", "USD/2", 0, "")], NOON_US)
    sizes = (1, 900, 200, 400, 3000, 5000)
    first = 0
    for n, size in enumerate(sizes):
        deposits = [Transfer(timeless_id(first + i), "@world", "a", 1, "USD/2") for i in range(size)]
        partition.decide(deposits, NOON_US + 1 + n)
        first += size
        assert partition.state.ids.count == first
        assert np.count_nonzero(partition.state.ids.slots) <= 0.7 * partition.state.ids.slots.size
    replayed = partition.replayed()
    assert_same_state(partition.state, replayed)
    assert replayed.find_transfer(timeless_id(0)) == Place(1, 0)
    assert replayed.find_transfer(timeless_id(first - 1)) == Place(len(sizes), sizes[-1] - 1)
    assert replayed.find_transfer(timeless_id(first)) is None


def timed_id(number: int) -> bytes:
    return id_at(NOON_US, number)


Named = Callable[[int], bytes]


def filled(times: list[int], named: Named = timeless_id) -> tuple[IdTable, npt.NDArray[np.uint64]]:
    table, digest = IdTable(), np.zeros(2, np.uint64)
    table.reserve(len(times))
    for n, time_us in enumerate(times):
        a, b = split_id(named(n))
        place = find_row(table.rows, table.slots, table.secret, a, b)
        row = np.uint64(n)
        put_id(table.arrays, digest, place, table.used, IdRow(a, b, row, row, 7 << 16 | n, time_us, n, 0))
        table.used += 1
        table.count += 1
        table.timeless += named is timeless_id
    return table, digest


def sums_of(rows: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """What these ids are in the digest, from scratch."""
    lanes = [IndependentDigest._row(IndependentDigest.IDS, *row) for row in rows[:, [0, 1, 5]].tolist()]
    return np.array([sum(lane) & MASK for lane in zip(*lanes, strict=True)], np.uint64)


@pytest.mark.parametrize(("named", "cut_offs"), [(timeless_id, (1090, 1050)), (timed_id, (1050, 1010))])
def test_forgetting_drops_what_is_older_keeps_the_order_of_the_rest_and_finds_it_still(
    named: Named, cut_offs: tuple[int, int]
) -> None:
    times = [1000 + (n * 37) % 100 for n in range(3000)]
    table, digest = filled(times, named)
    table.forget_before(*cut_offs, digest)
    kept = [n for n, time_us in enumerate(times) if time_us >= 1050]
    median_us = int(np.median([times[n] for n in kept]))
    told = (len(kept), *((len(kept), None) if named is timeless_id else (0, median_us)))
    for is_swept in (False, True):
        if is_swept:
            table.sweep()
            assert (table.rows[: table.count, 4] & 0xFFFF).tolist() == kept
            assert [table.find(named(n)) for n in kept] == list(range(len(kept)))
        assert (table.remembered()[:, 4] & 0xFFFF).tolist() == kept
        assert None not in [table.find(named(n)) for n in kept]
        assert all(table.find(named(n)) is None for n, time_us in enumerate(times) if time_us < 1050)
        assert (table.count, table.timeless, table.median_time_us()) == told
    assert digest.tolist() == sums_of(table.remembered()).tolist()


def test_forgetting_everything_leaves_an_empty_table_that_takes_ids_again() -> None:
    table, digest = filled([1000] * 1500)
    table.forget_before(1001, 1001, digest)
    assert (table.count, table.find(timeless_id(3))) == (0, None)
    assert digest.tolist() == [0, 0]
    table.sweep()
    assert table.used == np.count_nonzero(table.slots) == 0


@pytest.mark.parametrize("varied_byte", range(16))
def test_ids_that_differ_in_two_bytes_only_do_not_pile_up(varied_byte: int) -> None:
    """A client chooses its ids: whatever it varies, finding a free slot must take a few steps, not thousands."""
    chosen = []
    for n in range(4096):
        varied = bytearray(id_at(NOON_US, 5))
        varied[varied_byte] = n & 255
        varied[(varied_byte + 1) % 16] ^= n >> 8
        chosen.append(bytes(varied))
    table = IdTable()
    table.reserve(len(chosen))
    for n, id16 in enumerate(chosen):
        a, b = split_id(id16)
        place = find_row(table.rows, table.slots, table.secret, a, b)
        put_id(table.arrays, np.zeros(2, np.uint64), place, n, IdRow(a, b, a, b, n, 1, 0, 0))
    full = np.concatenate((table.slots, table.slots)) != 0
    edges = np.flatnonzero(~full)
    assert int(np.diff(edges).max()) < 200
