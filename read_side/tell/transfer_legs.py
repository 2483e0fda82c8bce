"""The legs of a transfer with the names of its accounts. Between partitions an account is known by its key only; its name is in
the block that the client's command was decided in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from write_side.contract.state.state import State, string_keys, word_hash
from write_side.contract.tell.outcome import BlockOutcomes, Outcome
from write_side.contract.tell.pending_row import KeyedLeg


class Name(NamedTuple):
    """An account and its asset."""

    account: str
    asset: str


Names = Mapping[tuple[bytes, int], Name]
"""By the key of the account (16 bytes) and the hash of the asset as a signed word: `@world` has one name for every asset."""


def names_told(block: BlockOutcomes, command_id: bytes) -> dict[tuple[bytes, int], Name]:
    """The accounts that the command of this id named, as its block tells them."""
    return {
        (string_keys([leg.account]).tobytes(), asset_word(leg.asset)): Name(leg.account, leg.asset)
        for outcome in block.of_id(command_id)
        for leg in outcome.legs
    }


def names_known(state: State, legs: Iterable[KeyedLeg]) -> dict[tuple[bytes, int], Name]:
    """The accounts of this partition among those of some legs."""
    found = {}
    for leg in legs:
        number = state.number_of_key(leg.key)
        if number is not None and asset_word(state.assets[number]) == leg.asset_hash:
            found[(leg.key, leg.asset_hash)] = Name(state.names[number], state.assets[number])
    return found


def process_legs(command: Outcome) -> list[KeyedLeg]:
    """The legs of the transfer across partitions that a command began."""
    process = command.process
    return [] if process is None else command.of.legs(process)


def leg_documents(legs: Iterable[KeyedLeg], names: Names) -> list[dict[str, Any]]:
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
