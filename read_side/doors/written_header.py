"""What a gateway says with a read of the writes that it has answered, and is told of those that are in the log no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from fanfold.api.answer_headers import LOST, WRITTEN
from fanfold.doors.answer import Headers
from read_side.contract.how_far import NOWHERE_WRITTEN, Wanted
from write_side.contract.words.position import format_positions, parse_positions

_WRITTEN: Final = WRITTEN.lower().encode()
_LOST: Final = LOST.lower().encode()


def written(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[int, int]:
    """Partition -> sequence, of a request's headers; empty without such a one. Raises Malformed."""
    for name, value in headers:
        if name == _WRITTEN:
            return _positions(value)
    return NOWHERE_WRITTEN


@lru_cache(1_024)
def _positions(value: bytes) -> Mapping[int, int]:
    """The reads between two writes say the same."""
    return MappingProxyType(parse_positions(value.decode("latin-1"), WRITTEN))


def lost_headers(wanted: Wanted) -> Headers:
    """For an answer that does without something that was written: the gateway need not ask for it again."""
    return ((_LOST, format_positions(wanted.lost).encode()),) if wanted.lost else ()
