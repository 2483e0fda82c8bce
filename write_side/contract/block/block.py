"""A block: the outcomes of one or of thousands of commands, decided together, one atomic append.

`header | body`. The header is fixed size, little endian; the body is sections of columns (`columns.py`, `sections.py`). The
same bytes are a Kafka record's value and a frame of the file log. Decoding trusts no length before it has checked it, and
nothing at all before the BLAKE3 hash of the whole block holds, so any flipped, missing or extra byte is detected.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from blake3 import blake3

from write_side.contract.block import limits
from write_side.contract.block.arrow_sections import decode_arrow_sections
from write_side.contract.block.columns import ASKERS, SECTIONS, SECTIONS_OF_VERSION, Columns, SectionMalformed
from write_side.contract.block.limits import BODY_BYTES_MAX, PARTITIONS_MAX
from write_side.contract.block.sections import decode_sections, encode_sections

MAGIC: Final = b"FANFOLD\x1a"
FORMAT_VERSION: Final = 3
"""What is written, byte for byte as ever, where nobody is named who asked. Blocks of every version before it are read for ever
(`columns.SECTIONS_OF_VERSION`)."""
FORMAT_VERSION_NAMED: Final = 4
"""What is written where somebody is named: software of before reads on for as long as nobody is."""
FORMAT_VERSION_MAX: Final = max(SECTIONS_OF_VERSION)
PLAIN_COLUMNS_SINCE: Final = 3
_FIELDS: Final = struct.Struct("<8sHHHHQQ32sqqq16sQ")
_VERSION: Final = slice(8, 10)
HASH_BYTES: Final = 32
HEADER_BYTES: Final = _FIELDS.size + HASH_BYTES
ZERO_HASH: Final = bytes(HASH_BYTES)
_NOBODY: Final[Columns] = {"outcome": ()}


class Undecodable(ValueError):
    """These bytes are not a whole, undamaged block of a known format."""


class NewerFormat(Undecodable):
    """They say that they are a block of a later format than this release knows."""


class Header(NamedTuple):
    """What a block says of itself.

    partitions (how many its log has, which decides where accounts live; 0 in blocks of before it was told), partition, forgets
    (whether the older half of the ids without a time was forgotten before it, 1 or 0), epoch (life number of the writer, from 1),
    sequence (from 0), previous_hash (32 bytes, zero before the first), consumed_to (the next
    command offset), created_at_us and refuse_ids_before_us (UTC microseconds), digest (16 bytes: the state after this block),
    body_bytes, block_hash (32 bytes: BLAKE3 of everything else).
    """

    partitions: int
    partition: int
    forgets: int
    epoch: int
    sequence: int
    previous_hash: bytes
    consumed_to: int
    created_at_us: int
    refuse_ids_before_us: int
    digest: bytes
    body_bytes: int
    block_hash: bytes


class Block(NamedTuple):
    """A decoded block: the header and the columns of every section (see `columns.py` for names and dtypes)."""

    header: Header
    accounts: dict[str, Any]
    outcomes: dict[str, Any]
    entries: dict[str, Any]
    repeats: dict[str, Any]
    legs: dict[str, Any]
    held: dict[str, Any]
    flags: dict[str, Any]
    pending: dict[str, Any]
    pending_legs: dict[str, Any]
    steps: dict[str, Any]
    links: dict[str, Any]
    details: dict[str, Any]
    conditions: dict[str, Any]
    askers: dict[str, Any]


def encode(
    *,
    partition: int,
    epoch: int,
    sequence: int,
    previous_hash: bytes,
    consumed_to: int,
    created_at_us: int,
    refuse_ids_before_us: int,
    digest: bytes,
    sections: Mapping[str, Columns],
    partitions: int = 0,
    forgets: int = 0,
) -> bytes:
    """The bytes of a block. `sections` maps section names to columns; those absent or without rows are left out.

    partitions: how many its log has, told by whoever decides for one. forgets: see `Header`.
    """
    body = encode_sections(sections)
    if HEADER_BYTES + len(body) > limits.RECORD_BYTES_MAX:
        raise ValueError(f"a body of {len(body)} bytes is over the limit: whoever made it has not kept `limits.py`")
    fields = _FIELDS.pack(
        MAGIC,
        FORMAT_VERSION_NAMED if len(sections.get(ASKERS.name, _NOBODY)["outcome"]) else FORMAT_VERSION,
        partitions,
        partition,
        forgets,
        epoch,
        sequence,
        previous_hash,
        consumed_to,
        created_at_us,
        refuse_ids_before_us,
        digest,
        len(body),
    )
    return b"".join((fields, blake3(fields).update(body).digest(), body))


def frame_length(data: bytes | memoryview, at: int = 0) -> int:
    """Bytes of the block that claims to start at `at`. The hash is not looked at. Raises Undecodable."""
    return HEADER_BYTES + int(_fields(data, at)[-1])


def is_newer(data: bytes | memoryview) -> bool:
    """Whether these bytes begin with a whole block of a later format than this release knows: its header, which all formats
    share, says so, and its hash holds. So they are no half of an append, and nothing about them is broken."""
    if len(data) < HEADER_BYTES:
        return False
    fields = _FIELDS.unpack_from(data)
    end = HEADER_BYTES + fields[-1]
    if fields[0] != MAGIC or fields[1] <= FORMAT_VERSION_MAX or fields[-1] > BODY_BYTES_MAX or end > len(data):
        return False
    view = memoryview(data)
    hasher = blake3(view[: _FIELDS.size]).update(view[HEADER_BYTES:end])
    return hasher.digest() == bytes(view[_FIELDS.size : HEADER_BYTES])


def is_named(data: bytes) -> bool:
    """Whether a block that was encoded here names who asked."""
    return int.from_bytes(data[_VERSION], "little") >= FORMAT_VERSION_NAMED


def read_header(data: bytes | memoryview) -> Header:
    """The header of a whole block, once its length and hash hold. Raises Undecodable."""
    fields = _fields(data, 0)
    view = memoryview(data)
    if len(view) != HEADER_BYTES + fields[-1]:
        raise Undecodable("the block is cut or has bytes behind its end")
    block_hash = bytes(view[_FIELDS.size : HEADER_BYTES])
    if blake3(view[: _FIELDS.size]).update(view[HEADER_BYTES:]).digest() != block_hash:
        raise Undecodable("the block's hash does not fit its bytes")
    return Header._make((*fields[2:], block_hash))


def header_of(data: bytes) -> Header:
    """The header of a block that this process has just encoded: nothing is checked."""
    return Header._make((*_FIELDS.unpack_from(data)[2:], data[_FIELDS.size : HEADER_BYTES]))


def decode(data: bytes | memoryview) -> Block:
    """A whole block; nothing of it points into `data`, ids apart. Raises Undecodable."""
    return _decoded(read_header(data), data)


def decode_made(data: bytes) -> Block:
    """A block that this process has just encoded, as readers will have it. Its hash is not worked out again."""
    return _decoded(header_of(data), data)


def _decoded(header: Header, data: bytes | memoryview) -> Block:
    version = _fields(data, 0)[1]
    try:
        read = decode_sections if version >= PLAIN_COLUMNS_SINCE else decode_arrow_sections
        sections = read(memoryview(data)[HEADER_BYTES:], SECTIONS_OF_VERSION[version])
    except SectionMalformed as error:
        raise Undecodable(str(error)) from error
    return Block(header, *(sections[section.name] for section in SECTIONS))


def _fields(data: bytes | memoryview, at: int) -> tuple[Any, ...]:
    if len(data) - at < HEADER_BYTES:
        raise Undecodable("the header is cut")
    fields = _FIELDS.unpack_from(data, at)
    if fields[0] == MAGIC and fields[1] > FORMAT_VERSION_MAX:
        raise NewerFormat(
            f"it says that it is of format version {fields[1]}, and this release of fanfold reads 1 to {FORMAT_VERSION_MAX}"
        )
    if fields[0] != MAGIC or fields[1] not in SECTIONS_OF_VERSION:
        raise Undecodable("not a block of a known format version")
    if fields[2] and not fields[3] < fields[2] <= PARTITIONS_MAX:
        raise Undecodable("its partition is none of the partitions that it tells")
    if fields[4] > 1:
        raise Undecodable("what it says of forgotten ids is not known")
    if fields[-1] > BODY_BYTES_MAX:
        raise Undecodable("the body's length is over the limit")
    return fields
