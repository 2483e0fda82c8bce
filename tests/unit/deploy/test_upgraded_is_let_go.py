"""What read a handshake is gone with it: 10,000 streams that open are fewer objects than the collector waits for."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from deploy.allowed_hosts import AllowedHosts
from deploy.bounded_http import HEAD_MS_MAX, BoundedHttpProtocol

HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Upgraded(asyncio.Protocol):
    heard = b""

    def __init__(self, **_: Any) -> None:
        pass

    def data_received(self, data: bytes) -> None:
        Upgraded.heard = data


class Transport(asyncio.Transport):
    """Of a connection on which nothing is written."""

    protocol: Any = None

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


async def _app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("nothing is asked over HTTP")


async def test_what_read_the_handshake_is_gone_without_the_collector() -> None:
    config = uvicorn.Config(_app, ws=Upgraded, lifespan="off", log_level="warning")
    config.load()
    transport = Transport()
    gc.collect()
    gc.disable()
    try:
        reader = BoundedHttpProtocol(
            AllowedHosts(), HEAD_MS_MAX, 10, config=config, server_state=ServerState(), app_state={}
        )
        transport.protocol = reader
        reader.connection_made(transport)
        reader.data_received(HANDSHAKE)
        gone = weakref.ref(reader)
        del reader
        assert Upgraded.heard.startswith(b"GET /v1/stream HTTP/1.1\r\n")
        assert isinstance(transport.protocol, Upgraded)
        assert gone() is None
    finally:
        gc.enable()
