"""The newest position of each partition that a write was answered with through this gateway: what its reads wait for.

Everybody's writes count, not each client's own: a gateway keeps nothing of single clients, and the projector is some milliseconds
behind. What clients send never gets in, only what the write side answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from fanfold.api.answer_headers import LOST, POSITION, WRITTEN
from fanfold.api.malformed import Malformed
from fanfold.api.routes import ACCOUNT
from fanfold.doors.query_names import naming
from write_side.contract.words.atoms import partition_of
from write_side.contract.words.position import PARTITIONS_MAX, format_positions, parse_positions

Headers = Iterable[tuple[bytes, bytes]]
"""Names in lower case, as ASGI has them."""

POSITION_NAME: Final = POSITION.lower().encode()
WRITTEN_NAME: Final = WRITTEN.lower().encode()
LOST_NAME: Final = LOST.lower().encode()
_says_itself: Final = naming("min_position")
_ACCOUNT: Final = ACCOUNT.path.partition("{")[0]


class Written:
    """Positions only rise, until one of them turns out to be in no log any more. At most one for each partition that a log
    may have (`PARTITIONS_MAX`). partitions: how many the log has; 0 while that is not known."""

    def __init__(self, partitions: Callable[[], int]) -> None:
        self._partitions = partitions
        self._newest: dict[int, int] = {}
        self._headers: dict[int, tuple[bytes, bytes]] = {}
        """Of a partition that was asked about since."""
        self._all: bytes | None = None

    def of(self, partition: int) -> int:
        """The sequence; -1 for none."""
        return self._newest.get(partition, -1)

    def answered(self, headers: Headers) -> int:
        """The head of an answer of the write side; how many bytes its positions are."""
        told = 0
        for name, value in headers:
            if name == POSITION_NAME:
                told += len(value)
                self._rise(value)
        return told

    def _rise(self, value: bytes) -> None:
        newest = self._newest
        for partition, sequence in _positions(value).items():
            if sequence > newest.get(partition, -1) and partition < PARTITIONS_MAX:
                newest[partition] = sequence
                self._headers.pop(partition, None)
                self._all = None

    def lost(self, headers: Headers) -> None:
        """The head of an answer of the read side: what lies beyond the end of the log is waited for no more. A write that was
        answered since may have a position of the log as it is now, so only these themselves are dropped, and what is below."""
        for name, value in headers:
            if name == LOST_NAME:
                for partition, sequence in _positions(value).items():
                    self.drop(partition, sequence)

    def drop(self, partition: int, sequence: int) -> None:
        if -1 < self.of(partition) <= sequence:
            del self._newest[partition]
            self._headers.pop(partition, None)
            self._all = None

    def header_of(self, path: str, query: bytes) -> tuple[bytes, bytes] | None:
        """What a read with this address has to wait for; None for nothing. Who says what he wants himself gets that."""
        if not self._newest or _says_itself(query):
            return None
        if path.startswith(_ACCOUNT):
            partitions, account = self._partitions(), path[len(_ACCOUNT) :].partition("/")[0]
            if partitions and account.isascii():
                partition = partition_of(account, partitions)
                header = self._headers.get(partition)
                if header is None and partition in self._newest:
                    value = b"%d:%d" % (partition, self._newest[partition])
                    header = self._headers[partition] = WRITTEN_NAME, value
                return header
        if self._all is None:
            self._all = format_positions(self._newest).encode()
        return WRITTEN_NAME, self._all


def _positions(value: bytes) -> dict[int, int]:
    """None from what is no token: a side of another version, and nothing to fail an answered write for."""
    try:
        return parse_positions(value.decode("latin-1"))
    except Malformed:
        return {}
