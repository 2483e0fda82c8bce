"""A dry run says what reality then says, and leaves no trace."""

from __future__ import annotations

import random
import uuid
from collections import deque
from typing import Any

import pytest

from fanfold.api.problems import KEPT_BY_ID
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, assert_same_state, timeless_id
from tests.unit.write_side.ledger.rich_streams import HOUR_US
from tests.unit.write_side.ledger.test_decide_across import AcrossStream
from tests.unit.write_side.ledger.wallet_model import Chain, WalletModel
from tests.unit.write_side.two_partitions import TwoPartitions, account
from write_side.contract.block.block import Block
from write_side.contract.tell.answers import Answer, BlockAnswers
from write_side.contract.words.codes import Code, Kind
from write_side.intake.dry_run import dry_run
from write_side.intake.home import home_partition
from write_side.ledger.across.outstanding import messages_of_block
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Capture, Command, Hold, Leg, OpenAccount, Reverse, Transfer, Void
from write_side.ledger.commands.step_batch import StepBatch

OF_THE_MOMENT = ("position", "at", "phase", "steps", "dry_run", "detail", "hold", "reverses", "reference", "metadata")
"""What the answer to a command does not have in common with its dry run, or not in one block."""


ALICE, BOB = account(0, "alice"), account(1, "bob")


class Wallet:
    """Partitions whose messages arrive at once. One partition has the model beside it, which knows the legs of reversals."""

    def __init__(self, partitions: int) -> None:
        self.partitions = [DecidingPartition(p, partitions) for p in range(partitions)]
        self._model = WalletModel(0, 1, 1 << 24)
        self._homes: dict[bytes, int] = {}

    def home_of(self, command: Command) -> int:
        if isinstance(command, Capture | Void):
            return self._homes.get(command.hold, 0)
        if isinstance(command, Reverse):
            return 0
        home = home_partition(command, len(self.partitions))
        if isinstance(command, Hold):
            self._homes[command.id] = home
        return home

    def filled(self, command: Command) -> Command:
        return self._model.filled(command) if isinstance(command, Reverse) else command

    def is_new(self, home: int, command: Command) -> bool:
        return isinstance(command, OpenAccount) or self.partitions[home].state.find_transfer(command.id) is None

    def expire(self, at_us: int) -> None:
        """What time ends, as the writers do it without being asked: nobody can say it of a command before it is done."""
        for partition in self.partitions:
            partition.decide([], self._after(partition, at_us))
        if len(self.partitions) == 1:
            self._model.block([], at_us)

    def do(self, home: int, command: Command, at_us: int) -> Answer | None:
        """Decide it and everything that follows: the last answer of its home; None for a repeated command."""
        if len(self.partitions) == 1:
            self._model.block([command], at_us)
        answer: Answer | None = None
        waiting: deque[tuple[int, CommandBatch | StepBatch]] = deque([(home, CommandBatch.of([command]))])
        while waiting:
            to, batch = waiting.popleft()
            partition = self.partitions[to]
            block = partition.decide_batch(batch, self._after(partition, at_us))
            if to == home:
                answer = _answer(block, partition, command) or answer
            waiting += messages_of_block(block).items()
        return answer

    def _after(self, partition: DecidingPartition, at_us: int) -> int:
        return max(at_us, partition.state.chained.created_at_us + 1)

    def state_of(self, account: str) -> tuple[str, str, int]:
        """Posted, held and version of an account, as answers tell them."""
        for partition in self.partitions:
            number = partition.state.number_of(account)
            if number is not None:
                state = partition.state
                return str(state.posted[number]), str(state.held[number]), int(state.version[number])
        raise AssertionError(account)


def _answer(block: Block, partition: DecidingPartition, command: Command) -> Answer | None:
    """What a block of home says of the command: the row that decides it, or one of its answers."""
    answers = BlockAnswers(block, partition.state)
    found = None
    for row, kind in enumerate(block.outcomes["kind"].tolist()):
        code, own = block.outcomes["code"][row], block.outcomes["id"][row].tobytes()
        is_about = kind == Kind.OPEN or (not isinstance(command, OpenAccount) and own == command.id)
        if is_about and kind not in (Kind.STEP, Kind.EXPIRE) and code not in (Code.STALE, Code.REPEATED):
            found = answers.answer(row)
    return found if isinstance(found, Answer) else None


@pytest.mark.parametrize("partitions", [1, 2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_a_dry_run_says_what_reality_then_says(partitions: int, seed: int) -> None:
    chance = random.Random(seed)
    stream, wallet = AcrossStream(chance), Wallet(partitions)
    [opening] = stream.segments(0, 0)
    commands = [item for item in opening.items if not isinstance(item, Chain)]
    compared = 0
    for number in range(len(commands) + 80):
        if number >= len(commands):
            stream.at_us += chance.choice((1_000, 7_000, 7_000, 1_000_000, HOUR_US))
        command = commands[number] if number < len(commands) else stream.command(reverses=partitions == 1)
        wallet.expire(stream.at_us)
        home, command = wallet.home_of(command), wallet.filled(command)
        before = [partition.replayed() for partition in wallet.partitions] if number % 20 == 0 else []
        is_new = wallet.is_new(home, command)
        states = {p: partition.state for p, partition in enumerate(wallet.partitions)}
        dry = dry_run(states, home, command, partitions, stream.at_us)
        for partition, was in zip(wallet.partitions, before, strict=False):
            assert_same_state(partition.state, was)
        real = wallet.do(home, command, stream.at_us)
        assert isinstance(dry, Answer) or not is_new
        if (
            isinstance(dry, Answer)
            and is_new
            and real is not None
            and not str(real.document.get("code", "")).startswith("id_")
        ):
            compared += 1
            assert (dry.status, _told(dry.document)) == (real.status, _told(real.document))
            for account in _accounts(dry):
                told = account["posted"], account["held"], account["version"]
                assert told == wallet.state_of(account["account"])
    assert compared > 60


def _told(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in (*OF_THE_MOMENT, "accounts")}


def _accounts(answer: Answer) -> list[dict[str, Any]]:
    document: dict[str, Any] = answer.document
    return list(document.get("accounts", ()))


async def test_an_account_that_money_is_on_its_way_to_is_not_closed_in_a_dry_run_either() -> None:
    async with TwoPartitions(carried=False) as bank:
        for name in (ALICE, BOB):
            await bank.done("PUT", f"/v1/accounts/{name}", {"asset": "USD/2"})
        deposit = {"id": str(uuid.uuid4()), "from": "@world", "to": ALICE, "amount": "5", "asset": "USD/2"}
        await bank.done("POST", "/v1/transfers", deposit)
        away = {"id": str(uuid.uuid4()), "from": ALICE, "to": BOB, "amount": "5", "asset": "USD/2"}
        assert (await bank.ask("POST", "/v1/transfers", away, prefer="wait=0")).status == 202
        closing = {"id": str(uuid.uuid4()), "state": "closed"}
        dry = await bank.ask("PATCH", f"/v1/accounts/{ALICE}", closing | {"dry_run": True})
        real = await bank.ask("PATCH", f"/v1/accounts/{ALICE}", closing)
        assert dry.document["code"] == real.document["code"] == "account_not_empty"


async def test_a_dry_run_of_an_id_that_was_used_says_what_asking_again_would() -> None:
    async with TwoPartitions() as bank:
        for name in (ALICE, BOB):
            await bank.done("PUT", f"/v1/accounts/{name}", {"asset": "USD/2"})
        paid = {"id": str(uuid.uuid4()), "from": "@world", "to": ALICE, "amount": "5", "asset": "USD/2"}
        first = await bank.done("POST", "/v1/transfers", paid)
        again = await bank.done("POST", "/v1/transfers", paid | {"dry_run": True})
        assert again == first | {"dry_run": True, "repeated": True}
        other = await bank.ask("POST", "/v1/transfers", paid | {"amount": "6", "dry_run": True})
        assert (other.status, other.document["code"]) == (422, "id_reused_with_other_content")


async def test_a_refusal_says_that_its_id_keeps_it_and_a_dry_run_does_not() -> None:
    async with TwoPartitions() as bank:
        await bank.done("PUT", f"/v1/accounts/{ALICE}", {"asset": "USD/2"})
        asked = {"id": str(uuid.uuid4()), "from": ALICE, "to": "@world", "amount": "5", "asset": "USD/2"}
        dry = await bank.ask("POST", "/v1/transfers", asked | {"dry_run": True})
        real = await bank.ask("POST", "/v1/transfers", asked)
        assert dry.document["code"] == real.document["code"] == "insufficient_available"
        assert real.document["detail"] == dry.document["detail"] + KEPT_BY_ID


def test_a_plain_transfer_of_an_account_that_holds_money_has_room_for_what_is_held() -> None:
    """Compiled loops write behind an array's end without a word: what is held is noted beside the entries."""
    wallet = Wallet(1)
    legs = (Leg("ann", -3, "USD/2"), Leg("bob", 3, "USD/2"))
    commands: list[Command] = [OpenAccount("ann", "USD/2", 0, ""), OpenAccount("bob", "USD/2", 0, "")]
    commands += [Transfer(timeless_id(1), "@world", "ann", 9, "USD/2"), Hold(timeless_id(2), legs)]
    for number, command in enumerate(commands):
        wallet.do(0, command, NOON_US + number)
    dry = dry_run(
        {0: wallet.partitions[0].state}, 0, Transfer(timeless_id(3), "ann", "bob", 1, "USD/2"), 1, NOON_US + 9
    )
    assert isinstance(dry, Answer)
    assert [(each["account"], each["posted"], each["held"]) for each in _accounts(dry)] == [
        ("ann", "8", "3"),
        ("bob", "1", "0"),
    ]
