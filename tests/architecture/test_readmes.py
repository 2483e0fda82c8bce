"""Whoever opens a folder reads one screen: what it answers, the file to begin with, what it may import."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.architecture.rules import OURS, PUBLIC, ROOMS, SIDES

ROOT = Path(__file__).parents[2]
LINES_MAX = 40
"""Why things are as they are stands in DECISIONS.md, and what takes longer to say in a page of its own."""
FOLDERS = ("write_side", "read_side", "gateway", "fanfold", "deploy", "tests")
READMES = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", *(f"{folder}/**README.md" for folder in FOLDERS)],
    cwd=ROOT, capture_output=True, text=True, check=True,
).stdout.split()  # fmt: skip


def test_every_top_folder_has_one() -> None:
    assert {f"{folder}/README.md" for folder in FOLDERS} <= set(READMES)


@pytest.mark.parametrize("name", READMES)
def test_a_readme_is_one_screen(name: str) -> None:
    assert len((ROOT / name).read_text().splitlines()) <= LINES_MAX


ROOM_READMES = [f"{side}/{room}/README.md" for side in SIDES for room in ROOMS[side] if room != "contract"]


@pytest.mark.parametrize("name", ROOM_READMES)
def test_a_room_says_what_it_may_import(name: str) -> None:
    """All that it imports stands behind "may import", to the end of that paragraph: rooms of its side by their names."""
    side, room, _ = name.split("/")
    said = re.search(r"[Mm]ay import(.*?)(\n\n|\Z)", (ROOT / name).read_text(), re.DOTALL)
    assert said is not None
    found = set()
    for source in (ROOT / side / room).rglob("*.py"):
        for line in re.findall(r"^from ([\w.]+) import|^import ([\w.]+)", source.read_text(), re.MULTILINE):
            top, _, more = (line[0] or line[1]).partition(".")
            if top in OURS and (top, more.partition(".")[0]) != (side, room):
                found.add((top, more.partition(".")[0]))
    modules = {path.stem for path in (ROOT / side).glob("*.py")}
    for top, inner in sorted(found):
        if top == side and inner in modules:
            continue  # settings and metrics are of the whole side
        if f"{top}.{inner}" == PUBLIC:
            continue  # everybody may
        names = (
            {f"{top}.{inner}"} | ({inner} if top == side else set()) | ({"contracts"} if inner == "contract" else set())
        )
        is_named = any(re.search(rf"(?<![\w.]){re.escape(each)}(?!\w)", said[1]) for each in names)
        assert is_named, f"{name} does not name {top}.{inner}"
