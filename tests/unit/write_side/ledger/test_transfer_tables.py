"""Every cell of the tables of transfers across partitions, with doubled messages and a crash before and after every append."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from blake3 import blake3

from tests.unit.write_side.deciding import NOON_US, id_at
from tests.unit.write_side.ledger.three_partitions import ALICE, BOB, CAROL, USD, ThreePartitions
from write_side.contract.state.pending_columns import CREDIT_BIT, STATE, TCC_BIT, Action, Phase, StepState
from write_side.contract.state.pending_rows import step_what
from write_side.contract.state.phase_plan import OPEN_PHASES, PLANS
from write_side.contract.state.state import word_hash
from write_side.contract.words.codes import Code, Flag, Kind
from write_side.ledger.across.coordinator import EVENTS, Event
from write_side.ledger.across.participant import EFFECTS, MOVES, Manner, Move
from write_side.ledger.commands.commands import Change, Command, Leg, LegsTransfer, Protocol
from write_side.ledger.commands.step_batch import StepBatch

ID = id_at(NOON_US, 1)
THREE_WAYS = (Leg(ALICE, -30, USD), Leg(BOB, 10, USD), Leg(CAROL, 20, USD))


def transfer(protocol: Protocol, legs: tuple[Leg, ...] = THREE_WAYS) -> LegsTransfer:
    return LegsTransfer(ID, tuple(sorted(legs)), protocol)


# The participant: bob's partition is asked for a step by the first one.


def step(action: Action, option: int, amount: int = 10) -> StepBatch:
    """A message of the first partition to bob's: step 1 of a transfer."""
    one = np.ones(1, np.int64)
    legs = 1 if action is Action.TRY else 0
    key = np.frombuffer(_key(BOB), np.uint8).reshape(1, 16)[:legs]
    asset = _asset_hash(USD)
    return StepBatch(
        kind=np.array([Kind.STEP], np.uint8), ids=np.frombuffer(ID, np.uint8).reshape(1, 16), home=0 * one, step=one,
        action=action * one, option=option * one, state=0 * one, code=0 * one, available=0 * one, sequence=0 * one,
        at_us=0 * one, begun=5 * one, low=5 * one, first_leg=np.array([0, legs]), key=key, asset=np.full(legs, asset),
        amount=np.full(legs, amount), if_version=np.full(legs, -1), if_available=np.full(legs, -(2**63)),
    )  # fmt: skip


def _key(name: str) -> bytes:
    return blake3(name.encode()).digest(16)


def _asset_hash(asset: str) -> int:
    return int(word_hash(asset).view(np.int64))


PATHS: dict[StepState, list[tuple[Action, int]]] = {
    StepState.NONE: [],
    StepState.HELD: [(Action.TRY, 10)],
    StepState.REJECTED: [(Action.TRY, 10**18)],
    StepState.DONE: [(Action.TRY, 10), (Action.CONFIRM, 10)],
    StepState.RELEASED: [(Action.TRY, 10), (Action.CANCEL, 10)],
    StepState.FENCED: [(Action.CANCEL, 10)],
}
AFTER = {
    Move.CONFIRM: StepState.DONE,
    Move.CANCEL: StepState.RELEASED,
    Move.FENCE: StepState.FENCED,
    Move.CHECK: StepState.HELD,
}


def step_state(world: ThreePartitions) -> StepState:
    table = world.partitions[1].state.pending
    row = table.find(ID, int(step_what(0, 1)))
    return StepState.NONE if row is None else StepState(table.rows[row, STATE])


@pytest.mark.parametrize(
    "option", [TCC_BIT, TCC_BIT | CREDIT_BIT, 0, CREDIT_BIT], ids=["hold", "pay", "debit", "credit"]
)
@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("state", StepState)
def test_a_participant_moves_as_its_table_says(state: StepState, action: Action, option: int) -> None:
    world = ThreePartitions()
    sign = 1 if option & CREDIT_BIT else -1
    for earlier, amount in PATHS[state]:
        world.take(1, step(earlier, option, sign * amount))
    assert step_state(world) is state
    before = (world.posted(BOB), world.held(BOB), world.partitions[1].state.digest_bytes())
    world.waiting.clear()

    block = world.take(1, step(action, option, sign * 10))

    move = MOVES[state][action]
    assert step_state(world) is AFTER.get(move, state)
    answers = [batch for partition, batch in world.waiting if partition == 0]
    assert len(answers) == (0 if move is Move.IGNORE else 1)
    assert all(int(answer.state[0]) == step_state(world) for answer in answers if isinstance(answer, StepBatch))
    if move in (Move.IGNORE, Move.REPEAT):
        assert block.outcomes["code"].tolist() == [Code.STALE]
        assert (world.posted(BOB), world.held(BOB), world.partitions[1].state.digest_bytes()) == before
    if move in (Move.CONFIRM, Move.CANCEL, Move.CHECK):
        manner = Manner.TCC_CREDIT if option & TCC_BIT else Manner.SAGA_CREDIT
        if sign < 0:
            manner = Manner.TCC_DEBIT if option & TCC_BIT else Manner.SAGA_DEBIT
        posted, held, _ = EFFECTS[manner, action].tolist()
        assert (world.posted(BOB) - before[0], world.held(BOB) - before[1]) == (10 * posted, 10 * held)
    # The same once more changes nothing.
    once = (step_state(world), world.partitions[1].state.digest_bytes())
    world.take(1, step(action, option, sign * 10))
    assert (step_state(world), world.partitions[1].state.digest_bytes()) == once
    world.check()


def test_no_cell_of_the_effects_makes_or_loses_money() -> None:
    assert not (EFFECTS[:, :, 0] + EFFECTS[:, :, 2]).any()
    # Taking back is always exactly what the try did; so what a cancel finds is what the try left.
    for manner in Manner:
        if manner is not Manner.SAGA_LAST_CREDIT:
            assert (EFFECTS[manner, Action.TRY] + EFFECTS[manner, Action.CANCEL] == 0).all()


# The coordinator: the first partition, brought into every phase by carrying only some of the messages.


def in_phase(phase: Phase) -> ThreePartitions:
    """A world in which the transfer `ID` waits in this phase."""
    world = ThreePartitions()
    legs, protocol = THREE_WAYS, Protocol.SAGA
    if phase in (Phase.TRYING, Phase.CAPTURING, Phase.PAYING, Phase.CANCELLING):
        protocol = Protocol.TCC
    if phase in (Phase.DEBITING, Phase.CAPTURING):
        legs = (Leg(ALICE, -10, USD), Leg(BOB, -10, USD), Leg(CAROL, 20, USD))
    if phase is Phase.CANCELLING:
        legs = (Leg(ALICE, -10, USD), Leg(BOB, -5_000, USD), Leg(CAROL, 5_010, USD))
    if phase is Phase.COMPENSATING:
        legs = (Leg(ALICE, -30, USD), Leg(BOB, 10, USD), Leg(CAROL, 20, USD, if_version=77))
    world.decide(0, [transfer(protocol, legs)])
    for _ in range(20):
        if world.phase(ID) is phase:
            return world
        to, batch = world.waiting.popleft()
        world.take(to, batch)
    raise AssertionError(f"{phase.name} is not reached")


def waited_for(world: ThreePartitions) -> tuple[int, StepBatch]:
    """The first message that the process waits for an answer to."""
    world.waiting.clear()
    world.ask_again()
    return next((p, batch) for p, batch in world.waiting if isinstance(batch, StepBatch) and p != 0)


def answer(to: StepBatch, partition: int, state: StepState) -> StepBatch:
    one = np.ones(1, np.int64)
    code = Code.INSUFFICIENT_AVAILABLE if state is StepState.REJECTED else Code.DONE
    none = np.empty(0, np.int64)
    return StepBatch(
        kind=np.array([Kind.ANSWER], np.uint8), ids=to.ids[:1], home=partition * one, step=to.step[:1], action=0 * one,
        option=0 * one, state=state * one, code=code * one, available=3 * one, sequence=7 * one, at_us=NOON_US * one,
        begun=0 * one, low=0 * one, first_leg=np.zeros(2, np.int64), key=np.empty((0, 16), np.uint8), asset=none,
        amount=none, if_version=none, if_available=none,
    )  # fmt: skip


@pytest.mark.parametrize("state", StepState)
@pytest.mark.parametrize("phase", OPEN_PHASES)
def test_a_coordinator_takes_an_answer_as_its_table_says(phase: Phase, state: StepState) -> None:
    world = in_phase(phase)
    partition, message = waited_for(world)
    before = world.partitions[0].state.digest_bytes()

    block = world.take(0, answer(message, partition, state))

    event = EVENTS[phase][state]
    if event is Event.IGNORE:
        assert block.outcomes["code"].tolist() == [Code.STALE]
        assert world.partitions[0].state.digest_bytes() == before
        assert world.phase(ID) is phase
        return
    assert block.outcomes["code"].tolist() != [Code.STALE]
    if event is Event.REFUSE:
        assert world.phase(ID) in (PLANS[phase].refused, None)
    # The same answer once more finds nobody who waits for it.
    once = world.partitions[0].state.digest_bytes()
    assert world.take(0, answer(message, partition, state)).outcomes["code"].tolist() == [Code.STALE]
    assert world.partitions[0].state.digest_bytes() == once


def test_an_answer_from_a_partition_that_was_not_asked_is_ignored() -> None:
    world = in_phase(Phase.TRYING)
    partition, message = waited_for(world)
    other = 3 - partition
    assert world.take(0, answer(message, other, StepState.HELD)).outcomes["code"].tolist() == [Code.STALE]


SCRIPTS: dict[str, Callable[[Protocol], list[Command]]] = {
    "done": lambda protocol: [transfer(protocol)],
    "a debit elsewhere is refused": lambda protocol: [
        transfer(protocol, (Leg(ALICE, -10, USD), Leg(BOB, -5_000, USD), Leg(CAROL, 5_010, USD)))
    ],
    "the last credit is refused": lambda protocol: [
        transfer(protocol, (Leg(ALICE, -30, USD), Leg(BOB, 10, USD), Leg(CAROL, 20, USD, if_version=77)))
    ],
}
LEFT = {"done": (970, 1_010, 1_020)}


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_crash_before_or_after_any_append_changes_nothing_in_the_end(
    name: str, protocol: Protocol, before: bool, times: int
) -> None:
    appends = 1
    crash_at = 1
    while crash_at <= appends:
        world = ThreePartitions()
        world.crash_at, world.crash_before = crash_at, before
        world.decide(0, SCRIPTS[name](protocol))
        for _ in range(30):
            world.carry(times)
            if world.phase(ID) is None and world.partitions[0].state.find_transfer(ID) is not None:
                break
            world.ask_again()
        assert world.phase(ID) is None
        world.carry(times)
        world.check()
        assert world.transit() == 0
        assert tuple(world.posted(each) for each in (ALICE, BOB, CAROL)) == LEFT.get(name, (1_000, 1_000, 1_000))
        assert [world.held(each) for each in (ALICE, BOB, CAROL)] == [0, 0, 0]
        appends = max(appends, world.appends)
        crash_at += 1


def test_a_frozen_or_closed_account_stops_a_try_and_never_a_confirm_or_a_compensation() -> None:
    world = in_phase(Phase.PAYING)
    freeze = Change(id_at(NOON_US, 2), BOB, Flag.CREDIT_FROZEN | Flag.DEBIT_FROZEN, Flag(0))
    assert world.decide(1, [freeze]).outcomes["code"].tolist() == [Code.DONE]
    world.carry()
    assert (world.phase(ID), world.posted(BOB)) == (None, 1_010)


def test_an_account_with_an_open_step_cannot_be_closed() -> None:
    world = ThreePartitions(each=30)
    world.decide(0, [transfer(Protocol.SAGA)])  # alice has given all she had: it may come back
    close = Change(id_at(NOON_US, 2), ALICE, Flag.CLOSED, Flag(0))
    assert world.decide(0, [close]).outcomes["code"].tolist() == [Code.NOT_EMPTY]
    world.carry()
    assert world.decide(0, [close._replace(id=id_at(NOON_US, 3))]).outcomes["code"].tolist() == [Code.DONE]
