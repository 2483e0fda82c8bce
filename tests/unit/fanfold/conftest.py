"""A wallet service in this process for the tests of the command line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fanfold import http_answers
from fanfold.api.retry import Waits
from tests.unit.fanfold.stub_wallet import StubWallet, running_wallet


@pytest.fixture
def wallet(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubWallet]:
    """The one that commands ask, in a wide terminal; who gets no answer asks again at once."""
    monkeypatch.setattr(http_answers, "WAITS", Waits(0.001, 3.0))
    with running_wallet() as running:
        monkeypatch.setenv("FANFOLD_URL", running.url)
        monkeypatch.setenv("COLUMNS", "200")
        yield running
