"""Submits that came together, each of one command without anything nested, read in one step.

So a program's submits are mostly written: one after the other costs 4 us each, all at once 1. What is written otherwise, whatever
it is, is left to `submits.py`, which reads the same of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from fanfold.api.frames.members import NUMBER_MAX

_SUBMIT: Final = re.compile(
    b" ?".join(
        (
            rb"^\{",
            b'"op"',
            b":",
            b'"submit"',
            b",",
            b'"id"',
            b":",
            b"(0|[1-9][0-9]{0,15})",
            b",",
            b'"commands"',
            b":",
            rb"\[",
            rb"(\{[^{}\n]*\})",
            rb"\]",
            rb"\}$",
        )
    ),
    re.MULTILINE,
)
_commands: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class SubmitRun(NamedTuple):
    """n submits. ids: their numbers; commands: of each its one, as it was written."""

    ids: list[int]
    commands: list[bytes]


def submit_run(messages: Sequence[bytes]) -> SubmitRun | None:
    """None where one of them is anything else, right or wrong.

    That each command is JSON, and one object: a brace that stood in a string would be missing outside of it, so there would be
    fewer of them.
    """
    joined = b"\n".join(messages)
    if not joined.isascii() or joined.count(b"\n") != len(messages) - 1:
        return None
    found = _SUBMIT.findall(joined)
    if len(found) != len(messages):
        return None
    commands = [command for _, command in found]
    try:
        if len(_commands(b"[%b]" % b",".join(commands))) != len(commands):
            return None
    except (msgspec.DecodeError, RecursionError):
        return None
    ids = [int(id) for id, _ in found]
    return SubmitRun(ids, commands) if max(ids) <= NUMBER_MAX else None
