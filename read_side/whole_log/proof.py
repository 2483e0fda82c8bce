"""Is what was said of an account as of a moment what the blocks say? Read from the log alone, from its first block on.

Nothing of a view, a snapshot or a history is looked at: every block up to the one that was named is checked and folded again.
Who trusts nobody's log compares the hash of that block with one that was noted elsewhere: it depends on every byte before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import NamedTuple

import numpy as np

from fanfold.api.answers.accounts import AccountState
from read_side.fold.balances import rows_of
from write_side.contract.block.block import Block
from write_side.contract.block.chain import ChainBroken, Skip, judge_header
from write_side.contract.log.log import Log, LogDamaged, Record
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.tell.outcome import BlockOutcomes
from write_side.contract.words.atoms import NO_FLOOR, partition_of
from write_side.contract.words.codes import flag_words
from write_side.contract.words.position import parse_positions
from write_side.contract.words.times import format_time


class Checked(NamedTuple):
    """wrong: what does not hold, a sentence each; none when everything does. blocks: how many were read. later_at_us: the time of
    the block behind the one that was named; None where there is none yet. version: of the account at the end of that block, which
    may have made several.
    """

    wrong: list[str]
    blocks: int
    later_at_us: int | None
    version: int | None = None


async def check_proof(log: Log, said: AccountState) -> Checked:
    """Compare what was said with the log. Raises LogFailed, Malformed for a position that is none."""
    [(partition, sequence)] = parse_positions(said.position).items()
    home = partition_of(said.account, log.partitions)
    if partition != home:
        return Checked(
            [f"{said.account} lives in partition {home} of this log, and {said.position} is elsewhere"], 0, None
        )
    replay = Replay(State(partition, log.partitions))
    wrong, later_at_us = list[str](), None
    try:
        async with aclosing(log.read(partition)) as runs:
            async for records in runs:
                if later_at_us is None:
                    told, later_at_us = await asyncio.to_thread(_take, replay, records, said, sequence)
                    wrong += told
                if later_at_us is not None:
                    break
    except (ChainBroken, CheckFailed, LogDamaged) as broken:
        return Checked([str(broken)], replay.state.chained.sequence + 1, None)
    reached = replay.state.chained.sequence
    if reached != sequence:
        wrong = [f"the log ends at block {reached}, before the one that was named"]
    number = replay.state.number_of(said.account)
    return Checked(wrong, reached + 1, later_at_us, None if number is None else int(replay.state.version[number]))


def _take(replay: Replay, records: Sequence[Record], said: AccountState, sequence: int) -> tuple[list[str], int | None]:
    """Fold to the block that was named, and see what does not hold there; and the time of the block behind it, if any."""
    wrong: list[str] = []
    before = replay.passed
    for _ in replay.take_run(records, until=sequence - 1):
        pass
    rest = records[replay.passed - before :]
    while len(rest) and replay.state.chained.sequence == sequence - 1:
        number = replay.state.number_of(said.account)
        flags = 0 if number is None else int(replay.state.flags[number])
        folded = replay.take(rest[0])
        rest = rest[1:]
        if folded is not None:
            wrong = _differences(replay.state, said, folded.block, flags)
    later_at_us = _time_behind(replay.state, rest) if replay.state.chained.sequence == sequence else None
    return wrong, later_at_us


def _time_behind(state: State, records: Sequence[Record]) -> int | None:
    """The time of the first of these that counts."""
    for record in records:
        header = judge_header(state.partition, state.chained.head, record.data)
        if not isinstance(header, Skip):
            return header.created_at_us
    return None


def _differences(state: State, said: AccountState, block: Block, flags: int) -> list[str]:
    """What was said, and what the account was after the entry of this block that made the version, or after the block, where
    that is the last one. flags: before the block."""
    wrong = []
    if said.block_hash is not None and block.header.block_hash.hex() != said.block_hash:
        hash_now = block.header.block_hash.hex()
        wrong.append(f"block {said.position} of this log has the hash {hash_now}, not {said.block_hash}")
    number = state.number_of(said.account)
    if number is None:
        return [*wrong, f"{said.account} was not open then"]
    row = rows_of(state, np.array([number]))[0]
    for entry in (each for outcome in BlockOutcomes(block) for each in outcome.entries if each.account == number):
        flags = flags if entry.flags is None else entry.flags
        if entry.version == said.version:
            row = row._replace(posted=entry.posted, held=entry.held or 0, version=entry.version, flags=flags)
            break
    found = {
        "asset": row.asset, "posted": row.posted, "held": row.held, "version": row.version, "at": format_time(row.at_us),
        "floor": None if row.floor == NO_FLOOR else row.floor, "flags": tuple(flag_words(row.flags)),
    }  # fmt: skip
    told = {name: getattr(said, name) for name in found} | {"flags": tuple(said.flags or ())}
    return wrong + [
        f"{name} of {said.account} was {found[name]}, not {told[name]}" for name in found if found[name] != told[name]
    ]
