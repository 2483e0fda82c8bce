"""A failure is told by its place: what a client sent, a token above all, is in no line of a log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from deploy.told_failures import tell_places_only


@pytest.fixture
def configured() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def _fail(token: str) -> None:
    raise ValueError("what is wrong")


@pytest.mark.usefixtures("configured")
def test_a_failure_is_told_with_its_place_and_without_values(capsys: pytest.CaptureFixture[str]) -> None:
    tell_places_only()
    tell_places_only()
    try:
        _fail("tok" + "en-123")
    except ValueError:
        structlog.get_logger().exception("request_failed")
    structlog.get_logger().warning("not_ready", partition=0)
    told = capsys.readouterr().out
    assert "token-123" not in told
    assert "partition=0" in told, "without colours, where it is no terminal"
    assert "request_failed" in told
    assert "in _fail" in told
