"""The model of a whole wallet: its partitions, the messages that they may send each other, and what holds of them together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from blake3 import blake3

from tests.unit.write_side.ledger.model.across import Ask, Tell
from tests.unit.write_side.ledger.model.steps import Step
from tests.unit.write_side.ledger.model.values import Chain, legs_of, partition_of
from tests.unit.write_side.ledger.wallet_model import Item, Outcome, WalletModel
from write_side.contract.words.codes import Code, Kind, word_of
from write_side.ledger.commands.commands import (
    Capture,
    Change,
    Command,
    Hold,
    LegsTransfer,
    OpenAccount,
    Reverse,
    Transfer,
    Void,
)
from write_side.ledger.commands.step_batch import StepBatch

ACTIONS = ("try", "confirm", "cancel")
STATES = ("none", "held", "rejected", "done", "released", "fenced")
TCC, FROM_HOLD, CREDIT, LAST = 1, 4, 8, 16
"""Bits of a message's option; numbers of actions and states: published, they never change."""


class Broken(AssertionError):
    """A rule does not hold."""


class Wallet:
    """`models[p]`: partition p. `finals`: how every transfer across partitions ended, by home and id."""

    def __init__(self, partitions: int, ids_max: int = 1 << 24, *, ever: bool = False) -> None:
        self.partitions = partitions
        self.ever = ever
        self.models = [WalletModel(p, partitions, ids_max, ever=ever) for p in range(partitions)]
        self.finals: dict[tuple[int, bytes], str] = {}
        self._home_of: dict[bytes, int] = {}

    def home_of(self, command: Command) -> int:
        """Where a command belongs. About a hold or transfer that nobody has heard of: anywhere, here in 0."""
        if isinstance(command, OpenAccount | Change):
            return partition_of(command.account, self.partitions)
        if isinstance(command, Capture | Void):
            return self._home_of.get(command.hold, 0)
        if isinstance(command, Reverse):
            return self._home_of.get(command.transfer, 0)
        legs = legs_of(command) if isinstance(command, Transfer) else command.legs
        own = [leg for leg in legs if leg.account != "@world"]
        gives = [leg for leg in own if leg.amount < 0]
        return partition_of((gives or own)[0].account, self.partitions)

    def block(
        self,
        partition: int,
        items: Iterable[Item],
        at_us: int,
        sequence: int | None = None,
        due_max: int | None = None,
    ) -> list[Outcome]:
        """The outcomes of a block of this partition; everything is audited after it. Raises Broken."""
        outcomes = self.models[partition].block(self._noted(partition, items), at_us, sequence, due_max)
        for outcome in outcomes:
            if outcome.unasked and outcome.unasked.why in ("answer", "timeout"):
                self._note_end((partition, outcome.unasked.id), outcome.word)
        for id in self.models[partition].coordinator.open:  # one that is long over and forgotten may begin again
            self.finals.pop((partition, id), None)
        self.audit()
        return outcomes

    def _noted(self, partition: int, items: Iterable[Item]) -> Iterator[Item]:
        for item in items:
            for command in item.commands if isinstance(item, Chain) else (item,):
                if isinstance(command, Transfer | LegsTransfer | Hold | Capture | Reverse):
                    self._home_of.setdefault(command.id, partition)
            yield item

    def _note_end(self, transfer: tuple[int, bytes], word: str) -> None:
        if word in ("pending", "stale"):
            return
        _require(transfer not in self.finals, f"a transfer ended twice: {self.finals.get(transfer)}, {word}")
        self.finals[transfer] = word
        totals: dict[str, int] = {}
        for model in self.models:
            for (of, transit), amount in model.accounts.in_flight.items():
                if of == transfer:
                    totals[transit] = totals.get(transit, 0) + amount
                    _require(word == "done" or amount == 0, "a refused transfer moved money between partitions")
        _require(not any(totals.values()), f"a transfer ended with money in flight: {totals}")
        for model in self.models:  # what the next transfer of this id moves is counted from nothing
            for key in [key for key in model.accounts.in_flight if key[0] == transfer]:
                del model.accounts.in_flight[key]

    # Messages.

    def heard(self, partition: int, batch: StepBatch) -> list[Ask | Tell]:
        """What a record of messages says, row by row. Raises Broken for one that nobody may have sent."""
        found: list[Ask | Tell] = []
        for row, kind in enumerate(batch.kind.tolist()):
            found.append(self._ask(partition, batch, row) if kind == Kind.STEP else self._tell(partition, batch, row))
        return found

    def _ask(self, partition: int, batch: StepBatch, row: int) -> Ask:
        id, home, number = batch.ids[row].tobytes(), int(batch.home[row]), int(batch.step[row])
        action, coordinator = ACTIONS[int(batch.action[row])], self.models[home].coordinator
        begun, low = int(batch.begun[row]), int(batch.low[row])
        _require((id, begun, number, action) in coordinator.asked, f"home never asked to {action} step {number}")
        step = coordinator.steps[id, begun, number]
        _require(step.partition == partition, "a step was sent to another partition")
        _require(
            all(process.begun >= low for process in coordinator.open.values()), "a message calls open transfers over"
        )
        _require(_manner(int(batch.option[row])) == step.manner, "a step is done in another manner than was meant")
        legs = slice(int(batch.first_leg[row]), int(batch.first_leg[row + 1]))
        _require(action != "try" or _carried(batch, legs) == _meant(step), "a try has other legs than its step")
        return Ask(home, id, number, action, step, begun, low)

    def _tell(self, partition: int, batch: StepBatch, row: int) -> Tell:
        id, teller, number = batch.ids[row].tobytes(), int(batch.home[row]), int(batch.step[row])
        state, word = STATES[int(batch.state[row])], word_of(Code(int(batch.code[row])))
        if state == "none":
            _require(teller == partition, "another partition tells home to go on")
        else:
            said = (partition, id, number, state, word)
            _require(said in self.models[teller].participant.said, f"a participant never said {state} {word}")
        return Tell(teller, id, number, state, word, int(batch.begun[row]))

    # What holds after every block.

    def audit(self) -> None:
        transit: dict[str, int] = {}
        for model in self.models:
            sums: dict[str, int] = {}
            for name, account in model.accounts.by_name.items():
                sums[account.asset] = sums.get(account.asset, 0) + account.posted
                if name.startswith("@transit:"):
                    transit[name] = transit.get(name, 0) + account.posted
            _require(not any(sums.values()), f"partition {model.accounts.partition} does not sum to zero: {sums}")
        flying: dict[tuple[tuple[int, bytes], str], int] = {}
        for model in self.models:
            for key, amount in model.accounts.in_flight.items():
                flying[key] = flying.get(key, 0) + amount
        _require(all(amount >= 0 for amount in flying.values()), "money was received before it was given")
        for name, amount in transit.items():
            _require(
                sum(each for (_, where), each in flying.items() if where == name) == amount,
                "transit is not what is in flight",
            )
        under_way = {(home, id) for home, model in enumerate(self.models) for id in model.coordinator.open}
        _require(
            all(of in under_way for (of, _), amount in flying.items() if amount),
            "money of a transfer that is over flies",
        )

    @property
    def is_over(self) -> bool:
        """Whether no transfer across partitions is under way."""
        return not any(model.coordinator.open for model in self.models)

    def require_over(self) -> None:
        """Everything has come to an end. Raises Broken."""
        _require(self.is_over, "a transfer never ended")
        for model in self.models:
            _require(not any(hold.busy for hold in model.holds.open.values()), "a hold stays busy")
            states = {row.state for row in model.participant.rows.values()}
            _require("held" not in states, "a step is held for ever")


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise Broken(rule)


def _manner(option: int) -> str:
    protocol = "tcc" if option & TCC else "saga"
    if option & CREDIT:
        return "saga last credit" if option & LAST and not option & TCC else f"{protocol} credit"
    return f"{protocol} capture" if option & FROM_HOLD else f"{protocol} debit"


def _carried(batch: StepBatch, legs: slice) -> set[tuple[bytes, int, int, int, int]]:
    columns = (batch.asset, batch.amount, batch.if_version, batch.if_available)
    keys = [key.tobytes() for key in batch.key[legs]]
    return set(zip(keys, *(column[legs].tolist() for column in columns), strict=True))


def _meant(step: Step) -> set[tuple[bytes, int, int, int, int]]:
    return {
        (
            blake3(leg.account.encode()).digest(16),
            int.from_bytes(blake3(leg.asset.encode()).digest(8), "little", signed=True),
            leg.amount,
            leg.if_version,
            leg.if_available,
        )
        for leg in step.legs
    }
