"""What commands have beyond the columns of a plain transfer: legs, conditions, deadlines, notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.ledger.commands.commands import (
    Capture,
    Change,
    Hold,
    Leg,
    LegsTransfer,
    Note,
    Protocol,
    Reverse,
    Rich,
    Void,
)
from write_side.ledger.commands.rich_columns import CLEAR_SHIFT, SET_SHIFT

Int64s = npt.NDArray[np.int64]

TCC: Final = 1
FINAL: Final = 2
"""Bits of `option`; the flags to set and to clear lie above (`rich_columns.py`)."""
NO_ASSET: Final = -1
"""In a batch's `asset` column, for commands that have none of their own."""


@dataclass(frozen=True, slots=True)
class Details:
    """k commands of a batch, with m legs in all.

    row int64[k], rising: where in the batch; other uint8[k, 16]: the hold or transfer it is about; option, deadline_us int64[k];
    reference, metadata utf8[k]; first_leg int64[k + 1]; account utf8[m]; leg_amount, if_version, if_available int64[m];
    leg_asset int32[m] into the batch's assets.
    """

    row: Int64s
    other: npt.NDArray[np.uint8]
    option: Int64s
    deadline_us: Int64s
    reference: pa.Array
    metadata: pa.Array
    first_leg: Int64s
    account: pa.Array
    leg_amount: Int64s
    leg_asset: npt.NDArray[np.int32]
    if_version: Int64s
    if_available: Int64s

    def __len__(self) -> int:
        return len(self.row)

    @staticmethod
    def of(rows: Sequence[int], commands: Sequence[Rich], numbers: dict[str, int]) -> Details | None:
        """Of commands at these rows of a batch; `numbers` gets the assets of their legs. None when there are none."""
        if not commands:
            return None
        legs = [_legs(command) for command in commands]
        flat: list[Leg] = [leg for each in legs for leg in each]
        notes = [_note(command) for command in commands]
        return Details(
            row=np.array(rows, np.int64),
            other=np.frombuffer(b"".join(_other(command) for command in commands), np.uint8).reshape(-1, 16),
            option=np.array([_option(command) for command in commands], np.int64),
            deadline_us=np.array([command.deadline_us if isinstance(command, Hold) else 0 for command in commands], np.int64),
            reference=pa.array([note.reference for note in notes], pa.utf8()),
            metadata=pa.array([note.metadata for note in notes], pa.utf8()),
            first_leg=np.concatenate(([0], np.cumsum([len(each) for each in legs]))).astype(np.int64),
            account=pa.array([leg.account for leg in flat], pa.utf8()),
            leg_amount=np.array([leg.amount for leg in flat], np.int64),
            leg_asset=np.array([numbers.setdefault(leg.asset, len(numbers)) for leg in flat], np.int32),
            if_version=np.array([leg.if_version for leg in flat], np.int64),
            if_available=np.array([leg.if_available for leg in flat], np.int64),
        )  # fmt: skip

    @staticmethod
    def concatenated(parts: Sequence[tuple[int, Details | None, npt.NDArray[np.int32]]]) -> Details | None:
        """Several as one. parts: the row where each batch begins, its details, and the new number of each of its assets."""
        found = [(first, details, assets) for first, details, assets in parts if details is not None]
        if not found:
            return None
        sizes = np.cumsum([0, *(len(details.leg_amount) for _, details, _ in found)])
        starts = [details.first_leg[:-1] + size for size, (_, details, _) in zip(sizes, found, strict=False)]
        every = [details for _, details, _ in found]
        return Details(
            row=np.concatenate([details.row + first for first, details, _ in found]),
            other=np.concatenate([details.other for details in every]),
            option=np.concatenate([details.option for details in every]),
            deadline_us=np.concatenate([details.deadline_us for details in every]),
            reference=pa.concat_arrays([details.reference for details in every]),
            metadata=pa.concat_arrays([details.metadata for details in every]), first_leg=np.concatenate((*starts, sizes[-1:])),
            account=pa.concat_arrays([details.account for details in every]),
            leg_amount=np.concatenate([details.leg_amount for details in every]),
            leg_asset=np.concatenate([assets[details.leg_asset] for _, details, assets in found]),
            if_version=np.concatenate([details.if_version for details in every]),
            if_available=np.concatenate([details.if_available for details in every]),
        )  # fmt: skip

    def slice(self, start: int, stop: int) -> Details | None:
        """Those of the batch's rows start to stop."""
        first, last = np.searchsorted(self.row, (start, stop))
        if first == last:
            return None
        legs = slice(int(self.first_leg[first]), int(self.first_leg[last]))
        return Details(
            row=self.row[first:last] - start, other=self.other[first:last], option=self.option[first:last],
            deadline_us=self.deadline_us[first:last], reference=self.reference[first:last], metadata=self.metadata[first:last],
            first_leg=self.first_leg[first : last + 1] - legs.start, account=self.account[legs],
            leg_amount=self.leg_amount[legs], leg_asset=self.leg_asset[legs], if_version=self.if_version[legs],
            if_available=self.if_available[legs],
        )  # fmt: skip


def _legs(command: Rich) -> tuple[Leg, ...]:
    return () if isinstance(command, Void | Change) else command.legs


def _note(command: Rich) -> Note:
    return Note() if isinstance(command, Void | Change) else command.note


def _other(command: Rich) -> bytes:
    if isinstance(command, Capture | Void):
        return command.hold
    return command.transfer if isinstance(command, Reverse) else bytes(16)


def _option(command: Rich) -> int:
    option = 0
    if isinstance(command, LegsTransfer | Capture | Reverse) and command.protocol is Protocol.TCC:
        option |= TCC
    if isinstance(command, Capture) and command.final:
        option |= FINAL
    if isinstance(command, Change):
        option |= int(command.set) << SET_SHIFT | int(command.clear) << CLEAR_SHIFT
    return option
