"""A block of format version 3 or 4 read with `struct` alone, as another language would: the page
`write_side/contract/block/FORMAT.md` made into a program. It checks nothing; it is here to agree with what fanfold reads."""

from __future__ import annotations

import struct
from typing import Any

HEADER = "<8sHHHHQQ32sqqq16sQ32s"
FIELDS = (
    "magic", "version", "partitions", "partition", "forgets", "epoch", "sequence", "previous_hash", "consumed_to",
    "created_at_us", "refuse_ids_before_us", "digest", "body_bytes", "block_hash",
)  # fmt: skip
SECTIONS = {  # u: unsigned, s: signed, t: text, i: id
    1: ("accounts", "u number, t id, t asset, t owner, s floor, u flags"),
    2: ("outcomes", "i id, u kind, u code, u back, u row"),
    3: ("entries", "u outcome, u account, s posted, u version"),
    4: ("repeats", "u outcome, u sequence, u row"),
    5: ("legs", "u outcome, t account, s amount, t asset, s available"),
    6: ("held", "u entry, u held"),
    7: ("flags", "u entry, u flags"),
    8: (
        "pending",
        "u outcome, i id, u what, u state, u option, u deadline_us, u begun, u low, u debits, u steps, s cursor, u mask, "
        "u code, s available, u legs",
    ),
    9: ("pending_legs", "u pending, i key, s asset, s amount, u step, u partition, s if_version, s if_available"),
    10: ("steps", "u outcome, u step, u partition, u action, u code, u sequence, u at_us"),
    11: ("links", "u outcome, i id"),
    12: ("details", "u outcome, i fingerprint, u deadline_us, u option, s amount, t reference, t metadata"),
    13: ("conditions", "u leg, s if_version, s if_available"),
    14: ("askers", "u outcome, t name"),
}


def read_block(data: bytes) -> tuple[dict[str, Any], dict[str, dict[str, list[Any]]], list[int]]:
    """The header, the sections by name, and where each section begins."""
    header = dict(zip(FIELDS, struct.unpack_from(HEADER, data), strict=True))
    sections: dict[str, dict[str, list[Any]]] = {}
    at, starts = struct.calcsize(HEADER), list[int]()
    while at < len(data):
        starts.append(at)
        number, columns, rows = struct.unpack_from("<BBI", data, at)
        codes, at = data[at + 6 : at + 6 + columns], at + 6 + columns
        name, declared = SECTIONS[number]
        sections[name] = read = {}
        for column, code in zip(declared.split(", "), codes, strict=True):
            kind, column_name = column.split(" ")
            stored = 1 if code & 4 else rows
            values: list[Any]
            if kind == "i":
                values, at = [data[at + 16 * row : at + 16 * row + 16] for row in range(stored)], at + 16 * stored
            else:
                letter = ("bhiq" if kind == "s" else "BHIQ")[code & 3]
                values, at = list(struct.unpack_from(f"<{stored}{letter}", data, at)), at + (stored << (code & 3))
            if kind == "t":
                ends, text_at, at = [0, *values], at, at + values[-1]
                values = [data[text_at + ends[row] : text_at + ends[row + 1]].decode() for row in range(stored)]
            read[column_name] = values * rows if code & 4 else values
    return header, sections, starts
