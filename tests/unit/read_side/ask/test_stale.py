"""The log of one of two partitions is damaged: whatever may lack what came behind that says so, and nothing else does."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from read_side.follow.partition_fold import PartitionFold
from tests.unit.read_side.archive import Archive
from tests.unit.read_side.asgi_client import ask
from tests.unit.read_side.ask.test_transfers import USD
from tests.unit.read_side.block_maker import moved
from tests.unit.read_side.follow.test_projector import wrong_digest
from write_side.contract.words.times import format_time
from write_side.ledger.commands.commands import Hold, Leg, LegsTransfer, Note, Protocol

DONE, REFUSED, HELD, BEGUN, ELSEWHERE = (uuid.UUID(int=(0x4 << 76) | (0x8 << 60) | number) for number in range(1, 6))


class Damaged(Archive):
    """Each list has something of partition 0, whose log has a block that cannot be read behind all of it."""

    async def damage(self) -> dict[str, Any]:
        """How the partition is told among several."""
        legs = tuple(sorted([Leg(self.alice, -30, USD), Leg(self.carol, 30, USD)]))
        across = tuple(sorted([Leg(self.alice, -5, USD), Leg(self.bob, 5, USD)]))
        note = Note("order 7")
        await self.partitions.say(0, LegsTransfer(DONE.bytes, legs, Protocol.SAGA, note), Hold(HELD.bytes, legs))
        await self.partitions.say(0, moved(self.alice, self.carol, 5_000, REFUSED))
        await self.partitions.say(0, LegsTransfer(BEGUN.bytes, across))
        await self.partitions.say(1, moved("@world", self.bob, 1, ELSEWHERE))
        await self.page("/v1/accounts")  # all of it is shown
        self.since = format_time(self.partitions.writers[0].state.chained.created_at_us)
        await self.log.append(0, b"damaged")
        while self.projectors[0].stopped is None:
            await self.timer.tick()
        return {"partition": 0, "stale_since": self.since, "reason": self.projectors[0].stopped}


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Damaged]:
    found = Damaged(tmp_path)
    await found.open()
    yield found
    await found.stop()


LISTS = {
    "/v1/accounts?": "accounts",
    "/v1/transfers?": "transfers",
    "/v1/transfers:find?reference=order%207&": "outcomes",
}


@pytest.mark.parametrize("target", LISTS)
async def test_a_list_names_the_partitions_of_which_it_lacks_something(bank: Damaged, target: str) -> None:
    told = await bank.damage()
    page = await bank.page(target)
    assert page[LISTS[target]]
    assert page["stale"] == [told]


@pytest.mark.parametrize("target", ["/v1/transfers?", "/v1/accounts?", "/v1/transfers:find?reference=x&"])
async def test_a_list_of_other_partitions_lacks_nothing(bank: Damaged, target: str) -> None:
    assert "stale" not in await bank.page(target)
    told = await bank.damage()
    assert (await bank.page(f"{target}partitions=0"))["stale"] == [told], "also where nothing is in it"
    assert "stale" not in await bank.page(f"{target}partitions=1")


async def test_each_account_of_a_list_says_it_as_the_account_itself_does(bank: Damaged) -> None:
    await bank.damage()
    listed = {each["account"]: each.get("stale_since") for each in (await bank.page("/v1/accounts"))["accounts"]}
    assert listed == {bank.alice: bank.since, bank.bob: None, bank.carol: bank.since}
    for account, since in listed.items():
        assert (await bank.page(f"/v1/accounts/{account}")).get("stale_since") == since


async def test_the_holds_of_an_account_may_be_over(bank: Damaged) -> None:
    assert "stale_since" not in await bank.page(f"/v1/accounts/{bank.alice}/holds")
    await bank.damage()
    page = await bank.page(f"/v1/accounts/{bank.alice}/holds")
    assert ([each["id"] for each in page["holds"]], page["stale_since"]) == ([str(HELD)], bank.since)
    assert (await bank.page(f"/v1/accounts/{bank.carol}/holds"))["stale_since"] == bank.since, "there may be some"
    assert "stale_since" not in await bank.page(f"/v1/accounts/{bank.bob}/holds")


async def test_what_has_become_of_a_transfer_since_is_not_known_unless_it_was_refused(bank: Damaged) -> None:
    await bank.damage()
    told = {id: await bank.transfer(id) for id in (DONE, HELD, BEGUN, REFUSED, ELSEWHERE)}
    assert [each["result"] for each in told.values()] == ["done", "held", "pending", "refused", "done"]
    assert [each.get("stale_since") for each in told.values()] == [bank.since, bank.since, bank.since, None, None]


async def test_a_trial_balance_of_a_moment_that_may_not_be_over_says_it(bank: Damaged) -> None:
    await bank.damage()
    now = await bank.page("/v1/system?asset=USD/2&as_of=2099-01-01T00:00:00Z")
    assert [part.get("stale_since") for part in now["partitions"]] == [bank.since, None]
    then = await bank.page("/v1/system?asset=USD/2&as_of=0:1,1:0")
    assert not any("stale_since" in part for part in then["partitions"]), "nothing can come that belongs to it"


@pytest.mark.parametrize("form", ["csv", "ndjson"])
async def test_entries_as_lines_say_it_in_a_header(bank: Damaged, form: str) -> None:
    await bank.damage()
    told = await bank.get(f"/v1/accounts/{bank.alice}/entries?format={form}")
    assert told.headers["fanfold-stale-since"] == bank.since
    assert "fanfold-stale-since" not in (await bank.get(f"/v1/accounts/{bank.bob}/entries?format={form}")).headers


async def test_readiness_names_the_partition_and_why_and_stays(bank: Damaged) -> None:
    assert (await bank.page("/readyz"))["stale"] == []
    assert (told := await bank.damage()) in (ready := await bank.page("/readyz"))["stale"]
    assert (len(ready["stale"]), ready["degraded"]) == (1, [told["reason"]])


async def test_the_lag_of_the_partition_says_it(bank: Damaged) -> None:
    assert not any("stale_since" in each for each in (await bank.page("/v1/positions"))["partitions"])
    told = await bank.damage()
    parts = (await bank.page("/v1/positions"))["partitions"]
    assert [(each.get("stale_since"), each.get("reason")) for each in parts] == [
        (bank.since, told["reason"]), (None, None),
    ]  # fmt: skip


async def test_the_metrics_say_it_of_that_partition_alone(bank: Damaged) -> None:
    name = "fanfold_projector_stale_since_seconds{"
    assert name not in (await bank.get("/metrics")).body.decode()
    await bank.damage()
    lines = [each for each in (await bank.get("/metrics")).body.decode().splitlines() if each.startswith(name)]
    assert len(lines) == 1
    assert lines[0].startswith(f'{name}partition="0"}} ')
    assert float(lines[0].split()[1]) == bank.partitions.writers[0].state.chained.created_at_us / 1e6


async def test_a_partition_that_another_process_has_taken_over_is_told_by_that_one(bank: Damaged) -> None:
    await bank.damage()
    bank.projectors[0].elsewhere = True
    assert (await bank.page("/readyz"))["stale"] == []


async def test_a_log_of_which_nothing_could_be_read_is_of_1970(tmp_path: Path) -> None:
    side = Archive(tmp_path)
    await side.log.append(0, b"damaged")
    await side.start()
    for history in (each.history for each in side.projectors):
        assert history is not None
        await history.fill(side.log)
    [told] = (await side.page("/v1/accounts"))["stale"]
    assert (told["partition"], told["stale_since"]) == (0, "1970-01-01T00:00:00.000000Z")
    await side.stop()


async def test_nothing_of_a_block_that_fails_a_check_is_told_while_what_is_good_is_folded_again(
    bank: Damaged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check fails in the middle of a block: what it has changed by then is in memory, and lists are told from there."""
    projector, again = bank.projectors[0], asyncio.Event()
    fold_before = projector._fold_before

    async def later(sequence: int) -> PartitionFold:
        await again.wait()
        return await fold_before(sequence)

    monkeypatch.setattr(projector, "_fold_before", later)
    before = await bank.page("/v1/accounts?partitions=0")
    await bank.log.append(0, wrong_digest(bank.partitions.writers[0], bank.alice, bank.carol))
    while projector.stopped is None:
        await bank.timer.tick()
    targets = ("/v1/accounts?", "/v1/transfers?", f"/v1/accounts/{bank.alice}/holds?", f"/v1/transfers/{uuid.uuid4()}?")
    for target in targets:
        reply = await ask(bank.app(), "GET", target)
        assert (reply.status, reply.code) == (503, "partition_unavailable"), target
        assert reply.document["reason"] == projector.stopped
    alice = (await ask(bank.app(), "GET", f"/v1/accounts/{bank.alice}")).document
    assert (alice["posted"], "stale_since" in alice) == ("100", True), "a balance is told from the view"
    again.set()
    while (await ask(bank.app(), "GET", "/v1/accounts")).status != 200:
        await bank.timer.tick()
    page = (await ask(bank.app(), "GET", "/v1/accounts?partitions=0")).document
    told = [{name: value for name, value in each.items() if name != "stale_since"} for each in page["accounts"]]
    assert told == before["accounts"]
    assert page["positions"] == before["positions"]
