"""The console in a real Chromium, one for all tests of a run: each has a context of its own, and sees no storage of another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from playwright.async_api import Browser, Page, async_playwright, expect

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@asynccontextmanager
async def chromium(path: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        # Pages are kept for the way back, as they are for people.
        browser = await playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, ignore_default_args=["--disable-back-forward-cache"]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def console(url: str, browser: Browser, state: str = "live", **context: Any) -> AsyncIterator[Page]:
    """The console, open and in this state; it may load nothing from elsewhere and raise nothing.

    context: options of the browser's context (colour scheme, size of the window).
    """
    troubles: list[str] = []
    async with await browser.new_context(**context) as opened:
        page = await opened.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: troubles.append(request.url) if url not in request.url else None)
        page.on("console", lambda said: troubles.append(said.text) if "Content Security Policy" in said.text else None)
        await page.goto(url)
        await expect(page.locator("#connection")).to_have_attribute("data-state", state)
        yield page
    assert troubles == []


async def shows(page: Page, account: str, text: str) -> None:
    await expect(page.locator(f'.card[data-account="{account}"] .figure')).to_have_text(text)


async def watch(page: Page, account: str) -> None:
    await page.locator("#watch-account").fill(account)
    await page.get_by_role("button", name="Watch", exact=True).click()
