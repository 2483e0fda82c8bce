"""What several rooms of the read side are tried with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.read_side.archive import Archive


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Archive]:
    found = Archive(tmp_path)
    await found.open()
    yield found
    await found.stop()
