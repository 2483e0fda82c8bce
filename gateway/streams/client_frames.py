"""Where the frames of a client begin and end, so that the common one is read here: a whole text message, masked, of up to 64 KiB.

The sans-I/O protocol takes 2.7 us a frame and makes an event of it, 0.8 us are enough; clients that submit send tens of
thousands of them. Everything else (control frames, fragments, what breaks a rule) is given to it frame by frame, whole, so that
there is one judge of RFC 6455, and it is never in the middle of a frame when one is read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiler where it was built
    from websockets.utils import apply_mask

_TEXT: Final = 0x81
"""FIN, no reserved bits, opcode 1."""
_MASKED: Final = 0x80
_FINAL: Final = 0x80
_IS_CONTROL: Final = 0x08
_DATA: Final = frozenset({0x00, 0x01, 0x02, 0x80, 0x81, 0x82})
_CONTROL: Final = frozenset({0x88, 0x89, 0x8A})
_CONTROL_BYTES_MAX: Final = 125


class Text(NamedTuple):
    """A message, unmasked."""

    payload: bytes


class Raw(NamedTuple):
    """Bytes for the sans-I/O protocol."""

    data: bytes


class ClientFrames:
    """Of one connection, from the end of its handshake on. size_max: bytes of a message."""

    __slots__ = ("_fragmented", "_rest", "_size_max", "_through")

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._rest = b""
        """The beginning of a frame: no more than a frame may have."""
        self._fragmented = False
        self._through = False

    @property
    def between_messages(self) -> bool:
        """Whether the sans-I/O protocol is in the middle of nothing."""
        return not (self._fragmented or self._through)

    def pass_through(self) -> None:
        """From now on the sans-I/O protocol gets every byte."""
        self._through = True

    def feed(self, data: bytes) -> Iterator[Text | Raw]:
        """What is whole, in order."""
        if self._through:
            yield Raw(data)
            return
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        while at + 2 <= size:
            second = data[at + 1]
            length, begin = second & 0x7F, at + 2
            if length == 126:
                if begin + 2 > size:
                    break
                length, begin = data[begin] << 8 | data[begin + 1], begin + 2
            elif length == 127:
                if begin + 8 > size:
                    break
                length, begin = int.from_bytes(data[begin : begin + 8], "big"), begin + 8
            if length > self._size_max or not _is_allowed(
                data[at], second
            ):  # refused by its head, and nothing of it kept
                self._through, self._rest = True, b""
                yield Raw(data[at:])
                return
            end = begin + 4 + length
            if end > size:
                break
            if data[at] == _TEXT and not self._fragmented:
                yield Text(apply_mask(data[begin + 4 : end], data[begin : begin + 4]))
            else:
                if not data[at] & _IS_CONTROL:
                    self._fragmented = not data[at] & _FINAL
                yield Raw(data[at:end])
            at = end
        self._rest = data[at:]


def _is_allowed(first: int, second: int) -> bool:
    """Whether a client's frame may begin with these two bytes (RFC 6455 section 5.2)."""
    if first in _CONTROL:
        return _MASKED <= second <= _MASKED + _CONTROL_BYTES_MAX
    return first in _DATA and second >= _MASKED
