"""A block comes back as it was made, or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.write_side.contract.block.agreeing import agrees
from tests.unit.write_side.contract.blocks import sealed, two_blocks, with_body
from tests.unit.write_side.contract.plain_reader import read_block
from write_side.contract.block import block as blocks
from write_side.contract.block.block import (
    HEADER_BYTES,
    Undecodable,
    decode,
    encode,
    frame_length,
    read_header,
)
from write_side.contract.block.columns import SECTIONS, Column, ColumnType, Section
from write_side.contract.block.limits import BODY_BYTES_MAX, RECORD_BYTES_MAX, SECTION_ROWS_MAX

WHOLE = two_blocks().blocks[1]

_INTEGERS = {
    ColumnType.UNSIGNED: (0, 1, 2**8 - 1, 2**8, 2**16 - 1, 2**16, 2**16 - 1, 2**32, 2**63 - 1),
    ColumnType.SIGNED: (0, -1, 2**7 - 1, -(2**7), 2**7, 2**15, -(2**15) - 1, 2**31, -(2**31), 2**63 - 1, -(2**63)),
}


def _values(column: Column, rows: int) -> st.SearchStrategy[Any]:
    if column.kind is ColumnType.TEXT:
        return st.lists(st.text(max_size=8), min_size=rows, max_size=rows)
    if column.kind is ColumnType.ID:
        return st.binary(min_size=16 * rows, max_size=16 * rows).map(
            lambda raw: np.frombuffer(raw, np.uint8).reshape(-1, 16)
        )
    assert column.dtype is not None
    bounds = np.iinfo(np.dtype(column.dtype))
    within = [value for value in _INTEGERS[column.kind] if bounds.min <= value <= bounds.max]
    low = 0 if column.kind is ColumnType.UNSIGNED else int(bounds.min)
    integer = st.sampled_from(within) | st.integers(low, int(bounds.max))
    return st.lists(integer, min_size=rows, max_size=rows).map(lambda values: np.array(values, column.dtype))


def _rows(section: Section) -> st.SearchStrategy[dict[str, Any]]:
    return st.integers(0, 5).flatmap(
        lambda rows: st.fixed_dictionaries({column.name: _values(column, rows) for column in section.columns})
    )


SECTIONS_OF_ANYTHING = st.fixed_dictionaries({}, optional={section.name: _rows(section) for section in SECTIONS})
INT64 = st.integers(-(2**63), 2**63 - 1)
UINT64 = st.integers(0, 2**64 - 1)
HEADERS = st.fixed_dictionaries(
    {
        "partitions": st.just(0),
        "partition": st.integers(0, 2**16 - 1),
        "forgets": st.integers(0, 1),
        "epoch": UINT64,
        "sequence": UINT64,
        "previous_hash": st.binary(min_size=32, max_size=32),
        "consumed_to": INT64,
        "created_at_us": INT64,
        "refuse_ids_before_us": INT64,
        "digest": st.binary(min_size=16, max_size=16),
    }
)


@settings(max_examples=150)
@given(HEADERS, SECTIONS_OF_ANYTHING)
def test_a_block_comes_back_as_it_was_made(header: dict[str, Any], sections: dict[str, dict[str, Any]]) -> None:
    data = encode(**header, sections=sections)
    decoded = decode(data)
    assert decoded.header._asdict() == header | {
        "body_bytes": len(data) - HEADER_BYTES,
        "block_hash": decoded.header.block_hash,
    }
    assert decoded.header == read_header(memoryview(data)) == blocks.header_of(data)
    assert frame_length(data) == len(data)
    for section in SECTIONS:
        found = getattr(decoded, section.name)
        for column in section.columns:
            made = sections.get(section.name, {}).get(column.name, [])
            assert len(found[column.name]) == len(made)
            if column.kind is ColumnType.TEXT:
                assert found[column.name] == made
            else:
                assert np.array_equal(np.asarray(found[column.name]).reshape(-1), np.asarray(made).reshape(-1))
                assert found[column.name].dtype == (column.dtype or np.uint8)


def test_integers_are_stored_in_the_narrowest_width_that_holds_the_whole_column() -> None:
    def size(last: int) -> int:
        rows = 4096
        repeats = {name: np.zeros(rows, np.int64) for name in ("outcome", "sequence", "row")}
        repeats["row"][-1] = last
        return len(_encode(repeats=repeats))

    narrow = size(255)
    assert [size(last) - narrow for last in (256, 2**16, 2**32)] == [4096, 3 * 4096, 7 * 4096]
    assert size(0) == narrow - 4095, "of a column of one value, one is stored"


def _encode(**sections: Any) -> bytes:
    return encode(
        partition=0,
        epoch=1,
        sequence=0,
        previous_hash=bytes(32),
        consumed_to=0,
        created_at_us=1,
        refuse_ids_before_us=0,
        digest=bytes(16),
        sections=sections,
    )


def test_a_negative_number_in_an_unsigned_column_is_a_bug_and_never_becomes_bytes() -> None:
    with pytest.raises(AssertionError):
        _encode(repeats={"outcome": np.array([0, -1]), "sequence": np.zeros(2, np.int64), "row": np.zeros(2, np.int64)})


def test_any_flipped_bit_makes_it_undecodable() -> None:
    for at in range(len(WHOLE)):
        for bit in range(8):
            with pytest.raises(Undecodable):
                decode(WHOLE[:at] + bytes((WHOLE[at] ^ 1 << bit,)) + WHOLE[at + 1 :])


@settings(max_examples=300)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_any_other_value_of_any_byte_makes_it_undecodable(at: int, change: int) -> None:
    with pytest.raises(Undecodable):
        decode(WHOLE[:at] + bytes((WHOLE[at] ^ change,)) + WHOLE[at + 1 :])


def test_any_missing_byte_makes_it_undecodable() -> None:
    for at in range(len(WHOLE)):
        for damaged in (WHOLE[:at], WHOLE[:at] + WHOLE[at + 1 :], WHOLE[at + 1 :]):
            with pytest.raises(Undecodable):
                decode(damaged)


def test_any_extra_byte_makes_it_undecodable() -> None:
    for at in range(len(WHOLE) + 1):
        for extra in (b"\0", b"\xff", WHOLE[at - 1 : at] or b"F"):
            with pytest.raises(Undecodable):
                decode(WHOLE[:at] + extra + WHOLE[at:])
    with pytest.raises(Undecodable):
        decode(WHOLE + WHOLE)


@pytest.mark.parametrize("length", [1, BODY_BYTES_MAX, BODY_BYTES_MAX + 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_length_that_lies_is_refused_without_asking_for_memory(length: int) -> None:
    lying = sealed(WHOLE, body_bytes=length)
    with pytest.raises(Undecodable):
        decode(lying)
    if length > BODY_BYTES_MAX:
        with pytest.raises(Undecodable):
            frame_length(lying)
    else:
        assert frame_length(lying) == HEADER_BYTES + length


@pytest.mark.parametrize("fields", [{"magic": b"FANFOLD\x1b"}, {"version": 0}, {"version": 5}, {"zero": 1025}])
def test_another_format_is_refused_even_when_its_hash_is_right(fields: dict[str, Any]) -> None:
    with pytest.raises(Undecodable):
        decode(sealed(WHOLE, **fields))
    with pytest.raises(Undecodable):
        frame_length(sealed(WHOLE, **fields))


def test_frame_length_reads_one_frame_behind_another() -> None:
    both = memoryview(b"".join((WHOLE, b"\0\0\0", WHOLE)))
    assert frame_length(both) == len(WHOLE)
    assert frame_length(both, len(WHOLE) + 3) == len(WHOLE)
    for at in (1, len(WHOLE), 2 * len(WHOLE) + 3, 3 * len(WHOLE)):
        with pytest.raises(Undecodable):
            frame_length(both, at)


def test_a_body_over_the_limit_is_never_made() -> None:
    rows = RECORD_BYTES_MAX // 4096 + 1
    names = [f"{row:04096}" for row in range(rows)]
    legs = {"outcome": np.zeros(rows, np.int64), "account": names, "amount": np.zeros(rows, np.int64)}
    with pytest.raises(ValueError, match="over the limit"):
        _encode(legs=legs | {"asset": ["A"] * rows, "available": np.zeros(rows, np.int64)})


# From here on the hash is right: only a writer that is wrong, or damaged memory, can make these.

BODY = WHOLE[HEADER_BYTES:]


STARTS = [at - HEADER_BYTES for at in read_block(WHOLE)[2]]


def test_the_block_of_these_tests_has_every_section_of_plain_transfers() -> None:
    assert [BODY[at] for at in STARTS] == [section.number for section in SECTIONS[:5]]


def _patched(at: int, new: bytes) -> bytes:
    return BODY[:at] + new + BODY[at + len(new) :]


CODES = 6
"""Where the codes of a section begin."""
LEGS, OUTCOMES = STARTS[4], STARTS[1]
LEG_ROWS = int.from_bytes(BODY[LEGS + 2 : LEGS + 6], "little")
ENDS = LEGS + CODES + 5 + LEG_ROWS
"""Where the ends of the legs' account names begin, behind five codes and a byte an outcome."""

HOSTILE_BODIES = {
    "sections out of order": BODY[STARTS[1] : STARTS[2]] + BODY[: STARTS[1]] + BODY[STARTS[2] :],
    "a section twice": BODY[: STARTS[1]] + BODY,
    "section number 0": _patched(0, b"\0"),
    "section number 14": _patched(LEGS, b"\x0e"),
    "section number 255": _patched(0, b"\xff"),
    "a column more": _patched(1, b"\7"),
    "a column less": _patched(1, b"\5"),
    "no columns": _patched(1, b"\0"),
    "255 columns": _patched(1, b"\xff"),
    "no rows": _patched(2, bytes(4)),
    "a row less": _patched(LEGS + 2, (LEG_ROWS - 1).to_bytes(4, "little")),
    "a row more": _patched(LEGS + 2, (LEG_ROWS + 1).to_bytes(4, "little")),
    "more rows than a section may have, of one stored": _patched(
        STARTS[2] + 2, (SECTION_ROWS_MAX + 1).to_bytes(4, "little")
    ),
    "4 billion rows": _patched(2, b"\xff\xff\xff\xff"),
    "code 8": _patched(CODES, b"\x08"),
    "code 255": _patched(CODES, b"\xff"),
    "ids with a width": _patched(OUTCOMES + CODES, b"\1"),
    "ids of which one is stored": _patched(OUTCOMES + CODES, b"\4"),
    "ends of eight bytes": _patched(CODES + 1, b"\3"),
    "a kind of eight bytes": _patched(OUTCOMES + CODES + 1, b"\3"),
    "a kind of two bytes": _patched(OUTCOMES + CODES + 1, b"\1"),
    "wider codes than values": _patched(CODES, b"\3"),
    "ends that fall": _patched(ENDS, b"\xff"),
    "a text that ends behind the body": _patched(ENDS + LEG_ROWS - 1, b"\xff"),
    "a text that is not UTF-8": _patched(ENDS + LEG_ROWS, b"\xff"),
    "cut in a section's head": BODY + b"\5\5\0",
    "a section behind the last": BODY + BODY[: STARTS[1]],
    "cut in a column": BODY[:-1],
}


@pytest.mark.parametrize("name", HOSTILE_BODIES)
def test_a_body_that_no_encoder_wrote_is_undecodable(name: str) -> None:
    with pytest.raises(Undecodable):
        decode(with_body(WHOLE, HOSTILE_BODIES[name]))


@pytest.mark.parametrize("numbers", [[0, 2**64 - 1], [2**63, 2**63]])
def test_a_number_beyond_63_bits_is_undecodable(numbers: list[int]) -> None:
    column = np.array(numbers, np.uint64)
    with pytest.raises(Undecodable):
        decode(_encode(repeats={"outcome": column, "sequence": column, "row": column}))


def test_more_rows_than_a_section_may_have_are_never_made() -> None:
    column = np.zeros(SECTION_ROWS_MAX + 1, np.int64)
    with pytest.raises(ValueError, match="over the limit"):
        _encode(repeats={"outcome": column, "sequence": column, "row": column})


@settings(max_examples=150)
@given(HEADERS, SECTIONS_OF_ANYTHING)
def test_a_reader_of_another_language_reads_the_same(
    header: dict[str, Any], sections: dict[str, dict[str, Any]]
) -> None:
    agrees(encode(**header, sections=sections))
