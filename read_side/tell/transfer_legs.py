"""The legs of a transfer with the names of its accounts. Between partitions an account is known by its key only; its name is in
the block that the client's command was decided in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from read_side.fold.phase_table import Leg
from write_side.contract.block.block import Block
from write_side.contract.state.pending_columns import What
from write_side.contract.state.state import State, string_keys, word_hash
from write_side.contract.words.codes import REMEMBERED_KINDS, Kind


class Name(NamedTuple):
    """An account and its asset."""

    account: str
    asset: str


Names = Mapping[tuple[bytes, int], Name]
"""By the key of the account (16 bytes) and the hash of the asset as a signed word: `@world` has one name for every asset."""


def names_told(block: Block, command_id: bytes) -> dict[tuple[bytes, int], Name]:
    """The accounts that the command of this id named, as its block tells them."""
    found = {}
    of_command = np.isin(block.legs["outcome"], _outcomes(block, command_id))
    for leg in np.flatnonzero(of_command):
        name = Name(block.legs["account"][leg], block.legs["asset"][leg])
        found[(string_keys([name.account]).tobytes(), asset_word(name.asset))] = name
    return found


def names_known(state: State, legs: Iterable[Leg]) -> dict[tuple[bytes, int], Name]:
    """The accounts of this partition among those of some legs."""
    found = {}
    for leg in legs:
        number = state.number_of_key(leg.key)
        if number is not None and asset_word(state.assets[number]) == leg.asset_hash:
            found[(leg.key, leg.asset_hash)] = Name(state.names[number], state.assets[number])
    return found


def process_legs(block: Block, transfer_id: bytes) -> tuple[Leg, ...]:
    """The legs of a transfer across partitions, from the block that began it; empty when that is another one."""
    pending, legs = block.pending, block.pending_legs
    of_transfer = (pending["what"] == What.PROCESS) & (pending["id"] == np.frombuffer(transfer_id, np.uint8)).all(
        axis=1
    )
    rows = np.flatnonzero(of_transfer)[:1]
    return tuple(
        Leg(
            legs["key"][leg].tobytes(),
            *(int(legs[name][leg]) for name in ("asset", "amount", "step", "partition")),
        )
        for leg in np.flatnonzero(np.isin(legs["pending"], rows))
    )


def command_of(block: Block, command_id: bytes) -> tuple[Kind, bytes]:
    """The kind of the client's command of this id, decided in this block, and what it was about (16 zeros: nothing)."""
    row = next(row for row in _outcomes(block, command_id) if block.outcomes["kind"][row] in REMEMBERED_KINDS)
    at = np.flatnonzero(block.links["outcome"] == row)
    link = block.links["id"][at[0]].tobytes() if at.size else bytes(16)
    return Kind(int(block.outcomes["kind"][row])), link


def leg_documents(legs: Iterable[Leg], names: Names) -> list[dict[str, Any]]:
    """The legs as JSON. An account whose name is not told anywhere here is null."""
    documents = []
    for leg in legs:
        name = names.get((leg.key, leg.asset_hash))
        documents.append(
            {
                "account": None if name is None else name.account,
                "amount": str(leg.amount),
                "asset": None if name is None else name.asset,
                "step": leg.step,
                "partition": leg.partition,
            }
        )
    return documents


def asset_word(asset: str) -> int:
    """The hash of an asset as messages and pending rows have it."""
    return int(word_hash(asset).astype(np.int64))


def _outcomes(block: Block, command_id: bytes) -> Any:
    return np.flatnonzero((block.outcomes["id"] == np.frombuffer(command_id, np.uint8)).all(axis=1))
