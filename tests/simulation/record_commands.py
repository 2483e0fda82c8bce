"""What a record of a command queue asks, one by one: the columns of a batch as the values that a client sent."""

from __future__ import annotations

from itertools import groupby

from tests.unit.write_side.ledger.wallet_model import Chain
from write_side.contract.words.codes import Flag, Kind
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import (
    Capture,
    Change,
    Command,
    Hold,
    Leg,
    LegsTransfer,
    Mode,
    Note,
    OpenAccount,
    Protocol,
    Reverse,
    Transfer,
    Void,
)


def items_of(batch: CommandBatch) -> list[Command | Chain]:
    """The commands of a record, those that hang together as one chain."""
    commands = zip(batch.chain.tolist(), commands_of(batch), strict=True)
    found: list[Command | Chain] = []
    for chain, lines in groupby(commands, key=lambda line: line[0]):
        of_chain = tuple(command for _, command in lines)
        if chain == 0:
            found += of_chain
        else:
            found.append(Chain(Mode.ATOMIC if chain > 0 else Mode.STOP, of_chain))
    return found


def commands_of(batch: CommandBatch) -> list[Command]:
    """The commands of a record, one by one."""
    details = batch.details
    detail_of = {} if details is None else {row: at for at, row in enumerate(details.row.tolist())}
    found: list[Command] = []
    for row, kind in enumerate(batch.kind.tolist()):
        debit, credit, amount = batch.debit[row].as_py(), batch.credit[row].as_py(), int(batch.amount[row])
        if kind == Kind.OPEN:
            asset = batch.assets[int(batch.asset[row])]
            found.append(OpenAccount(debit, asset, amount, batch.owner[row].as_py()))
        elif row not in detail_of:
            asset = batch.assets[int(batch.asset[row])]
            found.append(Transfer(batch.ids[row].tobytes(), debit, credit, amount, asset))
        else:
            found.append(_detailed(batch, row, detail_of[row]))
    return found


def _detailed(batch: CommandBatch, row: int, at: int) -> Command:
    details = batch.details
    assert details is not None
    id, other = batch.ids[row].tobytes(), details.other[at].tobytes()
    option = int(details.option[at])
    protocol = Protocol(option & 1)
    note = Note(details.reference[at].as_py(), details.metadata[at].as_py())
    legs = tuple(
        Leg(
            details.account[leg].as_py(),
            int(details.leg_amount[leg]),
            batch.assets[int(details.leg_asset[leg])],
            int(details.if_version[leg]),
            int(details.if_available[leg]),
        )
        for leg in range(int(details.first_leg[at]), int(details.first_leg[at + 1]))
    )
    match Kind(int(batch.kind[row])):
        case Kind.TRANSFER:
            return LegsTransfer(id, legs, protocol, note)
        case Kind.HOLD:
            return Hold(id, legs, int(details.deadline_us[at]), note)
        case Kind.CAPTURE:
            return Capture(id, other, int(batch.amount[row]), legs, bool(option & 2), protocol, note)
        case Kind.VOID:
            return Void(id, other)
        case Kind.REVERSE:
            return Reverse(id, other, legs, protocol, note)
        case _:
            return Change(id, batch.debit[row].as_py(), Flag(option >> 8 & 255), Flag(option >> 16 & 255))
