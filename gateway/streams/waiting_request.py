"""A client of the hub that is a request: it waits for news instead of being written to at once."""

from __future__ import annotations

import asyncio

from fanfold.api.close_codes import CloseCode
from gateway.protocol.session import Session
from gateway.proxy.asgi import Receive


class WaitingRequest:
    """A `Stream` of the hub. news: there may be something to tell, or nobody to tell it to any more (`left`), or who is there
    may not be told anything more (`ended`). away: why it is sent away, and when it is to come back, milliseconds."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.news = asyncio.Event()
        self.left = False
        self.ended = False
        self.away: tuple[CloseCode, int] | None = None

    def flush(self) -> None:
        self.news.set()

    def take_later(self) -> None:
        """Nothing is said on it."""

    def has_place_for(self, principal: str) -> bool:
        """It was looked for before: who asks does not change."""
        return True

    def end_with(self, code: CloseCode) -> None:
        """There is no frame for the code: who comes back is told why by the answer."""
        self.ended = True
        self.news.set()

    def give_up(self) -> None:
        self.end_with(CloseCode.INTERNAL)

    def send_away(self, code: CloseCode, after_ms: int) -> None:
        """The answer ends, and says so."""
        self.away = self.away or (code, after_ms)
        self.news.set()

    async def leave(self, receive: Receive) -> None:
        """Returns when the client has left. A body that nobody asked for is passed over."""
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left = True
        self.news.set()
