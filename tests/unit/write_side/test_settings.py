"""What the write side does when nobody tells it otherwise."""

from __future__ import annotations

import pytest

from write_side.contract.topic_kafka import MIN_IN_SYNC, REPLICATION
from write_side.settings import WriteSettings


def test_a_topic_survives_the_loss_of_a_broker_unless_less_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FANFOLD_REPLICATION", "FANFOLD_MIN_IN_SYNC"):
        monkeypatch.delenv(name, raising=False)
    settings = WriteSettings()
    assert (settings.replication, settings.min_in_sync) == (REPLICATION, MIN_IN_SYNC) == (3, 2)
