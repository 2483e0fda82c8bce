"""The console in a real Chromium, before a stub wallet and before `fanfold up`. `target` alone knows what serves the page."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.end_to_end import processes
from tests.gateway_server import serving
from tests.servers import free_port, unique_name
from tests.wallet_stub import WalletStub

pytestmark = pytest.mark.browser

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Target(NamedTuple):
    """A running fanfold. `transfer` moves money without the page; `drop_streams` cuts every open stream."""

    url: str
    transfer: Callable[[str, str, int], Awaitable[None]]
    drop_streams: Callable[[], Awaitable[None]]


@pytest.fixture(params=["stub", "fanfold up"])
async def target(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Target]:
    running = stub_target() if request.param == "stub" else real_target(tmp_path)
    async with running as target:
        yield target


@asynccontextmanager
async def stub_target() -> AsyncIterator[Target]:
    wallet = WalletStub()
    async with serving(wallet, wallet.feed, cut_wait_ms=100) as served:

        async def drop_streams() -> None:
            for stream in list(served.gateway.hub._streams.values()):
                stream._transport.abort()  # type: ignore[attr-defined]

        yield Target(served.url, wallet.transfer, drop_streams)


@asynccontextmanager
async def real_target(folder: Path) -> AsyncIterator[Target]:
    """The embedded process; its streams are dropped as they are in life, by kill -9 and a new start over the same data."""
    environment = {"FANFOLD_DATA": str(folder / "data"), "FANFOLD_PORT": str(free_port())}
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


@pytest.fixture
async def page(target: Target, chromium_path: str) -> AsyncIterator[Page]:
    """The console, open; it may load nothing from elsewhere and raise nothing."""
    troubles: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path, args=ARGUMENTS)
        page = await browser.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url) if target.url not in request.url else None)
        await page.goto(target.url)
        await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        yield page
        await browser.close()
    assert troubles == []


async def shows(page: Page, account: str, text: str) -> None:
    await expect(page.locator(f'.card[data-account="{account}"] .figure')).to_have_text(text)


async def test_a_newcomer_gets_two_funded_accounts_and_moves_money(page: Page) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await shows(page, "alice", "$100.00")
    await shows(page, "bob", "$100.00")
    await expect(page.get_by_label("Amount")).to_have_value("12.50")
    await page.get_by_role("button", name="Send").click()
    await shows(page, "alice", "$87.50")
    await shows(page, "bob", "$112.50")


async def test_a_transfer_made_elsewhere_appears_and_flashes(page: Page, target: Target) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await shows(page, "bob", "$100.00")
    await target.transfer("alice", "bob", 1)
    await shows(page, "alice", "$99.99")
    await expect(page.locator('.card[data-account="alice"] .figure')).to_have_class(re.compile("fell"))
    await expect(page.locator('.card[data-account="bob"] .figure')).to_have_class(re.compile("rose"))


async def test_a_lost_connection_is_shown_and_resumed(page: Page, target: Target) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await shows(page, "bob", "$100.00")
    await target.drop_streams()
    await target.transfer("bob", "alice", 250)
    await shows(page, "bob", "$97.50")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")


async def test_a_refusal_says_what_it_means_for_the_money(page: Page) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await expect(page.get_by_label("Amount")).to_have_value("12.50")
    await page.get_by_label("Amount").fill("1,000")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator(".activity li.refused")).to_contain_text("No money moved. alice has $100.00 available.")
    await shows(page, "alice", "$100.00")


async def test_an_account_can_be_watched_before_it_is_opened_and_is_remembered(page: Page) -> None:
    await page.locator("#watch-account").fill("carol")
    await page.get_by_role("button", name="Watch", exact=True).click()
    await shows(page, "carol", "Not opened yet")
    form = page.locator("#open-form")
    await form.get_by_label("Account").fill("carol")
    await form.get_by_label("Asset").fill("JPY/0")
    await form.get_by_role("button").click()
    await shows(page, "carol", "¥0")
    await page.reload()
    await shows(page, "carol", "¥0")
    await page.get_by_role("button", name="Stop watching carol").click()
    await expect(page.locator("#welcome")).to_be_visible()


async def test_amounts_are_never_floating_point(page: Page) -> None:
    formatted = await page.evaluate(
        """async () => {
            const { format, parse } = await import("/console/money.js");
            const refused = (typed, asset) => { try { parse(typed, asset); return false; } catch { return true; } };
            return [
                format("999999999999999999", "USD/2"), format("-5", "USD/2"), format("1", "BTC/8"), format("1234", "JPY/0"),
                parse("9,999,999,999,999,999.99", "USD/2"), parse("0.1", "BTC/8"), parse("-3", "USD/2"),
                refused("1.234", "USD/2"), refused("1e3", "USD/2"), refused("1,23", "USD/2"), refused("", "USD/2"),
                refused("1", "usd"),
            ];
        }"""
    )
    assert formatted == [
        "9,999,999,999,999,999.99",
        "−0.05",  # noqa: RUF001 - the real minus sign
        "0.00000001",
        "1,234",
        "999999999999999999",
        "10000000",
        "-300",
        *[True] * 5,
    ]


async def test_the_api_page_works_without_internet(page: Page, target: Target) -> None:
    await page.goto(target.url + "/docs")
    await expect(page.locator(".opblock-summary-path").first).to_be_visible()
