"""Two assets whose 64-bit hashes are equal: found by some 2^33 BLAKE3 hashes (van Oorschot and Wiener, "Parallel collision search
with cryptanalytic applications", 1999), which takes minutes. Legs name assets by that hash."""

from __future__ import annotations

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, assert_same_state, id_at
from tests.unit.write_side.two_partitions import account
from write_side.contract.state.state import word_hash
from write_side.contract.tell.answers import Answer, BlockAnswers
from write_side.contract.words.codes import Code
from write_side.intake.dry_run import dry_run
from write_side.ledger.commands.commands import Leg, LegsTransfer, OpenAccount, Transfer

ONE, OTHER = "A1B9H9ABVIO923/2", "A52NKX97YL9BF1/2"
NEAR, NEAR_TOO, FAR = account(0, "near"), account(0, "near-too"), account(1, "far")


def opened(partition: DecidingPartition) -> None:
    partition.decide([OpenAccount(NEAR, ONE, 0, ""), OpenAccount(NEAR_TOO, ONE, 0, "")], NOON_US)
    partition.decide([Transfer(id_at(NOON_US, 1), "@world", NEAR, 100, ONE)], NOON_US + 1)


def test_the_two_names_have_one_hash() -> None:
    assert word_hash(ONE) == word_hash(OTHER)


def test_an_account_of_an_asset_that_collides_with_another_is_not_opened() -> None:
    partition = DecidingPartition()
    block = partition.decide([OpenAccount("a", ONE, 0, ""), OpenAccount("b", OTHER, 0, "")], NOON_US)
    assert block.outcomes["code"].tolist() == [Code.DONE, Code.ASSET_COLLIDES]
    block = partition.decide([OpenAccount("c", OTHER, 0, ""), OpenAccount("b", ONE, 0, "")], NOON_US + 1)
    assert block.outcomes["code"].tolist() == [Code.ASSET_COLLIDES, Code.DONE]
    answer = BlockAnswers(block, partition.state).answer(0)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.document["code"]) == (422, "asset_collides")
    assert_same_state(partition.state, partition.replayed())
    said = dry_run({0: partition.state}, 0, OpenAccount("c", OTHER, 0, ""), 1, NOON_US + 2)
    assert isinstance(said, Answer)
    assert said.document["code"] == "asset_collides"


def test_a_transfer_that_names_the_other_asset_is_a_mismatch() -> None:
    partition = DecidingPartition(0, 2)
    opened(partition)
    both = (Leg(NEAR, -5, OTHER), Leg(NEAR_TOO, 5, OTHER))
    away = (Leg(NEAR, -5, OTHER), Leg(FAR, 5, OTHER))
    block = partition.decide(
        [
            Transfer(id_at(NOON_US, 2), NEAR, NEAR_TOO, 5, OTHER),
            LegsTransfer(id_at(NOON_US, 3), both),
            LegsTransfer(id_at(NOON_US, 4), tuple(sorted(away))),
            Transfer(id_at(NOON_US, 5), NEAR, FAR, 5, OTHER),
        ],
        NOON_US + 2,
    )
    assert block.outcomes["code"].tolist() == [Code.ASSET_MISMATCH] * 4
    assert_same_state(partition.state, partition.replayed())


def test_legs_of_both_assets_do_not_make_a_block_that_does_not_sum_to_zero() -> None:
    partition = DecidingPartition()
    opened(partition)
    legs = (Leg(NEAR, -5, ONE), Leg("@world", 5, ONE), Leg("@world", -3, OTHER), Leg(NEAR_TOO, 3, OTHER))
    block = partition.decide([LegsTransfer(id_at(NOON_US, 2), tuple(sorted(legs)))], NOON_US + 2)
    assert block.outcomes["code"].tolist() == [Code.ACCOUNT_UNKNOWN], "nobody has that asset here"
    assert_same_state(partition.state, partition.replayed())
