"""decide: state + commands -> block. Makes the columns that the one loop runs over (`decide_loop.py`), and a block's sections of
what it says.

Any cutting of a command stream into blocks gives the same outcomes, given the times (`tests/unit/write_side/ledger`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.block.columns import NOT_TOLD
from write_side.contract.state.account_rows import Accounts, settle
from write_side.contract.state.fold import row_keys_of
from write_side.contract.state.fold_ids import forget_before
from write_side.contract.state.ids import latest_cut_off_us, timeless_from
from write_side.contract.state.pending_rows import purge
from write_side.contract.state.state import TRANSIT_KEY, WORLD_KEY, State
from write_side.contract.words.codes import Kind
from write_side.ledger.across.participant import EFFECTS
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.step_batch import StepBatch
from write_side.ledger.deciding.decide_loop import NO_ROOM, decide_loop
from write_side.ledger.deciding.gathered import Gathered, gather
from write_side.ledger.deciding.look_back import EveryId, look_back
from write_side.ledger.deciding.rich_commands import TAPE_MAX
from write_side.ledger.deciding.sections import sections_of
from write_side.ledger.rules import book as used
from write_side.ledger.rules.chains import STATE_WIDTH
from write_side.ledger.rules.idempotency import Ids
from write_side.ledger.rules.ran_before import RanBefore
from write_side.ledger.rules.tape_columns import TAPE_WIDTH

BRIEF_COMMANDS: Final = 16
BRIEF_LEGS: Final = 64
BRIEF_PENDING: Final = 4_096
"""What takes less than a millisecond to decide, whatever it is: commands, their legs in all, and how many rows are pending, since
some of those may have to be moved."""


class Decision(NamedTuple):
    """The sections of the block decided, the cut-off after it, the digest of the state after it, and whether the older half of
    the ids without a time was forgotten before it.

    The sections lie in buffers of the state: they are to be encoded before the next block is decided.
    """

    sections: dict[str, dict[str, Any]]
    refuse_ids_before_us: int
    digest: bytes
    forgets: bool = False


class Told(NamedTuple):
    """What is settled of ids before a block is decided: whether the older half of those without a time is forgotten, what ran
    under its own, and how many without a time are remembered before another one is refused."""

    halves: bool
    before: RanBefore
    timeless_max: int = 2**62


def is_brief(state: State, batches: Sequence[CommandBatch | StepBatch], created_at_us: int, ids_max: int) -> bool:
    """Whether these take less time to decide than handing them to another thread: few, nothing due, nothing to forget, and
    room in every table that would have to be moved otherwise."""
    n = sum(map(len, batches))
    if n > BRIEF_COMMANDS or sum(map(_legs_of, batches)) > BRIEF_LEGS:
        return False
    ids, pending = state.ids, state.pending
    due_us = pending.first_due_us()
    return (
        pending.count <= BRIEF_PENDING
        and (due_us is None or due_us > created_at_us)
        and not _forgets(state, n, created_at_us, ids_max)
        and ids.used + n <= len(ids.rows)
        and state.count + 3 * n <= len(state.rows)
    )


def _legs_of(batch: CommandBatch | StepBatch) -> int:
    if isinstance(batch, StepBatch):
        return len(batch.amount)
    return 0 if batch.details is None else len(batch.details.leg_amount)


def decide(
    state: State,
    batches: Sequence[CommandBatch | StepBatch],
    back: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    *,
    partitions: int,
    created_at_us: int,
    ids_max: int,
    effects: npt.NDArray[np.int64] = EFFECTS,
    ever: EveryId | None = None,
) -> Decision:
    """Decide the commands of these batches, in order, as the block after `state.chained`, changing the state.

    What time ends comes first: holds and tries whose deadline is not after `created_at_us`, in (deadline, id) order.
    back, row: the place of each command (see `columns.OUTCOMES`), int64[n].  ids_max: when the id table holds this many, the
    cut-off rises to forget the older half of those that carry a time. Those without one are forgotten alike, before the block,
    where `ever` finds them again; where nothing does another is refused once there are so many of them.
    `created_at_us` must be above the last block's.  effects: see `participant.py`;
    another table is for showing what it would do.  ever: where ids that memory has forgotten are looked up; None: nowhere, and
    those without a time run again once they are forgotten.
    """
    with state.lock:
        gathered = gather(state, batches, back, row, partitions=partitions, created_at_us=created_at_us)
        return decide_gathered(
            state,
            gathered,
            partitions=partitions,
            created_at_us=created_at_us,
            ids_max=ids_max,
            effects=effects,
            ever=ever,
        )


def decide_gathered(
    state: State,
    gathered: Gathered,
    *,
    partitions: int,
    created_at_us: int,
    ids_max: int,
    effects: npt.NDArray[np.int64] = EFFECTS,
    ever: EveryId | None = None,
    told: Told | None = None,
) -> Decision:
    """As `decide`, of what was gathered from the same state; whoever calls holds its lock. told: by a block that is decided
    again."""
    n = len(gathered.commands.kind)
    if told is None:
        halves = ever is not None and n > 0 and state.ids.count >= _nearly(ids_max)
        before = look_back(state, gathered.commands, ever, forgets=_forgets(state, n, created_at_us, ids_max))
        told = Told(halves, before)
        if ever is None:
            told = told._replace(timeless_max=ids_max if state.ids.keeps_its_days(created_at_us) else 0)
    return _Deciding(state, gathered, partitions, created_at_us, ids_max, effects, told).run()


def _forgets(state: State, commands: int, created_at_us: int, ids_max: int) -> bool:
    """Whether ids may have to be forgotten while so many commands are decided."""
    return (
        state.ids.count + commands >= _nearly(ids_max)
        or timeless_from(state.ids.timeless_from_us, created_at_us) != state.ids.timeless_from_us
    )


def _nearly(ids_max: int) -> int:
    """From so many on those without a time make room, so that those with one, which are refused afterwards, do not have to."""
    return ids_max - ids_max // 16


class _Deciding:
    """The arrays of one call of `decide`."""

    def __init__(
        self,
        state: State,
        gathered: Gathered,
        partitions: int,
        created_at_us: int,
        ids_max: int,
        effects: npt.NDArray[np.int64],
        told: Told,
    ) -> None:
        # A row is taken out of the digest when its time is not this block's (`account_rows.touch`): an equal time would hide it.
        assert created_at_us > state.chained.created_at_us, "the time of a block must rise"
        self.state, self.gathered, self.at_us, self.ids_max = state, gathered, created_at_us, ids_max
        self.effects, self.told = effects, told
        n, rich_rows, legs = len(gathered.commands.kind), len(gathered.commands.rich_rows), len(gathered.commands.legs)
        state.reserve_accounts(3 * gathered.openings)
        state.ids.reserve(n)
        if rich_rows:
            captures = int(np.count_nonzero(gathered.commands.kind == Kind.CAPTURE))
            state.pending.reserve(2 * rich_rows, 4 * legs + _CAPTURE_LEGS * captures)
        more = 16 * legs + 8 * rich_rows + 2 * TAPE_MAX if rich_rows or gathered.commands.chain.any() else 0
        begun = state.pending.first_begun()
        self.low = state.chained.sequence + 1 if begun is None else begun
        self.lookup = used.Lookup(state.slots, state.secret, np.uint64(state.partition), np.uint64(partitions))
        buffers = state.buffers
        self.output = used.Output(
            buffers.rows("outcomes", n, used.OUTCOME_WIDTH), buffers.rows("entries", 2 * n + more, used.ENTRY_WIDTH),
            np.empty(3 * gathered.openings, np.int64), buffers.rows("tape", 4 * n + more, TAPE_WIDTH),
        )  # fmt: skip
        self.output.outcomes[:, used.AVAILABLE] = NOT_TOLD
        self.touched = buffers.rows("touched", len(self.output.entries) + 3 * gathered.openings + 1, 1).reshape(-1)
        self.touched[0] = 0
        self.counts = np.zeros(used.COUNTS, np.int64)
        self.counts[used.ACCOUNTS] = state.count
        self._count_ids()
        self.cut_off_us = state.chained.refuse_ids_before_us

    def _system_keys(self) -> tuple[npt.NDArray[np.uint64], ...]:
        """Row keys of `@world` and `@transit`, by asset number: only of those that this batch may have to open."""
        state = self.state
        if not self.gathered.openings:
            none = np.zeros(state.world.size, np.uint64)
            return none, none
        missing = self.gathered.opening_assets[state.world[self.gathered.opening_assets] < 0]
        hashes = state.asset_hashes[missing]
        found = []
        for a, b in (WORLD_KEY, TRANSIT_KEY):
            keys = np.zeros(state.world.size, np.uint64)
            if missing.size:
                repeated = np.stack((np.full(missing.size, a), np.full(missing.size, b)))
                keys[missing] = row_keys_of(repeated, hashes, [""] * missing.size)
            found.append(keys)
        return tuple(found)

    def run(self) -> Decision:
        state, n = self.state, len(self.gathered.commands.kind)
        forgets = self._forget_before()
        asset_hashes = state.asset_hashes.view(np.int64)
        systems = used.Systems(state.world, state.transit, asset_hashes, state.asset_slots)
        system_keys = self._system_keys()
        chain_state = np.zeros(STATE_WIDTH, np.int64)
        reached, raised = 0, False
        while True:
            times = used.Times(self.at_us, state.chained.sequence + 1, self.cut_off_us, self.low)
            accounts = Accounts(state.rows, state.changed_at_us, self.touched)
            ids_of = Ids(state.ids.arrays, self.ids_max, self.told.timeless_max, self.told.before)
            book = used.Book(
                accounts, self.lookup, systems, state.pending.arrays, state.digest, times, self.output, self.counts, self.effects
            )  # fmt: skip
            reached, why = decide_loop(
                book, ids_of, self.gathered.commands, system_keys, chain_state, reached,
                raised,
            )  # fmt: skip
            counts, ids = self.counts.tolist(), state.ids
            state.count = counts[used.ACCOUNTS]
            ids.count, ids.timeless, ids.used = counts[used.IDS], counts[used.TIMELESS], counts[used.ID_ROWS]
            if reached == n:
                break
            raised = why != NO_ROOM
            if raised:
                median_us = state.ids.median_time_us()
                if median_us is not None:
                    latest_us = latest_cut_off_us(self.at_us)
                    self._forget(max(self.cut_off_us, min(median_us, latest_us)), state.ids.timeless_from_us)
            else:
                self._make_room()
        if state.pending.count:
            purge(state.pending.arrays, state.digest)
        settle(state.rows, self.touched, state.digest)
        sections = sections_of(state, self.gathered, self.output, self.counts)
        return Decision(sections, self.cut_off_us, state.digest_bytes(self.cut_off_us), forgets)

    def _forget_before(self) -> bool:
        """Forget what is too old, and the older half of the ids without a time where that is wanted; whether the block has to
        tell that."""
        held_us, cut_off_us = self.state.ids.timeless_from_us, self.cut_off_us
        from_us = timeless_from(held_us, self.at_us)
        # Of a block without outcomes a reader sees that something was forgotten by the raised cut-off only.
        if from_us > held_us and (len(self.gathered.commands.kind) or from_us > cut_off_us):
            cut_off_us = max(cut_off_us, from_us)
        else:
            from_us = held_us
        half_us = self.state.ids.half_of_timeless_us(self.at_us) if self.told.halves else from_us
        if max(half_us, from_us) > held_us:
            self._forget(cut_off_us, max(half_us, from_us))
        return half_us > from_us

    def _forget(self, cut_off_us: int, timeless_from_us: int) -> None:
        self.cut_off_us = cut_off_us
        forget_before(self.state, cut_off_us, timeless_from_us)
        self._count_ids()

    def _count_ids(self) -> None:
        ids = self.state.ids
        counts = self.counts
        counts[used.IDS], counts[used.TIMELESS], counts[used.ID_ROWS] = ids.count, ids.timeless, ids.used

    def _make_room(self) -> None:
        """Twice the room for what rich commands say: only many-legged ones that touch their legs again and again need it."""
        entries, tape = self.output.entries, self.output.tape
        self.output = self.output._replace(entries=_grown(entries, 2 * len(entries)), tape=_grown(tape, 2 * len(tape)))
        self.touched = _grown(self.touched, len(self.output.entries) + 3 * self.gathered.openings + 1)


_CAPTURE_LEGS: Final = 256
"""What the legs and steps of one capture across partitions take in the pool: a hold has `LEGS_MAX` legs, each with a record,
and `@world` shared out at most as often."""


def _grown(array: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.int64]:
    larger = np.zeros((rows, *array.shape[1:]), np.int64)
    larger[: len(array)] = array
    return larger
