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

from fanfold.api.answers import AccountState
from read_side.fold.balances import rows_of
from write_side.contract.block.chain import ChainBroken, Skip, judge_header
from write_side.contract.log.log import Log, LogDamaged, Record
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.tell.answers import format_time
from write_side.contract.words.atoms import NO_FLOOR, partition_of
from write_side.contract.words.codes import flag_words
from write_side.contract.words.position import parse_positions


class Checked(NamedTuple):
    """wrong: what does not hold, a sentence each; none when everything does. blocks: how many were read. later_at_us: the time of
    the block behind the one that was named; None where there is none yet."""

    wrong: list[str]
    blocks: int
    later_at_us: int | None


async def check_proof(log: Log, said: AccountState) -> Checked:
    """Compare what was said with the log. Raises LogFailed, Malformed for a position that is none."""
    [(partition, sequence)] = parse_positions(said.position).items()
    home = partition_of(said.account, log.partitions)
    if partition != home:
        return Checked(
            [f"{said.account} lives in partition {home} of this log, and {said.position} is elsewhere"], 0, None
        )
    replay = Replay(State(partition, log.partitions))
    later_at_us = None
    try:
        async with aclosing(log.read(partition)) as runs:
            async for records in runs:
                before = replay.passed
                if replay.state.chained.sequence < sequence:
                    await asyncio.to_thread(_take, replay, records, sequence)
                rest = records[replay.passed - before :]
                if replay.state.chained.sequence == sequence and len(rest):
                    later_at_us = await asyncio.to_thread(_time_behind, replay.state, rest)
                    if later_at_us is not None:
                        break
    except (ChainBroken, CheckFailed, LogDamaged) as broken:
        return Checked([str(broken)], replay.state.chained.sequence + 1, None)
    return Checked(_differences(replay.state, said, sequence), replay.state.chained.sequence + 1, later_at_us)


def _take(replay: Replay, records: Sequence[Record], sequence: int) -> None:
    for _ in replay.take_run(records, until=sequence):
        pass


def _time_behind(state: State, records: Sequence[Record]) -> int | None:
    """The time of the first of these that counts."""
    for record in records:
        header = judge_header(state.partition, state.chained.head, record.data)
        if not isinstance(header, Skip):
            return header.created_at_us
    return None


def _differences(state: State, said: AccountState, sequence: int) -> list[str]:
    chained = state.chained
    if chained.sequence != sequence:
        return [f"the log ends at block {chained.sequence}, before the one that was named"]
    wrong = []
    if said.block_hash is not None and chained.block_hash.hex() != said.block_hash:
        wrong.append(
            f"block {said.position} of this log has the hash {chained.block_hash.hex()}, not {said.block_hash}"
        )
    number = state.number_of(said.account)
    if number is None:
        return [*wrong, f"{said.account} was not open then"]
    row = rows_of(state, np.array([number]))[0]
    found = {
        "asset": row.asset, "posted": row.posted, "held": row.held, "version": row.version, "at": format_time(row.at_us),
        "floor": None if row.floor == NO_FLOOR else row.floor, "flags": tuple(flag_words(row.flags)),
    }  # fmt: skip
    told = {name: getattr(said, name) for name in found} | {"flags": tuple(said.flags or ())}
    return wrong + [
        f"{name} of {said.account} was {found[name]}, not {told[name]}" for name in found if found[name] != told[name]
    ]
