"""The rules of the money once more, in plain dictionaries, written from the design and sharing no code with the ledger.

One partition; its parts are in `model/`. What it is compared with: `test_decide.py`, `test_decide_rich.py`, the simulation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.unit.write_side.ledger.model.accounts import Accounts, Delta, row_name
from tests.unit.write_side.ledger.model.across import Ask, Coordinator, Participant, Process, Tell
from tests.unit.write_side.ledger.model.holds import Holds
from tests.unit.write_side.ledger.model.ids import Ids, Seen
from tests.unit.write_side.ledger.model.steps import steps_of
from tests.unit.write_side.ledger.model.values import (
    NO_FLOOR_IN_COLUMN,
    Chain,
    Entry,
    Outcome,
    Refused,
    Unasked,
    legs_of,
    turned,
)
from write_side.ledger.commands.commands import (
    Capture,
    Change,
    Command,
    Hold,
    Leg,
    LegsTransfer,
    Mode,
    OpenAccount,
    Protocol,
    Reverse,
    Transfer,
    Void,
)

Item = Command | Chain | Ask | Tell
GOOD = ("done", "exists", "pending")
"""What is no refusal."""

__all__ = ["NO_FLOOR_IN_COLUMN", "Ask", "Chain", "Entry", "Item", "Outcome", "Tell", "Unasked", "WalletModel"]


class WalletModel:
    """One partition. Outcomes are numbered as they come."""

    def __init__(self, partition: int, partitions: int, ids_max: int, *, ever: bool = False) -> None:
        self.accounts = Accounts(partition, partitions)
        self.ids = Ids(ids_max, ever=ever)
        self.holds = Holds(self.accounts)
        self.coordinator = Coordinator(self.accounts)
        self.participant = Participant(self.accounts)
        self.commands = 0
        self.sequence = -1

    @property
    def refuse_before_us(self) -> int:
        return self.ids.refuse_before_us

    def block(
        self, items: Iterable[Item], at_us: int, sequence: int | None = None, due_max: int | None = None
    ) -> list[Outcome]:
        """The outcomes of one block: first of what time ends, then of each item. sequence: the block's, else the next.

        due_max: how much of what time ends is in this block, where that is not all; the first of it is in any case.
        """
        self.sequence = self.sequence + 1 if sequence is None else sequence
        self.ids.forget_old(at_us)
        outcomes = self._due(at_us, due_max)
        for item in items:
            if isinstance(item, Chain):
                outcomes += self._chain(item, at_us)
            elif isinstance(item, Ask):
                outcomes.append(self._said(self.participant.take(item), Unasked("step", item.id)))
            elif isinstance(item, Tell):
                outcomes.append(self._went_on(self.coordinator.take(item), Unasked("answer", item.id)))
            else:
                outcomes.append(self._one(item, at_us))
        self.ids.end_block()
        return outcomes

    def balances(self) -> dict[str, tuple[int, int, int, int]]:
        """posted, held, version, flags of every account."""
        return dict(self.accounts.rows())

    def filled(self, command: Command) -> Command:
        """With what the intake finds in the log: the legs of a reversal."""
        if not isinstance(command, Reverse):
            return command
        original = self.ids.seen.get(command.transfer)
        if original is None or original.word != "done":
            return command._replace(legs=())
        return command._replace(legs=tuple(sorted(turned(original.legs))))

    # Outcomes.

    def _said(self, word: str, unasked: Unasked | None = None, available: int | None = None) -> Outcome:
        self.commands += 1
        return Outcome(word, tuple(sorted(self.accounts.taken_entries())), available, None, unasked)

    def _due(self, at_us: int, due_max: int | None) -> list[Outcome]:
        due = [(*each, "expire") for each in self.holds.due(at_us)]
        due += [(*each, "timeout") for each in self.coordinator.due(at_us)]
        outcomes = []
        for _, id, why in sorted(due)[: None if due_max is None else max(1, due_max)]:
            if why == "expire":
                self.holds.let_go(id)
                outcomes.append(self._said("done", Unasked(why, id)))
            else:
                outcomes.append(self._went_on(self.coordinator.time_out(id), Unasked(why, id)))
        return outcomes

    def _chain(self, chain: Chain, at_us: int) -> list[Outcome]:
        before = {name: (row.posted, row.version) for name, row in self.accounts.by_name.items()}
        outcomes: list[Outcome] = []
        is_refused = False
        for command in chain.commands:
            outcome = self._one(command, at_us, chain.mode, is_refused)
            outcomes.append(outcome)
            if not is_refused and self._is_refusal(command, outcome):
                is_refused = True
                if chain.mode is Mode.ATOMIC:
                    for name, (posted, version) in before.items():
                        self.accounts.by_name[name].posted, self.accounts.by_name[name].version = posted, version
                    outcomes = [self._taken_back(*each) for each in zip(chain.commands, outcomes, strict=False)]
        return outcomes

    def _is_refusal(self, command: Command, outcome: Outcome) -> bool:
        """A repeated line counts as what it was the first time."""
        if outcome.word != "repeated":
            return outcome.word not in GOOD
        assert not isinstance(command, OpenAccount)
        before = self.ids.found(command.id)
        assert before is not None
        return before.word not in GOOD

    def _taken_back(self, command: Command, outcome: Outcome) -> Outcome:
        if outcome.word != "done":
            return outcome
        assert isinstance(command, Transfer | LegsTransfer)
        seen = self.ids.seen.get(command.id)
        if seen is not None:
            seen.word, seen.legs = "batch_refused", ()
        return Outcome("batch_refused")

    # One command.

    def _one(self, command: Command, at_us: int, mode: Mode = Mode.CONTINUE, is_refused: bool = False) -> Outcome:
        if isinstance(command, OpenAccount):
            return self._said(self.accounts.open(command, may_run=not is_refused))
        number = self.commands
        try:
            before = self.ids.known(command, at_us)
            if before is not None:
                return self._said("repeated")._replace(first=before.number)
            if command.id in self.holds.open or command.id in self.coordinator.open:
                raise Refused("id_expired")  # forgotten, and still not over: it cannot run again beside itself
            if is_refused and mode is Mode.STOP:
                return self._said("not_run")
            seen = self.ids.remember(command, at_us, number)
        except Refused as refused:
            return self._said(refused.word)
        try:
            if is_refused:
                raise Refused("batch_refused")
            seen.word = self._run(command, at_us, seen, mode is Mode.ATOMIC)
        except Refused as refused:
            seen.word = refused.word
            return self._said(refused.word, None, refused.available)
        return self._said(seen.word)

    def _run(self, command: Command, at_us: int, seen: Seen, atomic: bool) -> str:
        """done or pending. Raises Refused."""
        match command:
            case Transfer():
                return self._move(command, legs_of(command), seen, at_us, atomic)
            case LegsTransfer():
                return self._move(command, command.legs, seen, at_us, atomic)
            case Hold():
                self.holds.authorise(command, at_us)
            case Capture():
                return self._capture(command, at_us, seen)
            case Void():
                self.holds.usable(command.hold, at_us)
                self.holds.let_go(command.hold)
            case Reverse():
                return self._reverse(command, at_us, seen)
            case Change():
                name = command.account
                is_on_its_way = self.coordinator.touches(name) or self.participant.touches(name)
                self.accounts.change(command, is_on_its_way=is_on_its_way)
        return "done"

    def _move(
        self,
        command: Transfer | LegsTransfer | Reverse,
        legs: tuple[Leg, ...],
        seen: Seen,
        at_us: int,
        atomic: bool = False,
    ) -> str:
        if not all(self.accounts.lives_here(leg.account) for leg in legs):
            if atomic:
                raise Refused("partitions_differ")
            return self._begin(command, legs, at_us)
        self.accounts.check(legs)
        deltas = [Delta(row_name(leg), leg.amount, 0) for leg in legs]
        if not self.accounts.fits(deltas):
            raise Refused("balance_limit_exceeded")
        self.accounts.add(deltas)
        seen.legs = legs
        return "done"

    def _capture(self, command: Capture, at_us: int, seen: Seen) -> str:
        legs = self.holds.wanted(command, at_us)
        hold = self.holds.open[command.hold]
        if not all(self.accounts.lives_here(leg.account) for leg in legs):
            word = self._begin(command, legs, at_us)
            hold.take(legs)
            hold.busy = True
            return word
        self.holds.move(legs)
        hold.take(legs)
        self.holds.settle(command.hold, command.final)
        seen.legs = legs
        return "done"

    def _reverse(self, command: Reverse, at_us: int, seen: Seen) -> str:
        original = self.ids.seen.get(command.transfer)
        if original is None:
            raise Refused("transfer_unknown")
        if original.word != "done" or original.kind not in (Transfer, LegsTransfer):
            raise Refused("not_reversible")
        if not command.legs:  # it was not done yet when the intake looked for its legs
            raise Refused("not_reversible")
        if original.is_reversed:
            raise Refused("already_reversed")
        assert sorted(command.legs) == sorted(turned(original.legs)), "a reversal of other legs than were moved"
        word = self._move(command, turned(original.legs), seen, at_us)
        original.is_reversed = True
        return word

    # Transfers across partitions.

    def _begin(self, command: Transfer | LegsTransfer | Capture | Reverse, legs: Sequence[Leg], at_us: int) -> str:
        tcc = not isinstance(command, Transfer) and command.protocol is Protocol.TCC
        accounts = self.accounts
        steps = steps_of(
            legs, accounts.partition, accounts.partitions, tcc=tcc, held=isinstance(command, Capture)
        )  # fmt: skip
        self.coordinator.begin(Process(command.id, steps, tcc, self.sequence, at_us, command, tuple(legs)))
        return "pending"

    def _went_on(self, process: Process | None, unasked: Unasked) -> Outcome:
        if process is None:
            return self._said("stale", unasked)
        if not self.coordinator.is_over(process):
            return self._said("pending", unasked)
        del self.coordinator.open[process.id]
        is_done, order = process.phase == "done", process.order
        if isinstance(order, Capture):
            hold = self.holds.open[order.hold]
            hold.busy = False
            if not is_done:
                hold.give_back(process.legs)
            self.holds.settle(order.hold, order.final and is_done)
        if isinstance(order, Reverse) and not is_done and order.transfer in self.ids.seen:
            self.ids.seen[order.transfer].is_reversed = False
        self.ids.ended(process.id, process.word, process.legs if is_done else (), self.commands)
        return self._said(process.word, unasked)
