"""What is read of a document with many in it: the members that are named, as their class declares them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from fanfold.api.answers.accounts import Accounts, Balances
from fanfold.api.answers.problem import Problem
from fanfold.api.examples import STATE
from fanfold.api.parts import part_of

BALANCES = part_of(Balances, "positions", *(f"accounts.{member}" for member in (*STATE, "flags")), "lost", "histories")


def read(kind: Any, document: dict[str, Any]) -> Any:
    return msgspec.json.decode(json.dumps(document), type=kind)


def test_what_is_named_is_read_and_all_else_passed_over() -> None:
    found = read(BALANCES, {"positions": "0:17", "accounts": [STATE, None], "stale": "no list", "newer": {}})
    assert [None if each is None else msgspec.structs.asdict(each) for each in found.accounts] == [
        STATE | {"flags": None},
        None,
    ]
    assert (found.positions, found.lost, found.histories) == ("0:17", None, None)
    assert not hasattr(found, "stale")


@pytest.mark.parametrize(
    "change",
    [
        {"account": 'a"'},
        {"asset": "usd"},
        {"posted": 1},
        {"posted": "1.0"},
        {"posted": "1\n"},
        {"posted": None},
        {"available": "01"},
        {"version": -1},
        {"version": "1"},
        {"version": True},
        {"at": '2026"'},
        {"flags": ['"']},
        {"flags": None},
    ],
)
def test_what_a_member_is_declared_to_be_is_held(change: dict[str, Any]) -> None:
    read(BALANCES, {"positions": "0:17", "accounts": [STATE | {"available": None, "flags": ["newer_word"]}]})
    with pytest.raises(msgspec.ValidationError):
        read(BALANCES, {"positions": "0:17", "accounts": [STATE | change]})


def test_what_is_left_out_is_what_the_class_says() -> None:
    assert read(part_of(Problem, "code", "reason"), {"code": "starting"}).reason is None
    assert read(part_of(Balances, "undecided"), {}).undecided == ()
    with pytest.raises(msgspec.ValidationError, match="code"):
        read(part_of(Problem, "code", "reason"), {"reason": "it is damaged"})


@pytest.mark.parametrize("member", ["acounts", "accounts.acount"])
def test_a_member_that_is_not_declared_cannot_be_read(member: str) -> None:
    with pytest.raises(KeyError):
        part_of(Accounts, member)


def test_what_is_no_such_type_is_not_read_as_if_it_were() -> None:
    @dataclass(frozen=True)
    class Progress:
        done: float

    with pytest.raises(KeyError, match="number"):
        part_of(Progress, "done")
