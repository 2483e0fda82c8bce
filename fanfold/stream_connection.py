"""A WebSocket to the gateway that is made again by itself, for whatever is watched over it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Final, TypeVar

import msgspec
import websockets
from websockets.asyncio.client import ClientConnection, connect

from fanfold.answers import ConnectionState
from fanfold.api.close_codes import is_final
from fanfold.api.retry import ASKED_AGAIN, InARow, Waits
from fanfold.api.routes import STREAM_PATH, SUBPROTOCOL
from fanfold.http_requests import bearer

OPEN_SECONDS_MAX: Final = 10.0
PING_SECONDS: Final = 10.0
PONG_SECONDS_MAX: Final = 5.0
"""A connection that does not answer a ping for so long is dead, though nobody said so; it is made again. A gateway that hangs is
told as lost within the sum of both, and until then as live: shorter ones would cost more than the balances of most clients."""

FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
"""More than a thousand accounts take in one frame."""

WAITS: Final = Waits(0.1, 5.0)
"""Between two attempts to connect: 0.1, 0.2 ... 5 s, with chance, for ever. A watcher has nothing better to do."""

RETURN_SECONDS_MAX: Final = 60.0
"""Nobody is sent away for longer, whatever is said."""

SILENT: Final = "the feed behind the gateway is silent"

T = TypeVar("T")


class StreamEnded(Exception):
    """The gateway refused what was asked, or ended the stream for good: connecting again would change nothing."""


class Leaving(Exception):
    """The gateway says goodbye and when to come back, seconds; each client is told another time."""

    def __init__(self, reason: str, after_s: float) -> None:
        super().__init__(reason)
        self.after_s = after_s


class Passing(Exception):
    """A subscribe was refused, for now: connect again later."""


async def messages(connection: ClientConnection) -> AsyncIterator[dict[str, Any]]:
    """What the gateway says. Raises Leaving where it says goodbye, websockets.ConnectionClosed."""
    async for frame in connection:
        message: dict[str, Any] = msgspec.json.decode(frame)
        if message["op"] == "bye" and not is_final(message["code"]):
            raise Leaving(message["reason"], min(message["after_ms"] / 1000, RETURN_SECONDS_MAX))
        yield message


async def kept_connected(
    url: str, updates: Callable[[ClientConnection], AsyncIterator[T]], token: str = ""
) -> AsyncGenerator[T | ConnectionState, None]:
    """What is told over one connection after the other, and between two why there is none.

    updates: all of one connection; a ConnectionState among them says that it works. It may raise Passing, Leaving, StreamEnded,
    websockets.ConnectionClosed. Raises StreamEnded.
    """
    in_a_row = InARow(WAITS, asyncio.sleep, random.random)
    while True:
        after_s: float | None = None
        try:
            async with connect(
                "ws" + url.removeprefix("http") + STREAM_PATH,
                subprotocols=[websockets.Subprotocol(SUBPROTOCOL)],
                additional_headers=bearer(token),
                open_timeout=OPEN_SECONDS_MAX,
                proxy=None,  # like the requests beside it: what stands in the environment is not asked
                ping_interval=PING_SECONDS,
                ping_timeout=PONG_SECONDS_MAX,
                max_size=FRAME_BYTES_MAX,
            ) as connection:
                async for update in updates(connection):
                    if isinstance(update, ConnectionState):
                        in_a_row.worked()
                    yield update
                reason = "the connection was closed"
        except Passing as passing:
            reason = str(passing)
        except Leaving as leaving:
            reason = str(leaving)
            if not in_a_row.failed:  # or it was sent away before anything worked: then the waits grow
                after_s = leaving.after_s
        except websockets.ConnectionClosed as closed:
            told = closed.rcvd
            if told is not None and is_final(told.code):
                raise StreamEnded(
                    f"The gateway ended the stream ({told.code}): {told.reason or 'no reason given'}."
                ) from None
            reason = "the connection was lost"
        except websockets.InvalidStatus as refused:
            if refused.response.status_code == 401:
                raise StreamEnded(
                    "The gateway asks who watches, and was not told so in a way that it accepts: FANFOLD_TOKEN has "
                    "the token or key. "
                    "Nothing was asked to change."
                ) from None
            if refused.response.status_code < 500 and refused.response.status_code not in ASKED_AGAIN:
                raise StreamEnded(f"{url} has no balance stream (HTTP {refused.response.status_code}).") from None
            reason = "the gateway is not available"
        except (OSError, TimeoutError, websockets.InvalidHandshake):
            reason = "the gateway cannot be reached"
        yield ConnectionState(False, reason)
        if after_s is None:
            await in_a_row.wait()
        else:
            in_a_row.failed += 1
            await asyncio.sleep(after_s)
