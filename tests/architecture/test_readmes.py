"""Whoever opens a folder reads one screen: what it answers, the file to begin with, what it may import."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

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
