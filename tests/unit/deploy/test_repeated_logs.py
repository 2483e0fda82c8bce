"""A library that says the same ten times a second is heard, and fills no disk."""

from __future__ import annotations

import logging

import pytest

from deploy.repeated_logs import EVERY_S, KINDS_MAX, Seldom


def record(text: str, *arguments: object, at_s: float = 0.0, name: str = "aiokafka.client") -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, "client.py", 1, text, arguments, None)
    made.created = 1_000.0 + at_s
    return made


def test_what_is_said_again_is_left_out_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    handler = Seldom()
    for tenth in range(int(EVERY_S) * 10 + 1):
        handler.emit(record("Unable connect to node with id %s", tenth % 3, at_s=tenth / 10))
    handler.emit(record("Failed fetch messages from %s", 1))
    assert capsys.readouterr().err.splitlines() == [
        "Unable connect to node with id 0",
        f"Unable connect to node with id 0 ({int(EVERY_S) * 10 - 1} like it were left out)",
        "Failed fetch messages from 1",
    ]


def test_kinds_without_end_keep_no_memory(capsys: pytest.CaptureFixture[str]) -> None:
    handler = Seldom()
    for number in range(3 * KINDS_MAX):
        handler.emit(record(f"message {number}"))
    assert len(capsys.readouterr().err.splitlines()) == 3 * KINDS_MAX
    assert len(handler._said_s) <= KINDS_MAX
