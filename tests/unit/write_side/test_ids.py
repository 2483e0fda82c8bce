"""One id, one command, one answer: whatever became of what it was about, wherever a changed body would have been decided."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from prometheus_client import CollectorRegistry

from tests.unit.write_side.deciding import NOON_US, id_at, timeless_id
from tests.unit.write_side.running import RunningPartition
from tests.unit.write_side.two_partitions import TwoPartitions, account, transfer_id
from write_side.contract.log.log_memory import MemoryRecords
from write_side.contract.state.fold_ids import forget_before, id_words
from write_side.contract.state.hash_index import find_row
from write_side.contract.state.ids import WINDOW_US, IdRow, IdTable, put_id, split_id
from write_side.contract.tell.answers import Answer
from write_side.contract.words.atoms import format_transfer_id
from write_side.contract.words.times import format_time
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, Hold, Leg, Mode, OpenAccount, Transfer
from write_side.owner.id_window import id_window, told_ready
from write_side.owner.partition import Standing
from write_side.owner.writer import WriterLimits
from write_side.settings import WriteSettings
from write_side.wiring import WriteSide, open_log, open_queue

DAY_US = 24 * 3_600_000_000
ALICE, BOB = account(1, "alice"), account(1, "bob")
NEAR, OTHER = account(0, "near"), account(1, "other")
KEY = format_transfer_id(timeless_id(500))


async def opened(bank: TwoPartitions) -> None:
    for name in (ALICE, BOB, NEAR, OTHER):
        await bank.done("PUT", f"/v1/accounts/{name}", {"asset": "USD/2", "floor": "-1000"})


def paid(id: str, giver: str, receiver: str, amount: int = 5) -> dict[str, Any]:
    return {"id": id, "from": giver, "to": receiver, "amount": str(amount), "asset": "USD/2"}


def posted(bank: TwoPartitions, name: str) -> int:
    for partition in bank.states:
        number = partition.number_of(name)
        if number is not None:
            return int(partition.posted[number])
    raise AssertionError(name)


async def later_elsewhere(bank: TwoPartitions) -> None:
    """The other partition has forgotten more than the one of Alice and Bob."""
    bank.clock.pass_us(DAY_US // 12)
    await bank.done("POST", "/v1/transfers", paid(format_transfer_id(timeless_id(8)), NEAR, "@world"))
    near, far = bank.states
    assert near.chained.refuse_ids_before_us > far.chained.refuse_ids_before_us


# A command's own id comes before what it is about.


@pytest.mark.parametrize(("what", "result"), [("capture", "done"), ("void", "voided")])
async def test_a_repeat_gets_its_first_answer_when_its_hold_is_over_and_forgotten(what: str, result: str) -> None:
    async with TwoPartitions() as bank:
        await opened(bank)
        await bank.done("POST", "/v1/holds", paid(transfer_id(1), ALICE, BOB))
        bank.clock.pass_us(9 * DAY_US)
        path = f"/v1/holds/{transfer_id(1)}/{what}"
        first = await bank.done("POST", path, {"id": KEY})
        assert first["result"] == result
        await later_elsewhere(bank)
        again = await bank.ask("POST", path, {"id": KEY})
        assert (again.status, again.document) == (201, first | {"repeated": True})
        dry = await bank.ask("POST", path, {"id": KEY, "dry_run": True})
        assert (dry.status, dry.document) == (201, first | {"dry_run": True, "repeated": True})


async def test_a_repeated_reversal_gets_its_first_answer_when_its_original_is_forgotten() -> None:
    async with TwoPartitions() as bank:
        await opened(bank)
        await bank.done("POST", "/v1/transfers", paid(transfer_id(1), ALICE, BOB))
        bank.clock.pass_us(6 * DAY_US)
        path = f"/v1/transfers/{transfer_id(1)}/reverse"
        first = await bank.done("POST", path, {"id": KEY})
        bank.clock.pass_us(3 * DAY_US)
        await bank.done("POST", "/v1/transfers", paid(format_transfer_id(timeless_id(9)), ALICE, BOB))
        await later_elsewhere(bank)
        again = await bank.ask("POST", path, {"id": KEY})
        assert (again.status, again.document) == (201, first | {"repeated": True})


async def test_a_capture_too_old_to_be_known_anywhere_is_not_told_that_nothing_moved() -> None:
    async with TwoPartitions(limits=WriterLimits(ids_max=10)) as bank:
        await opened(bank)
        await bank.done("POST", "/v1/holds", paid(transfer_id(1), ALICE, BOB))
        path = f"/v1/holds/{transfer_id(1)}/capture"
        await bank.done("POST", path, {"id": transfer_id(2)})
        # Only the partition that ran it has forgotten it, for want of room.
        bank.clock.pass_us(DAY_US)
        later = [id_at(NOON_US + DAY_US - 60_000_000 + n * 1_000_000, n) for n in range(40)]
        await bank.intake.submit([Transfer(id, ALICE, "@world", 1, "USD/2") for id in later])
        again = await bank.ask("POST", path, {"id": transfer_id(2)})
        assert (again.status, again.code) == (422, "id_expired")
        cut_off_us = max(state.chained.refuse_ids_before_us for state in bank.states)
        assert again.document["remembered_from"] == format_time(cut_off_us)
        assert "may have moved" in again.document["detail"]


# The same id with another first giver.


async def test_an_id_that_ran_in_another_partition_is_refused_and_moves_nothing() -> None:
    async with TwoPartitions() as bank:
        await opened(bank)
        first = await bank.done("POST", "/v1/transfers", paid(KEY, ALICE, BOB))
        changed = paid(KEY, NEAR, BOB)
        for body in (changed, changed | {"dry_run": True}):
            reply = await bank.ask("POST", "/v1/transfers", body)
            assert (reply.status, reply.code) == (422, "id_reused_with_other_content")
            assert (reply.document["id"], reply.document["position"]) == (KEY, first["position"])
        hold = await bank.ask("POST", "/v1/holds", changed)
        assert hold.code == "id_reused_with_other_content"
        freeze = await bank.ask("PATCH", f"/v1/accounts/{NEAR}", {"id": KEY, "debit": "frozen"})
        assert freeze.code == "id_reused_with_other_content"
        assert (posted(bank, NEAR), posted(bank, ALICE)) == (0, -5)
        again = await bank.ask("POST", "/v1/transfers", paid(KEY, ALICE, BOB))
        assert (again.status, again.document) == (201, first | {"repeated": True})


@pytest.mark.parametrize("as_columns", [False, True])
async def test_an_id_that_another_partition_may_have_run_and_forgotten_is_too_old_everywhere(as_columns: bool) -> None:
    async with TwoPartitions(limits=WriterLimits(ids_max=10)) as bank:
        await opened(bank)
        first = Transfer(id_at(NOON_US, 1), ALICE, "@world", 1, "USD/2")
        at_home = Transfer(id_at(NOON_US, 2), NEAR, "@world", 1, "USD/2")
        before = await bank.intake.submit([first, at_home])
        bank.clock.pass_us(DAY_US)
        later = [id_at(NOON_US + DAY_US - 60_000_000 + n * 1_000_000, n) for n in range(40)]
        await bank.intake.submit([Transfer(id, ALICE, "@world", 1, "USD/2") for id in later])
        assert bank.states[1].find_transfer(first.id) is None
        changed = first._replace(debit=NEAR)
        if as_columns:
            told = (
                await bank.intake.submit_batch(CommandBatch.of([changed, at_home]), Mode.CONTINUE, None)
            ).code.tolist()
            assert told == ["id_expired", "done"]
        else:
            told, again = await bank.intake.submit([changed, at_home])
            assert (told.status, told.document["code"]) == (422, "id_expired")
            assert told.document["remembered_from"] == format_time(bank.states[1].chained.refuse_ids_before_us)
            assert again == before[1].again()
        assert posted(bank, NEAR) == -1


@pytest.mark.parametrize("as_columns", [False, True])
@pytest.mark.parametrize(
    ("mode", "codes", "moved"),
    [
        (Mode.CONTINUE, ["done", "id_reused_with_other_content", "done"], -2),
        (Mode.STOP, ["done", "id_reused_with_other_content", "not_run"], -1),
        (Mode.ATOMIC, ["batch_refused", "id_reused_with_other_content", "batch_refused"], 0),
    ],
)
async def test_a_line_whose_id_ran_in_another_partition_is_a_refusal_of_its_batch(
    mode: Mode, codes: list[str], moved: int, as_columns: bool
) -> None:
    async with TwoPartitions() as bank:
        await opened(bank)
        used = timeless_id(500)
        await bank.done("POST", "/v1/transfers", paid(KEY, ALICE, BOB))
        lines = [Transfer(id, NEAR, "@world", 1, "USD/2") for id in (id_at(NOON_US, 7), used, id_at(NOON_US, 8))]
        if as_columns:
            told = (await bank.intake.submit_batch(CommandBatch.of(lines), mode, None)).code.tolist()
        else:
            told = [str(a.document.get("code", "done")) for a in await bank.intake.submit(lines, mode)]
        assert told == codes
        assert posted(bank, NEAR) == moved


@pytest.mark.parametrize("as_columns", [False, True])
async def test_two_lines_of_one_request_with_one_id_and_other_first_givers_run_once(as_columns: bool) -> None:
    async with TwoPartitions() as bank:
        await opened(bank)
        lines = [Transfer(id_at(NOON_US, 7), giver, "@world", 1, "USD/2") for giver in (NEAR, ALICE)]
        if as_columns:
            told = (await bank.intake.submit_batch(CommandBatch.of(lines), Mode.CONTINUE, None)).code.tolist()
        else:
            told = [str(a.document.get("code", "done")) for a in await bank.intake.submit(lines)]
        assert told == ["done", "id_reused_with_other_content"]
        assert (posted(bank, NEAR), posted(bank, ALICE)) == (-1, 0)


async def test_a_line_that_ran_before_keeps_its_outcome_in_an_atomic_batch_that_is_refused() -> None:
    async with TwoPartitions() as bank:
        await opened(bank)
        await bank.done("POST", "/v1/transfers", paid(KEY, ALICE, BOB))
        before = Transfer(id_at(NOON_US, 7), NEAR, "@world", 1, "USD/2")
        [first] = await bank.intake.submit([before])
        told = await bank.intake.submit([before, before._replace(id=timeless_id(500))], Mode.ATOMIC)
        assert told[0] == first.again()
        assert told[1].document["code"] == "id_reused_with_other_content"


# One spelling of an asset.


@pytest.mark.parametrize("asset", ["USD/02", "ETH/18", "ETH/16"])
async def test_an_asset_that_no_account_has_is_refused_unless_it_is_written_as_now(asset: str) -> None:
    async with RunningPartition(MemoryRecords(1)) as process:
        await process.submit(OpenAccount("alice", "USD/2", 0, ""))
        legs = (Leg("@world", -5, asset), Leg("alice", 5, asset))
        commands: list[Command] = [
            OpenAccount("bob", asset, 0, ""),
            Transfer(id_at(NOON_US, 1), "@world", "alice", 5, asset),
            Hold(id_at(NOON_US, 2), legs),
        ]
        before = len(process.accepted)
        for answer in await process.submit(*commands):
            assert (answer.status, answer.document["code"]) == (400, "asset_malformed")
        told = await process.intake.submit_batch(CommandBatch.of(commands[1:2]), Mode.CONTINUE, None)
        assert told.code.tolist() == ["asset_malformed"]
        dry = await process.intake.dry_run(commands[1])
        assert (dry.status, dry.document["dry_run"]) == (400, True)
        assert len(process.accepted) == before


async def test_accounts_that_a_log_has_of_an_asset_written_otherwise_stay_usable() -> None:
    async with RunningPartition(MemoryRecords(1)) as process:
        # Behind the door, as what an earlier version let in: the next command is answered after it.
        await process.queue.append(0, CommandBatch.of([OpenAccount("alice", "ETH/18", 0, "")]))
        await process.submit(OpenAccount("carol", "USD/2", 0, ""))
        told = await process.submit(
            OpenAccount("alice", "ETH/18", 0, ""),
            OpenAccount("bob", "ETH/18", 0, ""),
            Transfer(id_at(NOON_US, 1), "@world", "bob", 5, "ETH/18"),
        )
        assert [answer.status for answer in told] == [200, 201, 201]


def forget_keys(bank: TwoPartitions, partition: int) -> None:
    """As a writer does that finds them again, in a process of before; nothing finds them here."""
    state = bank.states[partition]
    forget_before(state, state.chained.refuse_ids_before_us, state.chained.created_at_us + 1)


@pytest.mark.parametrize("as_columns", [False, True])
async def test_no_key_runs_anywhere_that_some_partition_may_have_forgotten_before_its_days_were_over(
    as_columns: bool,
) -> None:
    async with TwoPartitions() as bank:
        await opened(bank)
        await bank.done("POST", "/v1/transfers", paid(KEY, ALICE, BOB))
        kept = await bank.done("POST", "/v1/transfers", paid(format_transfer_id(timeless_id(501)), NEAR, "@world"))
        forget_keys(bank, 1)
        if as_columns:
            changed = Transfer(timeless_id(500), NEAR, "@world", 5, "USD/2")
            told = await bank.intake.submit_batch(CommandBatch.of([changed]), Mode.CONTINUE, None)
            assert told.code.tolist() == ["id_memory_full"]
        else:
            for body in (
                paid(KEY, NEAR, "@world"),
                paid(KEY, ALICE, BOB),
                paid(format_transfer_id(timeless_id(7)), NEAR, BOB),
            ):
                reply = await bank.ask("POST", "/v1/transfers", body)
                assert (reply.status, reply.code) == (503, "id_memory_full")
        assert (posted(bank, NEAR), posted(bank, ALICE)) == (-5, -5)
        again = await bank.ask("POST", "/v1/transfers", paid(kept["id"], NEAR, "@world"))
        assert (again.status, again.document) == (201, kept | {"repeated": True}), "what is remembered is told"
        timed = paid(format_transfer_id(id_at(bank.clock.wall_us(), 9)), NEAR, "@world")
        assert (await bank.ask("POST", "/v1/transfers", timed)).status == 201
        bank.clock.pass_us(WINDOW_US + 3_600_000_000)
        assert (
            await bank.ask("POST", "/v1/transfers", paid(format_transfer_id(timeless_id(7)), NEAR, "@world"))
        ).status == 201


@pytest.mark.parametrize("way", ["values", "columns", "plain"])
async def test_no_key_runs_again_in_a_log_of_one_partition_that_may_have_forgotten_it(way: str) -> None:
    async with RunningPartition(MemoryRecords(1)) as process:
        await process.submit(OpenAccount("alice", "USD/2", 0, ""))
        deposit = Transfer(timeless_id(1), "@world", "alice", 5, "USD/2")
        assert [answer.status for answer in await process.submit(deposit)] == [201]
        state = process.writer.state
        forget_before(state, state.chained.refuse_ids_before_us, state.chained.created_at_us + 1)
        batch = CommandBatch.of([deposit])
        if way == "columns":
            code = (await process.intake.submit_batch(batch, Mode.CONTINUE, None)).code[0]
        elif way == "plain":
            [answer] = await process.intake.submit_plain(batch, None)
            code = answer.document["code"] if isinstance(answer, Answer) else "done"
        else:
            code = (await process.submit(deposit))[0].document.get("code", "done")
        assert code == "id_memory_full"
        number = state.number_of("alice")
        assert number is not None
        assert state.posted[number] == 5


@pytest.mark.parametrize("what", ["reverse", "capture", "void"])
async def test_nobody_is_told_that_nothing_moved_under_a_key_that_may_be_forgotten(what: str) -> None:
    async with TwoPartitions() as bank:
        await opened(bank)
        made = "transfers" if what == "reverse" else "holds"
        await bank.done("POST", f"/v1/{made}", paid(transfer_id(1), ALICE, BOB))
        path = f"/v1/{made}/{transfer_id(1)}/{what}"
        await bank.done("POST", path, {"id": KEY})
        before = posted(bank, ALICE)
        forget_keys(bank, 1)
        again = await bank.ask("POST", path, {"id": KEY})
        assert (again.status, again.code) == (503, "id_memory_full")
        assert posted(bank, ALICE) == before


# How long ids are remembered.


async def test_a_full_memory_for_ids_without_a_time_is_told_as_503_by_answers_and_dry_runs() -> None:
    limits = WriterLimits(ids_max=10)
    async with RunningPartition(MemoryRecords(1), limits=limits) as process:
        await process.submit(OpenAccount("alice", "USD/2", 0, ""))
        deposits = [Transfer(timeless_id(n), "@world", "alice", 1, "USD/2") for n in range(12)]
        assert [answer.status for answer in await process.submit(*deposits)] == [201] * 10 + [503] * 2
        [told] = await process.submit(deposits[11])
        assert told.document["code"] == "id_memory_full"
        assert "FANFOLD_IDS_MAX" in str(told.document["detail"])
        assert "keeps this answer" not in str(told.document["detail"])
        dry = await process.intake.dry_run(deposits[11])
        assert (dry.status, dry.document["code"]) == (503, "id_memory_full")
        assert id_window(process.writer.state, 10) == (WINDOW_US // 1_000_000, 10, 0)
        process.clock.pass_us(WINDOW_US + 3_600_000_000 + 1)
        assert (await process.intake.dry_run(deposits[11])).status == 201
        assert (await process.submit(deposits[11]))[0].status == 201
        assert id_window(process.writer.state, 10).timeless_room == 9


async def test_ids_made_to_go_shorten_the_window_that_is_told() -> None:
    async with RunningPartition(MemoryRecords(1), limits=WriterLimits(ids_max=10)) as process:
        await process.submit(OpenAccount("alice", "USD/2", 0, ""))
        times = [NOON_US - 60_000_000 + n * 1_000_000 for n in range(40)]
        await process.submit(*(Transfer(id_at(at, 1), "@world", "alice", 1, "USD/2") for at in times))
        ready = told_ready([process.writer.state], 10, for_ever=False)["ids"]
        assert isinstance(ready, dict)
        assert ready["window_seconds"] < 60
        assert (ready["timeless_window_seconds"], ready["timeless_room"]) == (604_800, 10)


def seen(table: IdTable, ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(ids), np.bool_)
    table.note_seen(ids, found)
    return found


def test_ids_are_seen_at_every_size_and_whatever_is_written_meanwhile() -> None:
    table, known = IdTable(), [timeless_id(n) for n in range(5_000)]
    for n, id16 in enumerate(known):
        table.reserve(1)
        a, b = split_id(id16)
        place = find_row(table.rows, table.slots, table.secret, a, b)
        put_id(table.arrays, np.zeros(2, np.uint64), place, n, IdRow(a, b, a, b, n, 1, 0, 0))
        table.used += 1
        table.count += 1
    asked = id_words(np.frombuffer(b"".join([*known, *(timeless_id(n) for n in range(5_000, 6_000))]), np.uint8))
    assert seen(table, asked).tolist() == [True] * 5_000 + [False] * 1_000
    table.rows = table.rows[:100]  # as one that was looked at before the table grew
    assert seen(table, asked).tolist() == [True] * 100 + [False] * 5_900
    table.slots[:] = np.uint64(1) << np.uint64(63)  # and one without a free slot left
    assert not seen(table, asked).any()


async def test_a_partition_that_does_not_serve_has_no_window_and_makes_none_of_the_others_0(tmp_path: Path) -> None:
    settings = WriteSettings(log=f"file:{tmp_path}/data", partitions=2, snapshots="off")
    for damaged in (False, False, True):  # each start appends a block
        [segment] = (tmp_path / "data" / "log" / "p00000").glob("*.segment") if damaged else [None]
        if segment is not None:
            whole = bytearray(segment.read_bytes())
            whole[20] ^= 1
            segment.write_bytes(whole)
        registry = CollectorRegistry()
        log = await open_log(settings, writing=True)
        queue = await open_queue(settings, log)
        side = WriteSide(settings, log, queue, registry)
        await side.start()
        told = side._told_ready()["ids"]
        assert isinstance(told, dict)
        measured = {
            sample.labels["partition"]
            for metric in registry.collect()
            for sample in metric.samples
            if sample.name in ("fanfold_id_window_seconds", "fanfold_writer_accounts")
        }
        if damaged:
            assert (told["window_seconds"], measured) == (WINDOW_US // 1_000_000, {"1"})
            assert side.partitions[0].standing is Standing.STOPPED
        else:
            assert (told["window_seconds"], measured) == (WINDOW_US // 1_000_000, {"0", "1"})
        await side.drain()
        side._keeping.cancel() if side._keeping is not None else None
        await log.close()
