"""From what was asked (`fanfold/api/requests.py`), every field checked, to the commands of the ledger.

What two bodies say alike becomes the same command, however it was written: legs sorted, metadata as one text, a transfer in legs
that is a plain one as a plain one.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Final, cast

import numpy as np
import pyarrow as pa

from fanfold.api import request_parts, requests
from fanfold.api.body_checks import PlainTransfers
from fanfold.api.request_parts import CapturedLeg, OfTransfer, Once
from fanfold.api.requests import BATCH_LINES_MAX
from fanfold.api.values import names_of
from write_side.contract.words.atoms import NO_FLOOR
from write_side.contract.words.codes import Flag, Kind
from write_side.contract.words.times import time_us
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import (
    ANY_AVAILABLE,
    ANY_VERSION,
    Capture,
    Change,
    Command,
    Hold,
    Leg,
    LegsTransfer,
    Note,
    OpenAccount,
    Protocol,
    Reverse,
    Transfer,
    Void,
)

Noted = (
    requests.Transfer
    | requests.LegsTransfer
    | requests.Hold
    | requests.HoldBetween
    | requests.Capture
    | requests.Reverse
)

_MORE: Final = sorted(names_of(OfTransfer) - names_of(Once))
"""What a transfer may say beside who gives whom how much. One that says nothing of it is a plain one."""
_TEXT: Final = pa.utf8()
_NOBODY: Final = pa.array([""] * BATCH_LINES_MAX, _TEXT)
"""Owners, as transfers have them."""
_PROTOCOLS: Final = {None: Protocol.SAGA, "saga": Protocol.SAGA, "tcc": Protocol.TCC}
_FLAGS: Final = (
    ("debit", "frozen", Flag.DEBIT_FROZEN),
    ("credit", "frozen", Flag.CREDIT_FROZEN),
    ("state", "closed", Flag.CLOSED),
)
"""Field of a change, the word that sets its flag (the other one clears it), the flag."""


def command_of(asked: requests.Open | requests.Command) -> Command:
    """asked: read by `fanfold/api/body_checks.py`."""
    match asked:
        case requests.Transfer() if all(getattr(asked, name) is None for name in _MORE):
            return Transfer(_id(asked.id), asked.from_, asked.to, asked.amount, asked.asset)
        case requests.Transfer():
            return _transfer(asked, _between(asked))
        case requests.LegsTransfer():
            return _transfer(asked, _legs(asked.legs, asked.asset))
        case requests.Open():
            floor = NO_FLOOR if asked.floor is None else asked.floor
            return OpenAccount(asked.account, asked.asset, floor, asked.owner or "")
        case requests.Hold():
            return Hold(_id(asked.id), _legs(asked.legs, asked.asset), _deadline_us(asked), _note(asked))
        case requests.HoldBetween():
            return Hold(_id(asked.id), _between(asked), _deadline_us(asked), _note(asked))
        case requests.Capture():
            return Capture(
                _id(asked.id),
                _id(asked.hold),
                asked.amount or 0,
                _legs(asked.legs, asked.asset),
                asked.final,
                _PROTOCOLS[asked.protocol],
                _note(asked),
            )
        case requests.Void():
            return Void(_id(asked.id), _id(asked.hold))
        case requests.Reverse():
            return Reverse(_id(asked.id), _id(asked.transfer), (), _PROTOCOLS[asked.protocol], _note(asked))
        case requests.Change():
            return _change(asked)


def plain_commands(asked: PlainTransfers) -> CommandBatch:
    """The same of many plain transfers, as columns."""
    n, numbers = len(asked.ids), {asset: number for number, asset in enumerate(dict.fromkeys(asked.assets))}
    ids = np.frombuffer(bytes.fromhex("".join(asked.ids).replace("-", "")), np.uint8).reshape(-1, 16)
    asset = np.array([numbers[each] for each in asked.assets], np.int32) if len(numbers) > 1 else np.zeros(n, np.int32)
    return CommandBatch(
        kind=np.full(n, Kind.TRANSFER, np.uint8), ids=ids, debit=pa.array(asked.from_, _TEXT), credit=pa.array(asked.to, _TEXT),
        amount=np.array(asked.amounts, np.int64), asset=asset, assets=list(numbers), owner=_NOBODY.slice(0, n),
        chain=np.zeros(n, np.int32),
    )  # fmt: skip


def _transfer(asked: requests.Transfer | requests.LegsTransfer, legs: tuple[Leg, ...]) -> Transfer | LegsTransfer:
    """A plain one where it is one: that has a fast path."""
    protocol, note = _PROTOCOLS[asked.protocol], _note(asked)
    conditions = any(leg.if_version != ANY_VERSION or leg.if_available != ANY_AVAILABLE for leg in legs)
    if len(legs) > 2 or conditions or protocol is not Protocol.SAGA or note != Note():
        return LegsTransfer(_id(asked.id), legs, protocol, note)
    giver, receiver = legs if legs[0].amount < 0 else legs[::-1]
    return Transfer(_id(asked.id), giver.account, receiver.account, receiver.amount, receiver.asset)


def _change(asked: requests.Change) -> Change:
    to_set, to_clear = Flag(0), Flag(0)
    for field, sets, flag in _FLAGS:
        word = getattr(asked, field)
        if word == sets:
            to_set |= flag
        elif word is not None:
            to_clear |= flag
    return Change(_id(asked.id), asked.account, to_set, to_clear)


def _id(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def _between(asked: requests.Transfer | requests.HoldBetween) -> tuple[Leg, ...]:
    giver, receiver = Leg(asked.from_, -asked.amount, asked.asset), Leg(asked.to, asked.amount, asked.asset)
    return (giver, receiver) if giver < receiver else (receiver, giver)


def _legs(legs: Sequence[CapturedLeg], asset: str | None) -> tuple[Leg, ...]:
    """Sorted by (account, asset), a leg without an asset having the one beside it."""
    return tuple(sorted(_leg(leg, asset) for leg in legs))


def _leg(leg: CapturedLeg, asset: str | None) -> Leg:
    own = cast("str", leg.asset or asset)
    if not isinstance(leg, request_parts.Leg):
        return Leg(leg.account, leg.amount, own)
    version = ANY_VERSION if leg.if_version is None else leg.if_version
    least = ANY_AVAILABLE if leg.if_available_at_least is None else leg.if_available_at_least
    return Leg(leg.account, leg.amount, own, version, least)


def _note(asked: Noted) -> Note:
    """An empty object of metadata says as much as none."""
    return Note(asked.reference or "", _canonical(asked.metadata))


def _canonical(metadata: Mapping[str, str] | None) -> str:
    """Sorted names and no spaces, so that the same metadata is the same text, however it was written."""
    if not metadata:
        return ""
    return json.dumps(dict(metadata), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _deadline_us(asked: requests.Hold | requests.HoldBetween) -> int:
    """Microseconds UTC, 0 when there is none."""
    if asked.deadline is None:
        return 0
    return time_us(cast("datetime.datetime", asked.deadline))
