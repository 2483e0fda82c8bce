"""What the console is made of: files of its own, that say what they are and do nothing that the page's policy forbids."""

from __future__ import annotations

import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import gateway.console
from gateway.doors.static_files import CONSOLE_POLICY, CONTRACT, static_files

FOLDER = Path(gateway.console.__file__).parent
OURS = sorted(FOLDER.glob("*.js"))
PAGES = sorted(FOLDER.glob("*.html"))


def test_the_chart_is_drawn_by_what_was_released_with_its_licence_beside_it() -> None:
    stated = re.findall(r"([0-9a-f]{64})  (\S+)", (FOLDER / "uplot" / "README.md").read_text())
    assert {name for _, name in stated} == {"uPlot.esm.js", "uPlot.min.css"}
    for digest, name in stated:
        assert hashlib.sha256((FOLDER / "uplot" / name).read_bytes()).hexdigest() == digest, name
    assert "MIT License" in (FOLDER / "uplot" / "LICENSE").read_text()


class Inline(HTMLParser):
    """Finds what a policy without `unsafe-inline` refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._in: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}" for name, _ in attrs if name == "style" or name.startswith("on")]
        self._in = tag if tag in ("script", "style") else None

    def handle_data(self, data: str) -> None:
        if self._in is not None and data.strip():
            self.found.append(f"{self._in}: {data.strip()[:40]}")

    def handle_endtag(self, tag: str) -> None:
        self._in = None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_no_script_or_style_of_its_own(page: Path) -> None:
    inline = Inline()
    inline.feed(page.read_text())
    assert inline.found == []
    assert b"unsafe" not in CONSOLE_POLICY


@pytest.mark.parametrize("source", OURS, ids=lambda source: source.name)
def test_texts_of_the_service_are_never_read_as_markup(source: Path) -> None:
    assert re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|eval\(", source.read_text()) == []


def test_every_file_that_is_asked_for_is_there() -> None:
    served = set(static_files())
    for source in (*OURS, *PAGES):
        for address in re.findall(r"[\"'](/console/[\w.-]+)[\"']", source.read_text()):
            assert address in served, (source.name, address)
    assert CONTRACT in served
