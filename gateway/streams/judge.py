"""The sans-I/O protocol of a stream, by `websockets`: the one judge of RFC 6455.

Between two messages it knows nothing but that the connection is open, and takes 3 KiB for that (the headers of its handshake,
three generators, 25 attributes). So a stream that says nothing has none: it lets one go, and makes another when there is
something to judge.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from gateway.streams.handshake import choose_subprotocol

_quiet = logging.Logger("fanfold.gateway.websocket", logging.WARNING)
"""It tells every closed connection; the metrics do that."""


class Judge(ServerProtocol):
    """Of one connection. message_bytes_max: a longer message is refused by its head."""

    def __init__(self, message_bytes_max: int, state: State = State.CONNECTING) -> None:
        """state: OPEN for one that takes over between two messages."""
        super().__init__(state=state, max_size=message_bytes_max, logger=_quiet)

    def select_subprotocol(self, subprotocols: Sequence[Subprotocol]) -> Subprotocol | None:
        """A method, and no argument of the constructor: that would keep each until the collector's next pass."""
        return choose_subprotocol(self, subprotocols)

    def let_go(self) -> None:
        """Nothing more is judged by it: its generators, which know it, would keep it until the collector's next pass."""
        self.parser.close()
