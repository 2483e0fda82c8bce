"""What is forgotten is decided by the log alone: when its row is swept out is memory, and no byte of a block knows of it."""

from __future__ import annotations

import random

import pytest

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, assert_same_state, id_at, timeless_id
from write_side.contract.state import ids
from write_side.contract.words.codes import Code
from write_side.ledger.commands.commands import Command, OpenAccount, Transfer

HOUR_US = 3_600_000_000
BLOCKS = 40
NEVER = 1 << 40


def weeks_of_payments(seed: int) -> list[tuple[int, list[Command]]]:
    """Blocks 13 hours apart. Half of the ids carry a time, up to two days old; the others are keys that come again and again."""
    chance = random.Random(seed)
    blocks: list[tuple[int, list[Command]]] = [(NOON_US, [OpenAccount("a", "USD/2", 0, "")])]
    for n in range(1, BLOCKS):
        at_us = NOON_US + n * 13 * HOUR_US
        commands: list[Command] = []
        for _ in range(chance.choice((1, 50, 400))):
            number = chance.randrange(1_500)
            timed = chance.random() < 0.5
            id16 = id_at(at_us - chance.randrange(48) * HOUR_US, number) if timed else timeless_id(number)
            commands.append(Transfer(id16, "@world", "a", 1, "USD/2"))
        blocks.append((at_us, commands))
    return blocks


@pytest.mark.parametrize("seed", range(4))
def test_no_block_shows_when_the_rows_of_forgotten_ids_are_swept_out(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    partitions, swept = [], []
    for sweep_min in (NEVER, ids.SWEEP_MIN, 1):
        monkeypatch.setattr(ids, "SWEEP_MIN", sweep_min)
        partition = DecidingPartition(ids_max=1_200)
        for at_us, commands in weeks_of_payments(seed):
            partition.decide(commands, at_us)
        assert_same_state(partition.state, partition.replayed())
        partitions.append(partition)
        swept.append(partition.state.ids.used)
    assert partitions[0].blocks == partitions[1].blocks == partitions[2].blocks
    assert swept[0] > 2 * swept[2], "in one all rows wait, in the other hardly any"
    monkeypatch.setattr(ids, "SWEEP_MIN", NEVER)
    assert_same_state(partitions[2].state, partitions[2].replayed())


def test_an_id_whose_row_waits_is_forgotten_a_key_runs_again_and_an_old_time_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ids, "SWEEP_MIN", NEVER)
    partition = DecidingPartition()
    key, timed = timeless_id(1), id_at(NOON_US, 2)
    both = [Transfer(id16, "@world", "a", 5, "USD/2") for id16 in (key, timed)]
    partition.decide([OpenAccount("a", "USD/2", 0, ""), *both], NOON_US)
    later_us = NOON_US + ids.WINDOW_US + 2 * HOUR_US
    block = partition.decide([both[0]._replace(amount=7), both[1], both[0], both[0]._replace(amount=7)], later_us)
    assert block.outcomes["code"].tolist() == [Code.DONE, Code.ID_EXPIRED, Code.ID_REUSED, Code.REPEATED]
    assert (partition.state.ids.used, partition.state.ids.count) == (2, 1)
    assert partition.state.find_transfer(timed) is None
    assert_same_state(partition.state, partition.replayed())
