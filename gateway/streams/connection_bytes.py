"""What of a stream lies in the system: a connection holds megabytes that its client has not taken, and no transport tells of it.

A ping behind them is answered late, and a balance behind them is old when it comes.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios


def bound_unsent(transport: asyncio.Transport, at_most_bytes: int) -> None:
    """Have the system keep no more than so many bytes that it has not sent yet; what is under way comes on top."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, at_most_bytes)


def unacknowledged_bytes(transport: asyncio.Transport) -> int:
    """What the system has of it and the client's system has not: unsent, or under way. 0 where nobody can tell."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return 0
    try:
        (waiting,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
    except OSError:  # it is over
        return 0
    return int(waiting)
