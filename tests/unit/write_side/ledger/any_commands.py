"""Any command that a door lets through, of every kind, and the commands that a batch holds."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from write_side.contract.words.atoms import LIMIT, NO_FLOOR
from write_side.contract.words.codes import Flag, Kind
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

NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", fullmatch=True)
PARTY = NAME | st.just("@world")
ASSET = st.from_regex(r"[A-Z][A-Z0-9]{0,15}/[0-9]{1,2}", fullmatch=True)
OWNER = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=255)
ID = st.binary(min_size=16, max_size=16).filter(lambda id16: id16 not in (bytes(16), b"\xff" * 16))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
REFERENCE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=128)
METADATA = st.dictionaries(TEXT, TEXT, max_size=4).map(
    lambda value: json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")) if value else ""
)
NOTE = st.builds(Note, REFERENCE, METADATA)
PROTOCOL = st.sampled_from(Protocol)
CONDITIONS = st.tuples(
    st.just(ANY_VERSION) | st.integers(0, 10**17), st.just(ANY_AVAILABLE) | st.integers(-LIMIT, LIMIT)
)


@st.composite
def legs(draw: st.DrawFn, conditions: bool = True) -> tuple[Leg, ...]:
    """2 to 8 legs that sum to zero in each of up to two assets, none more than the limit together."""
    found: list[Leg] = []
    for asset in draw(st.lists(ASSET, min_size=1, max_size=2, unique=True)):
        accounts = draw(st.lists(PARTY, min_size=2, max_size=4, unique=True))
        given = [draw(st.integers(1, LIMIT // 4)) for _ in accounts[1:]]
        sign = draw(st.sampled_from((-1, 1)))
        amounts = [-sum(given) * sign, *(amount * sign for amount in given)]
        for account, amount in zip(accounts, amounts, strict=True):
            found.append(Leg(account, amount, asset, *(draw(CONDITIONS) if conditions else ())))
    return tuple(sorted(found))


OPENING = st.builds(OpenAccount, NAME, ASSET, st.integers(-LIMIT, LIMIT) | st.just(NO_FLOOR), OWNER)
TRANSFER = st.builds(Transfer, ID, PARTY, PARTY, st.integers(1, LIMIT), ASSET).filter(
    lambda transfer: transfer.debit != transfer.credit
)
FLAGS = st.integers(0, int(~Flag(0))).map(Flag)
RICH = st.one_of(
    st.builds(LegsTransfer, ID, legs(), PROTOCOL, NOTE),
    st.builds(Hold, ID, legs(), st.integers(0, 2**62), NOTE),
    st.builds(Capture, ID, ID, st.integers(0, LIMIT), st.just(()), st.booleans(), PROTOCOL, NOTE),
    st.builds(Capture, ID, ID, st.just(0), legs(conditions=False), st.booleans(), PROTOCOL, NOTE),
    st.builds(Void, ID, ID),
    st.builds(Reverse, ID, ID, st.just(()) | legs(conditions=False), PROTOCOL, NOTE),
    st.builds(Change, ID, NAME, FLAGS, FLAGS),
)
PLAIN_COMMANDS = st.lists(OPENING | TRANSFER, min_size=1, max_size=6)
COMMANDS = st.lists(OPENING | TRANSFER | RICH, min_size=1, max_size=6)


def commands_of(batch: CommandBatch) -> list[Command]:
    """The commands that these columns stand for."""
    at_details = {} if batch.details is None else {row: k for k, row in enumerate(batch.details.row.tolist())}
    return [
        _plain(batch, row) if row not in at_details else _rich(batch, row, at_details[row]) for row in range(len(batch))
    ]


def _plain(batch: CommandBatch, row: int) -> Command:
    debit, asset, amount = batch.debit[row].as_py(), batch.assets[batch.asset[row]], int(batch.amount[row])
    if batch.kind[row] == Kind.OPEN:
        return OpenAccount(debit, asset, amount, batch.owner[row].as_py())
    return Transfer(batch.ids[row].tobytes(), debit, batch.credit[row].as_py(), amount, asset)


def _rich(batch: CommandBatch, row: int, k: int) -> Command:
    details = batch.details
    assert details is not None
    id16, other, option = batch.ids[row].tobytes(), details.other[k].tobytes(), int(details.option[k])
    legs = tuple(
        Leg(
            details.account[i].as_py(),
            int(details.leg_amount[i]),
            batch.assets[details.leg_asset[i]],
            int(details.if_version[i]),
            int(details.if_available[i]),
        )
        for i in range(details.first_leg[k], details.first_leg[k + 1])
    )
    note = Note(details.reference[k].as_py(), details.metadata[k].as_py())
    protocol, final = Protocol(option & 1), bool(option & 2)
    made: dict[Kind, Any] = {
        Kind.TRANSFER: lambda: LegsTransfer(id16, legs, protocol, note),
        Kind.HOLD: lambda: Hold(id16, legs, int(details.deadline_us[k]), note),
        Kind.CAPTURE: lambda: Capture(id16, other, int(batch.amount[row]), legs, final, protocol, note),
        Kind.VOID: lambda: Void(id16, other),
        Kind.REVERSE: lambda: Reverse(id16, other, legs, protocol, note),
        Kind.CHANGE: lambda: Change(id16, batch.debit[row].as_py(), Flag(option >> 8 & 255), Flag(option >> 16 & 255)),
    }
    command: Command = made[Kind(batch.kind[row])]()
    return command
