"""A client of the hub that is a request: it waits for news instead of being written to at once."""

from __future__ import annotations

import asyncio

from gateway.protocol.session import Session
from gateway.proxy.upstream import Receive


class WaitingRequest:
    """A `Stream` of the hub. news: there may be something to tell, or nobody to tell it to any more (`left`)."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.news = asyncio.Event()
        self.left = False

    def flush(self) -> None:
        self.news.set()

    async def leave(self, receive: Receive) -> None:
        """Returns when the client has left. A body that nobody asked for is passed over."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left = True
        self.news.set()
