"""Whatever receivers and crashes do: every wanted change is delivered at least once, and those of an account in order."""

from __future__ import annotations

import asyncio
import json
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from fanfold.api.values import adapter
from fanfold.api.webhooks import BODY_BYTES_MAX, BalancesWebhook, webhook_schema
from read_side.webhooks import file_calls, source
from read_side.webhooks.database import HooksUnavailable
from read_side.webhooks.delivery import Answer, Lane
from read_side.webhooks.file_calls import FileCalls
from read_side.webhooks.hooks import Wants
from read_side.webhooks.kept_hooks import KeptHooks, Stored
from read_side.webhooks.source import Source
from read_side.whole_log.event_place import LAST, Place
from tests.unit.read_side.block_maker import opened
from tests.unit.read_side.webhooks.webhook_stage import BROKEN, LIMIT_S, TAKEN, Receivers, Stage, hook


async def test_what_is_wanted_is_delivered_in_order_with_position_and_hash(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.open()
    await stage.move(blocks=3)
    await stage.fold()
    one = stage.names(0)[0]
    stage.keep(hook(wants=Wants(account=one)))
    async with stage.delivering():
        await stage.until(lambda: stage.all_taken([one]))
        await stage.move()
        await stage.fold()
        await stage.until(lambda: stage.all_taken([one]))
    assert stage.receiver.versions(one) == list(range(stage.version(one) + 1))
    assert {change["account"] for body in stage.receiver.bodies for change in body["data"]["changes"]} == {one}
    data = stage.receiver.bodies[-1]["data"]
    assert data["position"] == "0:5"
    assert data["block_hash"] == stage.followed[0].fold.state.chained.block_hash.hex()
    state, number = stage.followed[0].fold.state, stage.followed[0].fold.state.number_of(one)
    last = data["changes"][-1]
    assert (last["posted"], last["held"]) == (str(state.posted[number]), "0")
    assert last["available"] == str(int(state.posted[number]) - int(state.floor[number]))


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_is_lost_and_nothing_comes_early_whatever_fails_and_is_killed(tmp_path: Path, seed: int) -> None:
    stage = Stage(tmp_path, 2, seed)
    chance = stage.chance
    await stage.open()
    await stage.fold()
    one = stage.names(1)[0]
    stage.keep(hook("wh_all"), hook("wh_one", Wants(account=one)))

    def answers(body: dict[str, Any]) -> Answer:
        if chance.random() < 0.3:
            return chance.choice([BROKEN, Answer(None, "did not answer"), Answer(302), Answer(429, retry_after_s=1e9)])
        return TAKEN

    stage.send = receivers = Receivers(answers)
    for _ in range(6):
        async with stage.delivering():
            for _ in range(chance.randint(1, 4)):
                await stage.move(chance.randrange(2), blocks=chance.randint(1, 3), transfers=chance.randint(1, 400))
                await stage.fold()
                for _ in range(chance.randint(0, 300)):
                    await asyncio.sleep(0)
    async with stage.delivering():
        await stage.until(lambda: receivers.have_all(stage, {"wh_all": stage.accounts(), "wh_one": [one]}))
    assert len(set(receivers.of["wh_all"].message_ids)) <= len(receivers.of["wh_all"].message_ids)


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    """Some blocks of one partition."""
    stage = Stage(tmp_path)
    await stage.open()
    await stage.move(blocks=3)
    await stage.fold()
    return stage


async def test_a_lane_that_is_far_behind_reads_for_itself_and_joins_the_others(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "RECENT_EVENTS_MAX", 50)
    monkeypatch.setattr(source, "RECORD_BYTES_AT_ONCE", 2_000)
    await stage.move(blocks=60, transfers=5)
    await stage.fold()
    stage.keep(hook())
    async with stage.delivering():
        await stage.until(lambda: stage.all_taken(stage.accounts()))
        for _ in range(5):
            await stage.move(transfers=40)
            await stage.fold()
            await stage.until(lambda: stage.all_taken(stage.accounts()))
    one = stage.names(0)[0]
    assert stage.receiver.versions(one) == list(range(stage.version(one) + 1)), "and nothing twice"


async def test_what_was_given_up_is_a_dead_letter_that_a_person_has_tried_again(stage: Stage) -> None:
    failing = True
    stage.receiver.answers = lambda body: BROKEN if failing else TAKEN
    stage.keep(hook(attempts=3))
    async with stage.delivering() as deliverer:
        await stage.until(lambda: deliverer.letters.get("wh_1") == 1)
        [letter] = stage.change(lambda kept: kept.dead("wh_1"))
        assert (letter.error, len(stage.receiver.bodies)) == ("answered 500", 3)
        assert len(set(stage.receiver.message_ids)) == 1, "the same delivery each time"
        for name in stage.accounts():
            stage.receiver.given_up[name] |= set(stage.receiver.versions(name))
        stage.receiver.given_up["@world:USD/2/0"] |= set(range(100))
        failing = False
        await stage.move()
        await stage.fold()
        await stage.until(lambda: stage.all_taken(stage.accounts()))
        before = len(stage.receiver.bodies)
        stage.change(lambda kept: kept.retry("wh_1", None))
        await stage.until(lambda: not stage.change(lambda kept: kept.dead("wh_1")))
    assert stage.receiver.bodies[before:] == stage.receiver.bodies[:1]


async def test_gone_pauses_and_a_resume_goes_on_where_it_was(stage: Stage) -> None:
    answer = Answer(410)
    stage.receiver.answers = lambda body: answer
    stage.keep(hook())
    async with stage.delivering():
        await stage.until(lambda: stage.change(lambda kept: kept.hooks(0))[0].paused is not None)
        await stage.move()
        await stage.fold()
        for _ in range(500):
            await asyncio.sleep(0)
        assert len(stage.receiver.bodies) == 1
        answer = TAKEN
        stage.change(lambda kept: kept.resume("wh_1"))
        await stage.until(lambda: stage.all_taken(stage.accounts()))


async def test_a_receiver_that_never_answers_keeps_no_other_webhook_back(stage: Stage) -> None:
    other = stage.receiver

    async def send(url: str, private: bool, headers: dict[str, str], body: bytes) -> Answer:
        if headers["webhook-id"].startswith("msg_wh_dead_"):
            await asyncio.Event().wait()
        return await other(url, private, headers, body)

    stage.send = send
    stage.keep(*(hook(f"wh_dead_{n}") for n in range(5)), hook("wh_well"))
    async with stage.delivering() as deliverer:
        for _ in range(3):
            await stage.move()
            await stage.fold()
            await stage.until(lambda: stage.all_taken(stage.accounts()))
        await stage.until(lambda: deliverer.behind("wh_well") == 0)
        assert deliverer.behind("wh_dead_0") == stage.followed[0].position() + 1


async def test_a_webhook_begins_behind_the_blocks_of_before_its_time(stage: Stage) -> None:
    at_us = stage.makers[0].now_us + 1
    await stage.move()
    await stage.fold()
    one = stage.names(0)[0]
    stage.receiver.given_up[one] = set(range(stage.version(one) - 2))
    stage.keep(hook(wants=Wants(account=one), begin_at_us=at_us))
    async with stage.delivering():
        await stage.until(lambda: stage.all_taken([one]))
    newest = stage.version(one)
    assert stage.receiver.versions(one) == [newest - 2, newest - 1, newest]


async def test_a_place_of_another_log_is_told_and_nothing_is_sent_until_a_person_says_where_to_go_on(
    stage: Stage,
) -> None:
    told = hook()
    stage.keep(told)
    stage.change(lambda kept: kept.store([Stored(told, 0, Lane(Place(2, LAST, LAST), b"x" * 32))]))
    async with stage.delivering():
        await stage.until(lambda: "another log" in stage.lane().error)
        assert not stage.receiver.bodies
        stage.change(lambda kept: kept.replay("wh_1", {0: 0}, 0))
        await stage.until(lambda: stage.all_taken(stage.accounts()))


async def test_while_a_partition_is_not_followed_here_nothing_of_it_is_sent(stage: Stage) -> None:
    stage.followed[0].refused = "its log is damaged"
    stage.keep(hook())
    async with stage.delivering() as deliverer:
        for _ in range(300):
            await asyncio.sleep(0)
        assert not stage.receiver.bodies
        assert not deliverer.behind("wh_1"), "it has no place yet"
        stage.followed[0].refused = None
        await stage.until(lambda: stage.all_taken(stage.accounts()) and deliverer.behind("wh_1") == 0)
        stage.followed[0].refused = "its log is damaged"
        await stage.move()
        await stage.fold()
        assert deliverer.behind("wh_1") == 1


async def test_a_second_process_waits_until_the_first_has_ended(stage: Stage) -> None:
    stage.keep(hook())
    async with stage.delivering() as second_waits:
        await stage.until(lambda: stage.all_taken(stage.accounts()))
        second = stage.deliverer()
        task = asyncio.create_task(second.run())
        await stage.until(lambda: second.degraded() != [])
        assert second_waits.degraded() == []
        await stage.move()
        await stage.fold()
        await stage.until(lambda: stage.all_taken(stage.accounts()))
        assert second.hooks == {}
    try:
        await stage.move()
        await stage.fold()
        async with asyncio.timeout(LIMIT_S):
            await stage.until(lambda: stage.all_taken(stage.accounts()) and second.degraded() == [])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_file_that_cannot_be_used_for_a_while_loses_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.keep(hook())
    plain, failures = KeptHooks.store, 0

    def fails(self: KeptHooks, *given: Any) -> list[bool]:
        nonlocal failures
        if failures < 4:
            failures += 1
            raise HooksUnavailable("the disk is full")
        return plain(self, *given)

    monkeypatch.setattr(KeptHooks, "store", fails)
    async with stage.delivering():
        await stage.until(lambda: stage.all_taken(stage.accounts()))
    assert failures == 4


async def test_every_body_is_as_it_is_declared_and_within_its_bounds(stage: Stage) -> None:
    await stage.move(transfers=900)
    await stage.fold()
    stage.keep(hook())
    bodies: list[bytes] = []
    receiver = stage.receiver

    async def send(url: str, private: bool, headers: dict[str, str], body: bytes) -> Answer:
        bodies.append(body)
        return await receiver(url, private, headers, body)

    stage.send = send
    async with stage.delivering():
        await stage.until(lambda: stage.all_taken(stage.accounts()))
    check = Draft202012Validator(webhook_schema())
    for body in bodies:
        assert len(body) <= BODY_BYTES_MAX
        told = adapter(BalancesWebhook).validate_json(body)
        assert told.data.position == told.data.changes[-1].position
        check.validate(json.loads(body))


async def test_a_delivery_that_failed_is_the_same_one_after_a_crash_though_there_is_more_now(stage: Stage) -> None:
    stage.receiver.answers = lambda body: BROKEN if len(stage.receiver.bodies) < 3 else TAKEN
    stage.keep(hook())
    async with stage.delivering():
        await stage.until(lambda: stage.lane().failures >= 1)
    tried = len(stage.receiver.bodies)
    await stage.move(blocks=3)
    await stage.fold()
    async with stage.delivering():
        await stage.until(lambda: stage.all_taken(stage.accounts()))
    assert stage.receiver.bodies[tried] == stage.receiver.bodies[0]
    assert stage.receiver.message_ids[tried] == stage.receiver.message_ids[0]


async def test_what_was_trimmed_away_is_told_with_how_to_go_on_and_the_rest_is_delivered_then(stage: Stage) -> None:
    await stage.move(blocks=3)
    await stage.fold()
    begin = await stage.log.trim(0, stage.followed[0].fold.replay.offsets.nearest(4)[1])
    one = stage.names(0)[0]
    stage.keep(hook(wants=Wants(account=one)))
    async with stage.delivering():
        await stage.until(lambda: "--from" in stage.lane().error)
        assert f"from 0:0 to 0:{begin - 1}" in stage.lane().error
        assert f"fanfold webhook replay wh_1 --from 0:{begin}`" in stage.lane().error
        stage.receiver.given_up[one] = set(range(stage.version(one) - 2))
        stage.change(lambda kept: kept.replay("wh_1", {0: stage.followed[0].position()}, 0))
        await stage.until(lambda: stage.all_taken([one]))


async def test_a_place_before_the_beginning_of_a_trimmed_log_goes_on_where_nothing_is_missing(
    stage: Stage,
) -> None:
    """Place 3 and beginning 4: all that is to be delivered is there, and its hash is the one that block 4 names."""
    await stage.move(blocks=6)
    await stage.fold()
    told = hook(wants=Wants(account=(one := stage.names(0)[0])))
    stage.keep(told)
    stage.receiver.given_up[one] = set(range(stage.version(one)))
    hashes = [await Source(stage.log, stage.followed[0], asyncio.Semaphore(1)).block_hash(at) for at in (2, 3)]
    begin = await stage.log.trim(0, stage.followed[0].fold.replay.offsets.nearest(4)[1])
    end = Place(stage.followed[0].position(), LAST, LAST)
    for place, block_hash, goes_on in (
        (3, hashes[1], True),
        (3, b"", True),
        (3, hashes[0], False),
        (2, hashes[0], False),
    ):
        lane = Lane(Place(place, LAST, LAST), block_hash)
        stage.change(partial(KeptHooks.store, several=[Stored(told, 0, lane)]))
        async with stage.delivering():
            await stage.until(lambda: stage.lane().place == end or "--from" in stage.lane().error)
        assert (stage.lane().place == end) is goes_on, (place, stage.lane().error)
    assert f"from 0:3 to 0:{begin - 1}" in stage.lane().error, "of the last one a block is missing"


async def test_a_failed_delivery_behind_many_blocks_that_nobody_wants_is_found_again_however_they_are_cut(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "RECORD_BYTES_AT_ONCE", 2_000)
    for number in range(40):
        await stage.makers[0].append(opened(f"other-{number}"))
    await stage.makers[0].append(opened("wanted-1"))
    await stage.makers[0].append(opened("wanted-2"))
    await stage.fold()
    stage.receiver.answers = lambda body: BROKEN if len(stage.receiver.bodies) < 2 else TAKEN
    told = hook(wants=Wants(prefix="wanted-"))
    stage.keep(told)
    until = Place(stage.followed[0].position(), 0, 0)
    stage.change(
        lambda kept: kept.store([Stored(told, 0, Lane(Place(3, LAST, LAST), b"", until, 1, stage.now_us, 1, "x"))])
    )
    async with stage.delivering():
        await stage.until(lambda: stage.all_taken(["wanted-1", "wanted-2"]))
        await stage.until(lambda: stage.receiver.versions("wanted-2")[-1:] == [0])


async def test_a_file_that_was_taken_away_is_delivered_from_no_more_and_another_one_is(stage: Stage) -> None:
    stage.keep(hook())
    async with stage.delivering():
        await stage.until(lambda: stage.all_taken(stage.accounts()))
        stage.path.unlink()
        one = stage.names(0)[0]
        stage.keep(hook("wh_2", Wants(account=one)))
        before = len(stage.receiver.bodies)
        await stage.until(lambda: len(stage.receiver.bodies) > before)
        assert stage.receiver.bodies[-1]["data"]["webhook"] == "wh_2"


async def test_a_time_that_was_trimmed_away_is_no_beginning_and_a_later_one_is(stage: Stage) -> None:
    await stage.move(blocks=3)
    await stage.fold()
    await stage.log.trim(0, stage.followed[0].fold.replay.offsets.nearest(4)[1])
    stage.keep(hook(begin_at_us=1))
    async with stage.delivering():
        await stage.until(lambda: "--from" in stage.lane().error)
        assert not stage.lane().begun
        assert not stage.receiver.bodies
        stage.change(partial(KeptHooks.replay, hook_id="wh_1", begins=None, begin_at_us=stage.makers[0].now_us + 1))
        end = Place(stage.followed[0].position(), LAST, LAST)
        await stage.until(lambda: stage.lane().place == end)
    assert not stage.receiver.bodies


@pytest.mark.parametrize("hangs", ["changes", "store", "opened"])
async def test_a_disk_that_hangs_under_the_file_holds_no_stop(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    monkeypatch.setattr(file_calls, "LAST_CALL_S", 0.05)
    entered, let_go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hanging(*_: Any) -> Any:
        loop.call_soon_threadsafe(entered.set)
        let_go.wait(LIMIT_S)
        raise HooksUnavailable("it answered too late")

    stage.keep(hook())
    monkeypatch.setattr(KeptHooks, hangs, hanging)
    delivering = asyncio.create_task(stage.deliverer().run())
    try:
        async with asyncio.timeout(LIMIT_S):
            await entered.wait()
            delivering.cancel()
            await asyncio.wait((delivering,))
        assert all(each.daemon for each in threading.enumerate() if each.name == file_calls.THREAD)
    finally:
        let_go.set()


@pytest.mark.parametrize("hangs", ["changes", "store", "opened"])
async def test_a_disk_that_hangs_under_the_file_is_told_until_it_answers(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    entered, let_go = asyncio.Event(), threading.Event()
    loop, answer = asyncio.get_running_loop(), getattr(KeptHooks, hangs)

    def hanging(*given: Any) -> Any:
        loop.call_soon_threadsafe(entered.set)
        let_go.wait(LIMIT_S)
        return answer(*given)

    stage.keep(hook())
    monkeypatch.setattr(KeptHooks, hangs, hanging)
    async with stage.delivering() as deliverer:
        try:
            await entered.wait()
            stage.now_us += int(file_calls.SILENT_S * 1e6) + 1
            [reason] = deliverer.degraded()
            assert reason.startswith("webhooks: the disk under")
        finally:
            let_go.set()
        await stage.until(lambda: deliverer.degraded() == [])


@pytest.mark.parametrize(("cancelled", "last_call_s"), [(1, 0.05), (2, LIMIT_S)])
async def test_a_file_that_is_left_to_a_call_is_used_by_no_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cancelled: int, last_call_s: float
) -> None:
    monkeypatch.setattr(file_calls, "LAST_CALL_S", last_call_s)
    entered, let_go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    file = FileCalls(tmp_path / "webhooks.db", asyncio.sleep, lambda _: None, lambda: 0)

    def hanging(kept: KeptHooks) -> None:
        loop.call_soon_threadsafe(entered.set)
        let_go.wait(LIMIT_S)

    async with asyncio.timeout(LIMIT_S):
        async with file.opened():
            asked = asyncio.create_task(file.call(hanging))
            await entered.wait()
            for _ in range(cancelled):
                asked.cancel()
                await asyncio.sleep(0)
            await asyncio.wait((asked,))
            with pytest.raises(HooksUnavailable, match="does not answer"):
                await file.call(KeptHooks.changes)
        let_go.set()
        async with file.opened():
            assert await file.call(KeptHooks.heads) == {}
