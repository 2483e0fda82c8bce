"""fold checks everything, stops at the block that is wrong, and says what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

from tests.unit.write_side.contract.blocks import encoded, two_blocks
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from write_side.contract.block.block import Block, decode
from write_side.contract.log.log import Record
from write_side.contract.state.fold import CheckFailed, changed_accounts, fold
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.words.atoms import LIMIT, NO_FLOOR
from write_side.contract.words.codes import Code, Kind
from write_side.ledger.commands.commands import OpenAccount, Transfer
from write_side.ledger.commands.fingerprint import FINGERPRINTS, fingerprints_of_block

Change = Callable[[Block], dict[str, Any] | None]


def _set(section: str, column: str, row: int, value: Any) -> Change:
    def change(block: Block) -> None:
        columns = getattr(block, section)
        if isinstance(columns[column], np.ndarray):
            columns[column] = columns[column].copy()
        columns[column][row] = value

    return change


def _add(section: str, column: str, row: int, value: int) -> Change:
    def change(block: Block) -> None:
        values = getattr(block, section)[column]
        values[row] += value

    return change


def _header(**fields: Any) -> Change:
    return lambda block: fields


def _without_rows(section: str, rows: slice) -> Change:
    def change(block: Block) -> None:
        columns = getattr(block, section)
        for name in columns:
            if isinstance(columns[name], list):
                del columns[name][rows]
            else:
                columns[name] = np.delete(columns[name], rows, axis=0)

    return change


def _all(*changes: Change) -> Change:
    def change(block: Block) -> None:
        for one in changes:
            one(block)

    return change


# Rows of block 1 (see `blocks.SECOND_COMMANDS`): 0 insufficient, 1 repeated, 2 reused, 3 unknown, 4 repeated (of row 3),
# 5 mismatch, 6 opening of dave (with two system accounts of BTC), 7 bob to alice, 8 @world to carol.
WRONG: dict[str, tuple[Change, str]] = {
    "time stands still": (_header(created_at_us=NOON_US), "time does not rise"),
    "time falls": (_header(created_at_us=NOON_US - 1), "time does not rise"),
    "cut-off falls": (_header(refuse_ids_before_us=0), "cut-off of ids falls"),
    "cut-off ahead of the block": (
        _header(refuse_ids_before_us=NOON_US + 2),
        "cut-off of ids falls or lies in the future",
    ),
    "consumed_to falls": (_header(consumed_to=0), "command queue falls"),
    "another digest": (_header(digest=b"d" * 16), "state digest"),
    "version skips one": (_add("entries", "version", 1, 1), "version is not the held one + 1"),
    "version twice the same": (_add("entries", "version", 1, -1), "version is not the held one + 1"),
    "one side only": (_add("entries", "posted", 1, 1), "do not sum to zero"),
    "money appears over two outcomes": (
        _all(_add("entries", "posted", 0, 1), _add("entries", "posted", 2, -1)),
        "do not sum to zero",
    ),
    "an outcome between two assets": (_set("entries", "account", 3, 2), "version is not"),
    "account that does not exist": (_set("entries", "account", 0, 10), "does not exist"),
    "account far outside": (_set("entries", "account", 0, 2**62), "does not exist"),
    "balance above the limit": (_set("entries", "posted", 0, LIMIT + 1), "passes 10^18"),
    "balance below the limit": (_set("entries", "posted", 0, -LIMIT - 1), "passes 10^18"),
    "balance at the edge of 64 bits": (_set("entries", "posted", 0, -(2**63)), "passes 10^18"),
    "entry of an outcome not there": (_set("entries", "outcome", 3, 99), "entries are not those"),
    "entry of a refusal": (_set("entries", "outcome", 0, 0), "entries are not those"),
    "entries missing": (_without_rows("entries", slice(2, 4)), "entries are not those"),
    "all entries missing": (_without_rows("entries", slice(0, 4)), "entries are not those"),
    "half a transfer": (_without_rows("entries", slice(3, 4)), "entries are not those"),
    "entries out of order": (
        _all(_set("entries", "outcome", 0, 8), _set("entries", "outcome", 1, 8)),
        "entries are not those",
    ),
    "legs missing": (_without_rows("legs", slice(0, 2)), "legs are not those"),
    "leg of a done transfer": (_set("legs", "outcome", 0, 7), "legs are not those"),
    "repeat missing": (_without_rows("repeats", slice(0, 1)), "repeats are not those"),
    "repeat of what was not repeated": (_set("repeats", "outcome", 0, 0), "repeats are not those"),
    "repeat of a block to come": (_set("repeats", "sequence", 0, 2), "not before it"),
    "repeat of itself": (_set("repeats", "row", 1, 4), "not before it"),
    "unknown kind": (_set("outcomes", "kind", 0, 12), "kind or code is unknown"),
    "kind nought": (_set("outcomes", "kind", 0, 0), "kind or code is unknown"),
    "unknown code": (_set("outcomes", "code", 0, 33), "kind or code is unknown"),
    "last code": (_set("outcomes", "code", 0, 255), "kind or code is unknown"),
    "a transfer that exists": (_set("outcomes", "code", 0, Code.EXISTS), "kind or code is unknown"),
    "a refusal told as done": (_set("outcomes", "code", 0, Code.DONE), "entries are not those"),
    "a command from behind consumed_to": (_set("outcomes", "back", 0, 0), "place of a command"),
    "numbers with a hole": (_add("accounts", "number", 2, 1), "not dense"),
    "numbers from nought": (_set("accounts", "number", 0, 0), "not dense"),
    "an account that is there": (
        _all(_set("accounts", "id", 2, "alice"), _set("outcomes", "id", 6, list(blake3(b"alice").digest(16)))),
        "opened twice",
    ),
    "an opening of another account": (_set("accounts", "id", 2, "erin"), "not those of its openings"),
    "an account nobody asked for": (_set("outcomes", "code", 6, Code.EXISTS), "not those of its openings"),
    "an opening without its account": (_without_rows("accounts", slice(2, 3)), "not those of its openings"),
    "a system account twice": (_set("accounts", "id", 1, "@world"), "system account is there twice"),
    "a system account with a floor": (_set("accounts", "floor", 0, 0), "has a floor"),
    "an unknown system account": (_set("accounts", "id", 0, "@mint"), "malformed"),
    "an id of 65 characters": (_set("accounts", "id", 2, "d" * 65), "malformed"),
    "an id of 64 characters of four bytes": (_set("accounts", "id", 2, "\U0001f600" * 64), "malformed"),
    "an asset that is none": (_set("accounts", "asset", 2, "btc"), "malformed"),
    "a floor beyond the limit": (_set("accounts", "floor", 2, NO_FLOOR + 1), "floor passes"),
    "flags that reach into the asset's half of their word": (_set("accounts", "flags", 2, 2**40), "more than 32 bits"),
    "another floor": (_add("accounts", "floor", 2, -1), "state digest"),
    "other flags": (_add("accounts", "flags", 2, 1), "state digest"),
    "another owner": (_set("accounts", "owner", 2, "e"), "state digest"),
    "another asset": (_set("accounts", "asset", 2, "ETH/8"), "state digest"),
    "an id remembered twice": (_set("outcomes", "id", 7, list(id_at(NOON_US, 1))), "remembered twice"),
    "another id": (_set("outcomes", "id", 7, list(id_at(NOON_US, 99))), "state digest"),
    "a leg's account too long to be one": (_set("legs", "account", 0, "l" * 65), "leg's account id is too long"),
}


def after_first() -> tuple[State, bytes]:
    first, second = two_blocks().blocks
    replay = Replay(State(0), FINGERPRINTS)
    replay.take(Record(0, first))
    return replay.state, second


@pytest.mark.parametrize("name", WRONG)
def test_a_block_that_does_not_follow_is_stopped(name: str) -> None:
    change, said = WRONG[name]
    state, second = after_first()
    block = decode(second)
    wrong = decode(encoded(block, **(change(block) or {})))
    with pytest.raises(CheckFailed) as stopped:
        fold(state, wrong, fingerprints_of_block)
    assert said in stopped.value.what
    assert (stopped.value.partition, stopped.value.sequence) == (0, 1)
    assert state.chained.sequence == 0


def test_the_same_block_unchanged_folds() -> None:
    state, second = after_first()
    fold(state, decode(encoded(decode(second))), fingerprints_of_block)
    assert state.chained.sequence == 1


def test_one_asset_never_pays_for_another() -> None:
    """Each outcome sums to zero and so does the block for every asset, and yet dollars became euros on the way."""
    partition = DecidingPartition()
    partition.decide([OpenAccount("a", "USD/2", NO_FLOOR, ""), OpenAccount("b", "EUR/2", NO_FLOOR, "")], NOON_US)
    state = partition.replayed()
    numbers = {name: state.number_of(name) for name in ("@world:USD/2", "a", "@world:EUR/2", "b")}
    partition.decide(
        [
            Transfer(id_at(NOON_US, 1), "@world", "a", 5, "USD/2"),
            Transfer(id_at(NOON_US, 2), "@world", "b", 5, "EUR/2"),
        ],
        NOON_US + 1,
    )
    block = decode(partition.blocks[1])
    block.entries["account"] = np.array(
        [numbers["@world:USD/2"], numbers["b"], numbers["@world:EUR/2"], numbers["a"]], np.int64
    )
    with pytest.raises(CheckFailed, match="sum to zero for an asset"):
        fold(state, block)


def test_an_epoch_block_changes_the_head_and_nothing_else() -> None:
    partition = two_blocks()
    before = partition.state.digest_bytes()
    block = partition.open_epoch(NOON_US + 2)
    replayed = partition.replayed()
    assert replayed.chained == partition.state.chained
    assert replayed.digest_bytes() == before
    changed = [block.entries["account"], block.accounts["number"]]
    assert len(changed_accounts(replayed, NOON_US + 1, changed)) == 0


@pytest.mark.parametrize("many", [0, 500])
def test_changed_accounts_are_those_with_entries_or_new_each_once_and_rising(many: int) -> None:
    """With few accounts the whole column is searched, with many the few entries are sorted."""
    partition = DecidingPartition()
    partition.decide([OpenAccount(f"n{n}", "USD/2", NO_FLOOR, "") for n in range(many + 4)], NOON_US)
    blocks = [
        partition.decide([Transfer(id_at(NOON_US, n), f"n{3 - n}", f"n{2 - n}", 1, "USD/2")], NOON_US + 1 + n)
        for n in range(2)
    ]
    opened = partition.decide([OpenAccount("late", "USD/2", 0, "")], NOON_US + 9)
    state = partition.replayed()
    changed = [part for block in (*blocks, opened) for part in (block.entries["account"], block.accounts["number"])]
    names = [state.names[number] for number in changed_accounts(state, NOON_US, changed)]
    assert names == ["n1", "n2", "n3", "late"]


def test_kinds_and_codes_never_change_their_numbers() -> None:
    assert list(Kind) == list(range(1, 12))
    assert list(Code) == list(range(33))


def test_openings_take_no_room_for_ids() -> None:
    partition, replay = DecidingPartition(), Replay(State(0))
    partition.decide([OpenAccount(f"user:{number}", "USD/2", NO_FLOOR, "") for number in range(3_000)], NOON_US)
    replay.take(Record(0, partition.blocks[0]))
    assert replay.state.count >= 3_000
    assert len(replay.state.ids.rows) == len(State(0).ids.rows)
