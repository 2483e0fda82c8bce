"""What a test's own server has taken is gone with it, however its part in the conversation ended."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.listening import Serve, connected, listening
from tests.servers import LOOPBACK

LIMIT_S = 30
MUCH = b"a" * 10_000_000
"""More than the kernel takes of it."""


@pytest.fixture(autouse=True)
def nothing_is_left_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither a socket nor a transport nor a writer is told of as it is collected: in a later test, mostly."""
    gc.collect()
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda each: told.append(each.exc_value))
    yield
    gc.collect()
    assert told == []


async def hears_the_end(reader: StreamReader, _: StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def finds_it_broken(_: StreamReader, __: StreamWriter) -> None:
    raise ConnectionResetError


async def waits(_: StreamReader, __: StreamWriter) -> None:
    await asyncio.Future()


async def says_much(_: StreamReader, writer: StreamWriter) -> None:
    writer.write(MUCH)


async def has_closed(_: StreamReader, writer: StreamWriter) -> None:
    writer.write(b"bye")
    writer.close()


@pytest.mark.parametrize("serve", [hears_the_end, finds_it_broken, waits, says_much, has_closed])
@pytest.mark.parametrize("stays", [True, False])
async def test_whatever_it_does_is_over_with_the_block_though_its_client_stays(serve: Serve, stays: bool) -> None:
    async with asyncio.timeout(LIMIT_S):
        with socket.socket() as client:
            client.setblocking(False)
            async with listening(serve) as port:
                await asyncio.get_running_loop().sock_connect(client, (LOOPBACK, port))
                async with connected(LOOPBACK, port) as (_, writer):
                    writer.write(b"half a head")
                    await writer.drain()
                if not stays:
                    client.close()


@pytest.mark.parametrize("turns", range(6))
async def test_who_came_as_it_ends_is_cut_off_too(turns: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        async with listening(waits) as port:
            client = socket.create_connection((LOOPBACK, port))
            for _ in range(turns):
                await asyncio.sleep(0)
        client.settimeout(LIMIT_S)
        with client, suppress(ConnectionResetError):
            assert client.recv(1) == b""


async def test_what_is_wrong_with_how_it_serves_is_told() -> None:
    async def wrong(reader: StreamReader, _: StreamWriter) -> None:
        raise ValueError(await reader.readexactly(1))

    async def story() -> None:
        async with asyncio.timeout(LIMIT_S), listening(wrong) as port, connected(LOOPBACK, port) as (reader, writer):
            writer.write(b"x")
            assert await reader.read() == b""

    with pytest.raises(ValueError, match="x"):
        await story()


async def test_what_went_wrong_in_the_block_is_told_before_it() -> None:
    async def wrong(_: StreamReader, __: StreamWriter) -> None:
        raise ValueError

    async def story() -> None:
        async with asyncio.timeout(LIMIT_S), listening(wrong) as port, connected(LOOPBACK, port) as (reader, _):
            assert await reader.read() == b""
            raise KeyError

    with pytest.raises(KeyError):
        await story()
