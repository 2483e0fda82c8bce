"""What a stream hears because it is there, whatever it asked: hello, heartbeats with a watermark, goodbye. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from fanfold.api.close_codes import MEANINGS, CloseCode
from fanfold.api.frames.connection import Bye, Heartbeat, Hello, StreamLimits
from fanfold.api.frames.written import written_as
from write_side.contract.words.position import format_positions

if TYPE_CHECKING:
    from gateway.protocol.partition_watch import PartitionWatch
    from gateway.protocol.subscription import Watcher


Limits: Final = written_as(StreamLimits)
"""What a stream is held to, as `hello` says it."""
_hello: Final = written_as(Hello)
_heartbeat: Final = written_as(Heartbeat)
_bye: Final = written_as(Bye)


def hello_frame(connection: str, time: str, heartbeat_ms: int, limits: StreamLimits, sign_in_ms: int | None) -> bytes:
    """The first frame of a stream. connection: names it, in logs too. sign_in_ms: None where nobody has to sign in any more."""
    return msgspec.json.encode(_hello(connection, time, heartbeat_ms, limits, sign_in_ms))


def heartbeat_frame(time: str, positions: Mapping[int, int]) -> bytes:
    """positions: the watermark, the block of each partition up to which everything that is watched has been told."""
    return msgspec.json.encode(_heartbeat(time, format_positions(positions)))


def bye_frame(code: CloseCode, after_ms: int) -> bytes:
    """The last frame before a close with this code. after_ms: when the client is to come back."""
    return msgspec.json.encode(_bye(int(code), MEANINGS[code].reason, after_ms))


def partitions_told(session: Watcher) -> frozenset[int]:
    """Those of which the client has been told all that it watches there; one of its accounts that is still silent (being read,
    held, not read yet) takes its partition out. Ask when nothing waits to be sent to it."""
    told, silent = set[int](), set[int]()
    for each in session.by_number.values():
        (told if each.live else silent).add(each.partition)
    for prefix in session.prefixes.values():
        told.update(range(prefix.partitions))
        silent.update(prefix.silent)
    return frozenset(told - silent)


def watermark(partitions: Sequence[PartitionWatch], of: Iterable[int]) -> dict[int, int]:
    """Of these partitions the last block that was heard of, where nothing before it is missing."""
    return {each: upto for each in sorted(of) if (upto := partitions[each].told_up_to) >= 0}
