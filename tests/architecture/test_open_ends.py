"""Streams that a test makes are `tests.listening`'s: what it leaves open is told of in a later test, mostly."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]
MAKES = ("asyncio.start_" + "server(", "asyncio.open_" + "connection(")
MAY = ("listening.py", "benchmarks")
"""Benchmarks measure processes of their own, which end."""


def test_no_test_makes_a_server_or_a_client_over_streams_by_hand() -> None:
    sources = (path for path in TESTS.rglob("*.py") if path.relative_to(TESTS).parts[0] not in MAY)
    assert [str(path) for path in sources if any(each in path.read_text() for each in MAKES)] == []
