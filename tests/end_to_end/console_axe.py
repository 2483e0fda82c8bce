"""What axe-core finds in a page, one line a finding. The file is the tests' (`tests/data/README.md`); no page loads it."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from playwright.async_api import Page

PATH: Final = Path(__file__).parents[1] / "data" / "axe.min.js.gz"
SHA256: Final = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"

_RUN: Final = """async (only) => {
    const { violations } = await axe.run(document, only.length ? { runOnly: { type: "rule", values: only } } : {});
    return violations.flatMap(({ id, help, nodes }) =>
        nodes.map((node) => `${id}: ${help}: ${node.html.slice(0, 160)} ${node.failureSummary}`));
}"""


@cache
def _axe() -> str:
    body = gzip.decompress(PATH.read_bytes())
    assert hashlib.sha256(body).hexdigest() == SHA256
    return body.decode()


async def findings(page: Page, *rules: str) -> list[str]:
    """Of all its rules, or of these alone."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(_axe())
    found: list[str] = await page.evaluate(_RUN, list(rules))
    return found
