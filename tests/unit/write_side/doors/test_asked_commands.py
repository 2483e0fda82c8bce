"""Nothing that was asked is lost on the way to a command: whoever asks otherwise in any field asks for something else."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, get_args

import pytest

from fanfold.api import requests
from fanfold.api.request_parts import CapturedLeg, Leg
from fanfold.api.requests import between
from write_side.doors.asked_commands import command_of

_IDS = ("01970f3e-7b1a-7c3e-8a2b-1234567890ab", "01970f3e-7b1a-7c3e-8a2b-1234567890ac")
_NOON = datetime.datetime(2027, 1, 1, 12, tzinfo=datetime.UTC)
_LEGS = [*between("alice", "bob", 5, "USD/2")]

TWO_VALUES: dict[str, tuple[Any, Any]] = {
    "id": _IDS,
    "hold": _IDS,
    "transfer": _IDS,
    "account": ("alice", "carol"),
    "from_": ("alice", "carol"),
    "to": ("bob", "dave"),
    "amount": (5, 6),
    "asset": ("USD/2", "EUR/2"),
    "protocol": ("saga", "tcc"),
    "reference": ("rent", "wage"),
    "metadata": ({"a": "1"}, {"a": "2"}),
    "deadline": (_NOON, _NOON.replace(hour=13)),
    "legs": (_LEGS, [*between("alice", "bob", 6, "USD/2")]),
    "final": (False, True),
    "floor": (0, None),
    "owner": ("ann", "ben"),
    "debit": ("frozen", "free"),
    "credit": ("frozen", "free"),
    "state": ("closed", "open"),
    "if_version": (1, 2),
    "if_available_at_least": (1, 2),
}
"""By field, two things that it may say."""

KINDS = [*get_args(requests.Command), requests.Open]


def fields_of(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def said(kind: type, needed_only: bool = False) -> dict[str, Any]:
    optional = {each.name for each in dataclasses.fields(kind) if each.default is not dataclasses.MISSING}
    return {name: TWO_VALUES[name][0] for name in fields_of(kind) if not needed_only or name not in optional - {"id"}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("needed_only", [True, False])
def test_every_field_makes_another_command(kind: Any, needed_only: bool) -> None:
    asked = said(kind, needed_only)
    if kind in (requests.LegsTransfer, requests.Hold, requests.Capture):  # legs that leave it to the asset beside them
        asked["legs"] = [CapturedLeg("alice", -5), CapturedLeg("bob", 5)]
        asked["asset"] = "USD/2"
    if kind is requests.Capture:
        asked.pop("amount", None)
    for name in fields_of(kind):
        first, second = ({**asked, name: value} for value in TWO_VALUES[name])
        if name == "amount" and kind is requests.Capture:
            first.pop("legs"), second.pop("legs")
        assert command_of(kind(**first)) != command_of(kind(**second)), name


@pytest.mark.parametrize("name", fields_of(Leg))
def test_every_field_of_a_leg_makes_another_command(name: str) -> None:
    first, second = (
        requests.LegsTransfer([Leg(**{"amount": -5, **said(Leg), name: value}), _LEGS[1]], id=_IDS[0])
        for value in TWO_VALUES[name]
    )
    assert command_of(first) != command_of(second)
