"""What history tells of the past is what the blocks say, however it is cut into parts, sealed, joined and read again."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from read_side.history.folder import SegmentFolder
from read_side.history.gathering import joined
from read_side.history.history import History
from read_side.history.past import (
    Was,
    about,
    accounts_at,
    block_bytes,
    entries_of,
    last_block,
    last_version,
    outcomes_of,
    state_at,
    with_reference,
)
from read_side.history.segment import Segment
from read_side.history.segment_bytes import segment_bytes, segment_of
from tests.unit.write_side.deciding import DecidingPartition
from tests.unit.write_side.ledger.decided_outcomes import decide_items
from tests.unit.write_side.ledger.rich_streams import rich_stream
from write_side.contract.block.block import decode
from write_side.contract.log.log import Record
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.tell.outcome import BlockOutcomes
from write_side.contract.words.codes import Kind

PLACE = bytes(32)
NOWHERE = Path("/nowhere")


def some_blocks(chance: random.Random, segments: int = 12, items: int = 12) -> list[bytes]:
    stream = rich_stream(chance, segments=segments, items=items)
    partition = DecidingPartition()
    for segment in stream:
        decide_items(partition, segment.items, segment.at_us)
    return partition.blocks


def noted(blocks: list[bytes], chance: random.Random) -> list[Segment]:
    """Noted in runs of any length, asked in between."""
    history = History(SegmentFolder(NOWHERE, FileStore(NOWHERE), 0))
    replay = Replay(State(0, 1))
    history.begin_at(-1, PLACE, -1)
    at = 0
    while at < len(blocks):
        run = blocks[at : at + chance.randint(1, 40)]
        for folded in replay.take_run([Record(10 * i, data) for i, data in enumerate(run, at)]):
            history.note(folded)
        at += len(run)
        if chance.random() < 0.3:
            history.parts()
    return history.parts()


def plainly(blocks: list[bytes]) -> tuple[dict[int, list[Was]], dict[int, list[int]]]:
    """By account its versions from 0 on, and the row of each in its block: block by block, outcome by outcome."""
    told: dict[int, list[Was]] = defaultdict(list)
    in_row: dict[int, list[int]] = defaultdict(list)
    for data in blocks:
        block = decode(data)
        sequence, at_us = block.header.sequence, block.header.created_at_us
        for number in block.accounts["number"].tolist():
            told[number].append(Was(0, 0, 0, 0, sequence, at_us))
            in_row[number].append(-1)
        for outcome in BlockOutcomes(block):
            for entry in outcome.entries:
                flags = told[entry.account][-1].flags if entry.flags is None else entry.flags
                told[entry.account].append(Was(entry.version, entry.posted, entry.held or 0, flags, sequence, at_us))
                in_row[entry.account].append(outcome.row)
    return told, in_row


def assert_tells(parts: list[Segment], blocks: list[bytes]) -> None:
    """Every version of every account, at every block and time; every outcome by its id, its link and its reference."""
    told, in_row = plainly(blocks)
    times = [decode(data).header.created_at_us for data in blocks]
    for account, versions in told.items():
        assert [state_at(parts, account, n) for n in range(len(versions) + 1)] == [*versions, None]
        for sequence in range(len(blocks)):
            opened = versions[0].sequence <= sequence
            known = sum(was.sequence <= sequence for was in versions) - 1
            assert last_version(parts, account, sequence) == (known if opened else None)
        entries = [*entries_of(parts, account, range(1, len(versions) + 5))]
        found = [n for each in entries for n in reversed(each.version.tolist())]
        assert found == list(range(len(versions) - 1, 0, -1))
        for each in entries:
            for n, row, number in zip(each.version.tolist(), each.outcome.tolist(), each.number.tolist(), strict=True):
                assert row == in_row[account][n]
                assert each.segment.place_of(number) == (versions[n].sequence, row)
                assert account in each.segment.accounts_of(number)
    for sequence, data in enumerate(blocks):
        assert accounts_at(parts, sequence) == sum(versions[0].sequence <= sequence for versions in told.values())
        assert block_bytes(parts, sequence) == data
        assert last_block(parts, times[sequence]) == max(i for i, at in enumerate(times) if at <= times[sequence])
    assert last_block(parts, times[0] - 1) == -1
    assert_outcomes(parts, blocks)


def assert_outcomes(parts: list[Segment], blocks: list[bytes]) -> None:
    by_id, by_link = defaultdict(list), defaultdict(list)
    for sequence, data in enumerate(blocks):
        for outcome in BlockOutcomes(decode(data)):
            if outcome.kind is not Kind.OPEN:
                by_id[outcome.id].append((sequence, outcome.row))
            if outcome.link is not None:
                by_link[outcome.link].append((sequence, outcome.row))
            if outcome.note[0]:
                found = [each.place for each in with_reference(parts, outcome.note[0], 10**9)]
                assert (sequence, outcome.row) in found
            part = next(each for each in parts if each.first <= sequence <= each.last)
            number = int(part.outcome_of[sequence - part.first]) + outcome.row
            assert (part.kind[number], part.code[number]) == (outcome.kind, outcome.code)
            assert part.note_of(number) == outcome.note
            assert list(part.accounts_of(number)) == list(dict.fromkeys(each.account for each in outcome.entries))
            if outcome.kind is not Kind.OPEN:
                assert part.id_of(number) == outcome.id
    for id16, places in by_id.items():
        assert [each.place for each in outcomes_of(parts, id16)] == places
    for id16, places in by_link.items():
        assert [each.place for each in about(parts, id16)] == places
    assert outcomes_of(parts, bytes(16)) == about(parts, bytes(16)) == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_history_tells_what_the_blocks_say(chance: random.Random) -> None:
    blocks = some_blocks(chance)
    parts = noted(blocks, chance)
    assert_tells(parts, blocks)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_joined_parts_tell_the_same_from_memory_and_from_a_file(chance: random.Random) -> None:
    blocks = some_blocks(chance)
    parts = noted(blocks, chance)[::-1]
    cut = chance.randint(0, len(parts))
    for several in ([joined(parts)], [joined(each) for each in (parts[cut:], parts[:cut]) if each]):
        assert_tells(several, blocks)
        files = [memoryview(b"".join(segment_bytes(each, 0))) for each in several]
        assert_tells([segment_of(data, 0) for data in files], blocks)


def test_many_accounts_and_long_streams_are_sorted_like_few(tmp_path: Path) -> None:
    chance = random.Random(1)
    blocks = some_blocks(chance, segments=60, items=120)
    assert len(noted(blocks, chance)) > 3
    assert_outcomes([joined(noted(blocks, chance)[::-1])], blocks)
