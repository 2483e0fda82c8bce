"""Pictures of the console before a real service: `make pictures`.

Dark and light, wide and 360 pixels; written to `docs/` when no folder is named. No test compares them: fonts differ by machine.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, expect

from tests.end_to_end.console_page import chromium, console, shows, watch
from tests.end_to_end.console_targets import Target, real_target
from tests.servers import find_chromium

FOLDER = Path(__file__).parents[2] / "docs"
WINDOWS = {"wide": {"width": 1200, "height": 860}, "narrow": {"width": 360, "height": 740}}
MOVED = (1250, 310, 4999, 75, 1800, 640, 2200, 99)


async def scene(page: Page, target: Target) -> None:
    """Two accounts with a past, a hold, a transfer that was too much, a chart."""
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await expect(page.get_by_label("Amount")).to_have_value("12.50")
    await shows(page, "bob", "$100.00")
    for at, amount in enumerate(MOVED):
        debit, credit = ("alice", "bob") if at % 3 else ("bob", "alice")
        await target.transfer(debit, credit, amount)
    form = page.locator("#transfer-form")
    await form.get_by_label("Hold", exact=True).check()
    await form.get_by_role("button", name="Send", exact=True).click()
    await expect(page.locator(".activity li.done").first).to_contain_text("Held $12.50")
    await form.get_by_label("Move", exact=True).check()
    await page.get_by_label("Amount").fill("5,000.00")
    await form.get_by_role("button", name="Send", exact=True).click()
    await expect(page.locator(".activity li.refused")).to_have_count(1)


async def look(page: Page) -> None:
    """As it is found by who comes back: the balances, a statement, holds, a chart."""
    for name in ("alice", "bob"):
        await watch(page, name)
    await page.get_by_role("button", name="Chart of alice").click()
    await expect(page.locator("#chart-log")).to_contain_text("The log itself says so")
    await page.evaluate("window.scrollTo(0, 0); document.activeElement.blur()")
    await page.mouse.move(0, 0)


async def take(browser: Browser, target: Target, folder: Path) -> None:
    for scheme in ("light", "dark"):
        for window, size in WINDOWS.items():
            options: dict[str, Any] = {"viewport": size, "color_scheme": scheme, "reduced_motion": "reduce"}
            async with console(target.url, browser, **options) as page:
                await look(page)
                path = folder / f"console-{scheme}-{window}.png"
                await page.screenshot(path=path)
                print(path)


async def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        async with real_target(Path(data)) as target, chromium(str(find_chromium())) as browser:
            async with console(target.url, browser, viewport=WINDOWS["wide"]) as page:
                await scene(page, target)
                await page.screenshot(path=folder / "console-after-sending.png")
            await take(browser, target, folder)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
