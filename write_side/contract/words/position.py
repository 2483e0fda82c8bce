"""The position token: how far a partition's log has been seen. `0:17` is block 17 of partition 0."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from fanfold.api.malformed import Malformed

PARTITIONS_MAX: Final = 1024
"""Of a log. A header tells them in two bytes, and a step names its home in as many."""

_TOKEN = re.compile(r"(0|[1-9][0-9]{0,4}):(0|[1-9][0-9]{0,17})\Z", re.ASCII)
TOKEN_BYTES_MAX: Final = PARTITIONS_MAX * len("1023:100000000000000000,")
"""A read of every partition is answered with all of them, and a token that was handed out is taken again."""


class Position(NamedTuple):
    """One partition's place in its log: block `sequence` and everything before it."""

    partition: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.sequence}"


def parse_positions(text: str, field: str = "min_position") -> dict[int, int]:
    """`0:17,3:9` as {partition: sequence}. Raises Malformed on anything else, a partition named twice included."""
    parts = text.split(",", PARTITIONS_MAX)
    found: dict[int, int] = {}
    for part in parts[:PARTITIONS_MAX]:
        match = _TOKEN.match(part)
        if match is None or int(match[1]) in found:
            break
        found[int(match[1])] = int(match[2])
    else:
        if len(parts) <= PARTITIONS_MAX:
            return found
    raise Malformed("position_malformed", field, "must be partition:sequence, several with commas, such as 0:17,3:9")


def format_positions(positions: Mapping[int, int]) -> str:
    return ",".join(str(Position(partition, positions[partition])) for partition in sorted(positions))


def joined_positions(tokens: Iterable[str]) -> str:
    """One token for what several reach together; empty for none. Empty ones tell nothing."""
    texts = set(tokens) - {""}
    if len(texts) <= 1:
        return next(iter(texts), "")
    reached: dict[int, int] = {}
    for text in texts:
        for partition, sequence in parse_positions(text).items():
            reached[partition] = max(sequence, reached.get(partition, -1))
    return format_positions(reached)
