"""The page of `fanfold compare --html` in a real browser: narrow and wide, dark and light, without a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import async_playwright

from fanfold.cli.compare_page import page
from tests.end_to_end.console_page import ARGUMENTS
from tests.unit.fanfold.test_compare_told import LOCKED, LOST, compared
from write_side.designs.wiring import Name

pytestmark = pytest.mark.browser

_TOO_WIDE = """() => [...document.querySelectorAll('body *')].filter(each => !each.closest('svg') || each.tagName === 'text')
  .filter(each => { const box = each.getBoundingClientRect(); return box.width && (box.right > innerWidth + 1 || box.left < -1) })
  .map(each => each.outerHTML.slice(0, 120))"""
_CONTRAST = """() => { const lum = colour => { const [r, g, b] = colour.match(/[\\d.]+/g).map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b };
  const behind = each => { for (; each; each = each.parentElement) { const b = getComputedStyle(each).backgroundColor;
    if (b !== 'rgba(0, 0, 0, 0)') return b } return 'rgb(255, 255, 255)' };
  return [...document.querySelectorAll('p, td, td span, dt, dd, h1, h2, h3, svg text')]
  .filter(each => each.textContent.trim()).map(each => {
    const style = getComputedStyle(each), ink = lum(each.tagName === 'text' ? style.fill : style.color), on = lum(behind(each));
    return (Math.max(ink, on) + .05) / (Math.min(ink, on) + .05) }) }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_it_is_readable_and_asks_for_nothing(scheme: str, width: int, chromium_path: str, tmp_path: Path) -> None:
    rest = [compared(name, 900) for name in Name if name not in (Name.SAGA, Name.EVENT_SOURCING)]
    found = [compared(harms=(LOST, LOCKED)), compared(Name.EVENT_SOURCING, 2_000, harms=(LOCKED,)), *rest]
    file = tmp_path / "designs.html"
    file.write_text(page(found, {"designs": ", ".join(Name), "seconds of load": "10"}, 0.1, 5.0), encoding="utf-8")
    asked, troubles = list[str](), list[str]()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path, args=ARGUMENTS)
        shown = await browser.new_page(
            viewport={"width": width, "height": 800}, color_scheme="dark" if scheme == "dark" else "light"
        )
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("pageerror", lambda error: troubles.append(str(error)))
        shown.on("console", lambda told: troubles.append(told.text))
        await shown.goto(file.as_uri())
        assert await shown.evaluate("document.documentElement.scrollWidth") <= width
        assert await shown.evaluate(_TOO_WIDE) == []
        assert min(await shown.evaluate(_CONTRAST)) >= 4.5
        assert await shown.locator("svg .dot").count() >= len(found)
        await shown.screenshot(path=tmp_path / "shown.png", full_page=True)
        await browser.close()
    assert asked == [file.as_uri()]
    assert troubles == []
