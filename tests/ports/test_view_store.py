"""What the view store port promises (read_side/contract/view.py), proved on every adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from read_side.contract.rows import EMPTY_ROWS, NUMBERS, AccountRow, AccountRows
from read_side.contract.view import Checkpoint, CheckpointMismatch, OwnerStale, ViewStore
from read_side.views.view_memory import MemoryViewStore
from read_side.views.view_redis import RedisViewStore
from read_side.views.view_sqlite import SqliteViewStore
from tests.servers import unique_name
from write_side.contract.words.atoms import NO_FLOOR


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        pytest.param("redis_url", marks=pytest.mark.redis),
        pytest.param("redis_cluster_url", marks=pytest.mark.redis),
    ]
)
async def view(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ViewStore]:
    store: ViewStore
    if request.param == "memory":
        store = MemoryViewStore()
    elif request.param == "sqlite":
        store = await SqliteViewStore.connect(tmp_path / "view.db")
    else:
        store = await RedisViewStore.connect(request.getfixturevalue(request.param), unique_name())
    yield store
    await store.close()


def at(sequence: int, generation: int = 1, fork: int = 0) -> Checkpoint:
    return Checkpoint(generation, sequence, bytes([sequence % 256, fork]) * 16, sequence * 100, 1_000_000 + sequence)


def row(account: str, version: int = 1, posted: int = 5) -> AccountRow:
    return AccountRow(account, "USD/2", posted, 0, 0, version, 1_000_000 + version)


def rows(*some: AccountRow) -> AccountRows:
    return AccountRows.of(list(some))


async def test_an_empty_store_has_nothing(view: ViewStore) -> None:
    assert await view.checkpoint(0) is None
    assert await view.live(0) is None
    assert await view.generations(0) == []
    assert await view.read(0, ["alice"]) == (None, [None])


async def test_rows_and_checkpoint_are_read_together(view: ViewStore) -> None:
    owner = await view.claim(0, 1)
    assert await view.apply(owner, None, rows(row("alice"), row("bob")), at(0)) == 1
    assert await view.read(0, ["bob", "nobody", "alice"]) == (at(0), [row("bob"), None, row("alice")])
    assert await view.checkpoint(0) == at(0)
    assert await view.read(0, []) == (at(0), [])


async def test_every_value_of_a_row_survives(view: ViewStore) -> None:
    extreme = [
        AccountRow("a" * 64, "A/0", 10**18, 10**18, NO_FLOOR, 2**62, 2**52, 7),
        AccountRow("Z.9_:-", "ABCDEFGHIJ012345/18", -(10**18), 0, -(10**18), 0, 0),
        AccountRow("@world:USD/2", "USD/2", -1, 0, NO_FLOOR, 1, 1),
    ]
    owner = await view.claim(0, 1)
    await view.apply(owner, None, rows(*extreme), at(0))
    names = [each.account for each in extreme]
    assert await view.read(0, names) == (at(0), extreme)
    assert await columns(view, names) == (at(0), extreme)


async def columns(view: ViewStore, names: list[str], generation: int = 1) -> tuple[Checkpoint | None, list[AccountRow]]:
    checkpoint, found = await view.read_columns(0, names, generation)
    return checkpoint, list(found.each())


async def test_columns_are_the_rows_of_a_generation_that_are_there(view: ViewStore) -> None:
    assert await columns(view, ["alice"]) == (None, [])
    owner, names = await view.claim(0, 1), [f"account-{number}" for number in range(40)]
    await view.load(owner, rows(*map(row, names)))
    assert await columns(view, names) == (None, [])
    await view.apply(owner, None, rows(row("alice"), row("bob")), at(0), loaded=len(names))
    assert await columns(view, ["bob", *names[::-1], "nobody", "alice"]) == (
        at(0), [row("bob"), *map(row, names[::-1]), row("alice")],
    )  # fmt: skip
    assert await columns(view, ["nobody"]) == (at(0), [])
    assert await columns(view, []) == (at(0), [])
    assert await columns(view, ["alice"], 2) == (None, [])


async def test_later_rows_replace_earlier_ones(view: ViewStore) -> None:
    owner = await view.claim(0, 1)
    await view.apply(owner, None, rows(row("alice"), row("bob")), at(0))
    await view.apply(owner, at(0), rows(row("carol", 0), row("alice", 2, 9)), at(3))
    assert await view.read(0, ["alice", "bob", "carol"]) == (at(3), [row("alice", 2, 9), row("bob"), row("carol", 0)])


async def test_the_same_batch_twice_is_refused_and_changes_nothing(view: ViewStore) -> None:
    owner = await view.claim(0, 1)
    await view.apply(owner, None, rows(row("alice")), at(0))
    await view.apply(owner, at(0), rows(row("alice", 2)), at(1))
    with pytest.raises(CheckpointMismatch) as refused:
        await view.apply(owner, at(0), rows(row("alice", 2)), at(1))
    assert refused.value.stored == at(1)
    assert await view.read(0, ["alice"]) == (at(1), [row("alice", 2)])


async def test_a_checkpoint_of_another_block_with_the_same_sequence_is_refused(view: ViewStore) -> None:
    owner = await view.claim(0, 1)
    await view.apply(owner, None, rows(row("alice")), at(0))
    with pytest.raises(CheckpointMismatch):
        await view.apply(owner, at(0, fork=1), rows(row("alice", 2)), at(1))
    with pytest.raises(CheckpointMismatch):
        await view.apply(owner, None, rows(row("alice", 2)), at(1))
    assert await view.read(0, ["alice"]) == (at(0), [row("alice")])


async def test_a_probe_writes_nothing_and_tells_what_is_live(view: ViewStore) -> None:
    owner = await view.claim(0, 1)
    await view.apply(owner, None, rows(row("alice")), at(0))
    assert await view.apply(owner, at(0), EMPTY_ROWS, at(0)) == 1
    assert await view.read(0, ["alice"]) == (at(0), [row("alice")])


async def test_a_later_claim_makes_the_earlier_owner_stale(view: ViewStore) -> None:
    old = await view.claim(0, 1)
    await view.apply(old, None, rows(row("alice")), at(0))
    new = await view.claim(0, 1)
    for write in (
        lambda: view.apply(old, at(0), rows(row("alice", 2)), at(1)),
        lambda: view.clear(old),
        lambda: view.load(old, rows(row("bob"))),
        lambda: view.switch(old, replaces=1),
    ):
        with pytest.raises(OwnerStale) as stale:
            await write()
        assert stale.value.stored == at(0)
    assert await view.read(0, ["alice", "bob"]) == (at(0), [row("alice"), None])
    await view.apply(new, at(0), rows(row("alice", 2)), at(1))


async def test_a_claim_survives_claims_of_other_generations_and_partitions(view: ViewStore) -> None:
    owner = await view.claim(0, 1)
    await view.claim(0, 2)
    await view.claim(1, 1)
    await view.apply(owner, None, rows(row("alice")), at(0))
    assert await view.read(1, ["alice"]) == (None, [None])


async def test_an_owner_that_the_store_never_knew_meets_a_mismatch(view: ViewStore) -> None:
    claimed = await view.claim(0, 1)
    for unknown in (claimed._replace(generation=7), claimed._replace(partition=3)):
        with pytest.raises(CheckpointMismatch) as refused:
            await view.apply(unknown, None, rows(row("alice")), at(0))
        assert refused.value.stored is None
        with pytest.raises(CheckpointMismatch):
            await view.clear(unknown)
        with pytest.raises(CheckpointMismatch):
            await view.load(unknown, rows(row("alice")))


async def test_a_view_loaded_in_parts_is_read_only_once_its_checkpoint_is_there(view: ViewStore) -> None:
    owner = await view.claim(0, 1)
    await view.load(owner, rows(row("alice")))
    await view.load(owner, rows(row("bob"), row("alice", 2)))
    await view.load(owner, EMPTY_ROWS)
    assert await view.read(0, ["alice", "bob"]) == (None, [None, None])
    assert await view.read(0, ["alice"], generation=1) == (None, [None])
    assert await view.generations(0) == [1]
    await view.apply(owner, None, EMPTY_ROWS, at(4), loaded=3)
    assert await view.read(0, ["alice", "bob"]) == (at(4), [row("alice", 2), row("bob")])
    with pytest.raises(CheckpointMismatch) as refused:
        await view.load(owner, rows(row("alice", 9)))
    assert refused.value.stored == at(4)


async def test_a_load_of_which_the_store_has_another_part_gets_no_checkpoint(view: ViewStore) -> None:
    """The store was set back meanwhile, to before the load or into its middle: what is missing would be missing for good."""
    first = await view.claim(0, 1)
    await view.clear(first)
    await view.load(first, rows(row("alice"), row("bob")))
    for others in (0, 1, 3):
        with pytest.raises(CheckpointMismatch) as refused:
            await view.apply(first, None, EMPTY_ROWS, at(4), loaded=others)
        assert refused.value.stored is None
    owner = await view.claim(0, 1)
    with pytest.raises(CheckpointMismatch):  # what another owner has loaded is not ours
        await view.apply(owner, None, EMPTY_ROWS, at(4), loaded=2)
    await view.load(owner, rows(row("alice"), row("bob")))
    await view.clear(owner)
    with pytest.raises(CheckpointMismatch):
        await view.apply(owner, None, EMPTY_ROWS, at(4), loaded=2)
    await view.load(owner, rows(row("bob")))
    await view.apply(owner, None, rows(row("carol")), at(4), loaded=1)
    assert await view.read(0, ["alice", "bob", "carol"]) == (at(4), [None, row("bob"), row("carol")])
    await view.apply(owner, at(4), EMPTY_ROWS, at(5))


async def test_clear_takes_the_checkpoint_and_the_rows_and_keeps_owner_and_live(view: ViewStore) -> None:
    owner = await view.claim(0, 1)
    await view.apply(owner, None, rows(row("alice")), at(0))
    await view.clear(owner)
    assert await view.read(0, ["alice"]) == (None, [None])
    assert await view.checkpoint(0) is None
    assert await view.live(0) == 1
    assert await view.generations(0) == []
    await view.apply(owner, None, rows(row("bob")), at(1))
    assert await view.read(0, ["alice", "bob"]) == (at(1), [None, row("bob")])


async def test_a_generation_beside_the_live_one_is_not_read_before_the_switch(view: ViewStore) -> None:
    live = await view.claim(0, 1)
    await view.apply(live, None, rows(row("alice")), at(5))
    beside = await view.claim(0, 2)
    assert await view.apply(beside, None, rows(row("alice", 7)), at(5, 2)) == 1
    assert await view.generations(0) == [1, 2]
    assert await view.read(0, ["alice"]) == (at(5), [row("alice")])
    assert await view.read(0, ["alice"], generation=2) == (at(5, 2), [row("alice", 7)])
    await view.switch(beside, replaces=1)
    assert await view.live(0) == 2
    assert await view.read(0, ["alice"]) == (at(5, 2), [row("alice", 7)])
    assert await view.read(0, ["alice"], generation=1) == (at(5), [row("alice")])
    assert await view.apply(live, at(5), EMPTY_ROWS, at(5)) == 2, (
        "the old owner learns that its generation was replaced"
    )


async def test_a_switch_to_a_generation_that_is_behind_is_refused(view: ViewStore) -> None:
    live = await view.claim(0, 1)
    await view.apply(live, None, rows(row("alice")), at(5))
    beside = await view.claim(0, 2)
    with pytest.raises(CheckpointMismatch) as refused:
        await view.switch(beside, replaces=1)
    assert refused.value.stored == at(5)
    await view.apply(beside, None, rows(row("alice")), at(4, 2))
    with pytest.raises(CheckpointMismatch) as refused:
        await view.switch(beside, replaces=1)
    assert refused.value.stored == at(5)
    assert await view.live(0) == 1


async def switched(view: ViewStore) -> None:
    """Generation 2 is live, which an owner of generation 1 has not noticed."""
    live = await view.claim(0, 1)
    await view.apply(live, None, rows(row("alice")), at(5))
    beside = await view.claim(0, 2)
    await view.apply(beside, None, rows(row("alice", 7)), at(5, 2))
    assert await view.kept(0) is None
    await view.switch(beside, replaces=1)


async def test_the_generation_that_a_switch_replaces_is_kept(view: ViewStore) -> None:
    await switched(view)
    assert (await view.live(0), await view.kept(0), await view.kept(1)) == (2, 1, None)
    back = await view.claim(0, 1)
    await view.apply(back, at(5), rows(row("alice", 8)), at(6))
    await view.switch(back, replaces=2)
    assert (await view.live(0), await view.kept(0), await view.generations(0)) == (1, 2, [1, 2])
    assert await view.read(0, ["alice"]) == (at(6), [row("alice", 8)])
    assert await view.read(0, ["alice"], generation=2) == (at(5, 2), [row("alice", 7)])


async def test_a_switch_from_another_generation_than_the_live_one_is_refused(view: ViewStore) -> None:
    await switched(view)
    third = await view.claim(0, 3)
    await view.apply(third, None, EMPTY_ROWS, at(9, 3))
    for others in (1, 3):
        with pytest.raises(CheckpointMismatch) as refused:
            await view.switch(third, replaces=others)
        assert refused.value.stored == at(5, 2)
    assert (await view.live(0), await view.kept(0)) == (2, 1)


async def test_a_generation_that_was_switched_to_has_no_owner(view: ViewStore) -> None:
    """Whoever owned it when it was live before finds that out as a mismatch, which it repairs, and not as a rival's claim."""
    live = await view.claim(0, 1)
    await view.apply(live, None, rows(row("alice")), at(5))
    for generation, before in ((2, 1), (1, 2)):
        owner = await view.claim(0, generation)
        if generation == 2:
            await view.apply(owner, None, EMPTY_ROWS, at(5, 2))
        await view.switch(owner, replaces=before)
        for writer in (owner, live):
            if writer.generation == generation:
                with pytest.raises(CheckpointMismatch):
                    await view.apply(writer, at(5, generation), rows(row("alice", 9)), at(6, generation))
    again = await view.claim(0, 1)
    await view.apply(again, at(5), rows(row("alice", 2)), at(6))
    assert await view.read(0, ["alice"]) == (at(6), [row("alice", 2)])


async def test_only_one_at_a_time_makes_generations(view: ViewStore) -> None:
    first = await view.reserve("one", 60.0)
    assert (first.is_ours, first.unfinished) == (True, "")
    refused = await view.reserve("two", 60.0, "nothing of this is noted")
    assert refused == (False, first.until_us, "")
    again = await view.reserve("one", 60.0)
    assert again.is_ours
    assert again.until_us > first.until_us
    assert (await view.reserve("one", 0.0)).is_ours
    assert (await view.reserve("two", 60.0)).is_ours
    assert not (await view.reserve("one", 0.0)).is_ours, "what is another's cannot be given back"
    assert not (await view.reserve("three", 60.0)).is_ours


async def test_what_was_left_unfinished_outlives_the_reservation(view: ViewStore) -> None:
    assert (await view.reserve("one", 60.0, "half of it")).unfinished == "half of it"
    assert (await view.reserve("two", 60.0)).unfinished == "half of it"
    assert (await view.reserve("one", 0.0)).unfinished == "half of it"
    assert (await view.reserve("two", 60.0))[::2] == (True, "half of it")
    assert (await view.reserve("two", 0.0, "")).unfinished == ""
    assert (await view.reserve("three", 1.0)).unfinished == ""


async def test_a_reservation_that_nobody_prolongs_ends(view: ViewStore) -> None:
    assert (await view.reserve("killed", 0.001, "half of it")).is_ours
    while not (found := await view.reserve("next", 60.0)).is_ours:
        pass
    assert found.unfinished == "half of it"


async def test_scan_gives_every_row_of_a_generation_once(view: ViewStore) -> None:
    many = [row(f"account-{i}", i) for i in range(25_000)]
    owner = await view.claim(0, 1)
    await view.load(owner, AccountRows.of(many))
    await view.apply(owner, None, rows(row("last")), at(0), loaded=len(many))
    found = {batch[i].account: batch[i] async for batch in view.scan(0, 1) for i in range(len(batch))}
    assert found == {each.account: each for each in [*many, row("last")]}
    assert [batch async for batch in view.scan(0, 2)] == []


async def test_a_large_batch_is_applied_and_read_whole(view: ViewStore) -> None:
    n = 20_000
    numbers = np.arange(n, dtype=np.int64)
    big = AccountRows([f"a{i}" for i in range(n)], ["USD/2"] * n, *([numbers] * len(NUMBERS)))
    owner = await view.claim(0, 1)
    await view.apply(owner, None, big, at(0))
    checkpoint, found = await view.read(0, big.accounts)
    assert checkpoint == at(0)
    assert found == [big[i] for i in range(n)]


async def test_close_may_be_called_twice(view: ViewStore) -> None:
    await view.close()
