"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.end_to_end.console_page import chromium

expect.set_options(timeout=30_000)
"""Milliseconds, for what never comes: a page on a busy machine needs more than Playwright's five seconds now and then."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium_path: str) -> AsyncIterator[Browser]:
    """One Chromium for the whole run; whoever uses it runs in the session's loop."""
    async with chromium(chromium_path) as browser:
        yield browser
