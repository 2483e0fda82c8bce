"""What serves the console in tests: a gateway before a stub wallet, or `fanfold up` as users start it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from playwright.async_api import Browser, Page

from tests.end_to_end import processes
from tests.end_to_end.console_page import console
from tests.gateway_server import serving
from tests.servers import free_port, unique_name
from tests.wallet_stub import WalletStub


class Target(NamedTuple):
    """A running fanfold. `transfer` moves money without the page; `drop_streams` cuts every open stream."""

    url: str
    transfer: Callable[[str, str, int], Awaitable[None]]
    drop_streams: Callable[[], Awaitable[None]]


@asynccontextmanager
async def stub_target() -> AsyncIterator[Target]:
    wallet = WalletStub()
    async with serving(wallet, wallet.feed, cut_wait_ms=100) as served:

        async def drop_streams() -> None:
            for stream in list(served.gateway.hub._streams.values()):
                stream._transport.abort()  # type: ignore[attr-defined]

        yield Target(served.url, wallet.transfer, drop_streams)


@asynccontextmanager
async def stub_console(
    wallet: WalletStub, browser: Browser, state: str = "live", **context: Any
) -> AsyncIterator[Page]:
    """The console of a gateway before this wallet, as `console`."""
    async with (
        serving(wallet, wallet.feed, cut_wait_ms=100) as served,
        console(served.url, browser, state, **context) as page,
    ):
        yield page


@asynccontextmanager
async def real_target(folder: Path, partitions: int = 1) -> AsyncIterator[Target]:
    """The embedded process; its streams are dropped as they are in life, by kill -9 and a new start over the same data."""
    environment = {
        "FANFOLD_DATA": str(folder / "data"),
        "FANFOLD_PORT": str(free_port()),
        "FANFOLD_PARTITIONS": str(partitions),
    }
    errors = folder / "errors.txt"
    service = await processes.start("up", environment=environment, errors=errors)

    async def transfer(debit: str, credit: str, amount: int) -> None:
        body = {"from": debit, "to": credit, "amount": str(amount), "asset": "USD/2"}
        headers = {"Idempotency-Key": unique_name()}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{service.address}/v1/transfers", json=body, headers=headers) as response,
        ):
            assert response.status == 201, await response.text()

    async def restart() -> None:
        nonlocal service
        await service.kill()
        service = await processes.start("up", environment=environment, errors=errors)

    try:
        yield Target(service.address, transfer, restart)
    finally:
        await service.kill()
