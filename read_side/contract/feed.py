"""The feed port: what projectors tell gateways. Adapters: `read_side/feed/feed_memory.py`, `feed_redis.py`.

A batch says: between block `after` and block `upto` of this partition, exactly these accounts changed, and this is
their state at `upto`; and which transfers across partitions went to which phase.  Batches of one projector life (`boot`)
are contiguous: each starts where the last ended.  An empty batch with `after == upto` is the heartbeat, once a second.
A reader that sees a gap, a new `boot` or a new `generation` has missed something and reads the balances it cares about
again; it never guesses.  Delivery is at least once, in order per partition; a batch may come twice and a capped feed may
forget old ones, so a reader never relies on having seen everything.

A reader with an interest is asked by marks (`marks.py`) which rows it wants, each time that a batch has come to its process,
and gets the batch without the others.  Whoever it begins to want after that it reads elsewhere, as of what it was asked about or
later: that was published, so the view has it.

Source: the (offset, epoch) recovery of Centrifugo, and Kafka's rule that consumers own their position.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from read_side.contract.marks import Marks
from read_side.contract.phases import NO_PHASES, PhaseRows
from read_side.contract.rows import AccountRows


@dataclass(frozen=True, slots=True)
class FeedBatch:
    """The interval (after, upto] of one partition. `rows` holds each changed account once, as it is at `upto`; `phases`
    each transfer once for each of its accounts, in the newest phase that it went to."""

    partition: int
    generation: int
    boot: str
    after: int
    upto: int
    rows: AccountRows
    phases: PhaseRows = NO_PHASES

    @property
    def is_heartbeat(self) -> bool:
        return self.after == self.upto


class FeedUnavailable(Exception):
    """The environment failed. Readers see the gap and read again, so nothing is lost but time."""


Places = npt.NDArray[np.int64]


class Interest(Protocol):
    """What a subscriber wants to hear of, as of now. More than that may be said, and costs only time."""

    def accounts(self, upto: int, marks: Marks) -> Places:
        """Which of these are wanted, of a batch up to there. marks: of the accounts that changed."""
        ...

    def keys(self, marks: Marks) -> Places:
        """The same of the accounts of changes of phase. marks: of their keys."""
        ...


class Feed(Protocol):
    """One instance per process. `publish` is for projectors, `subscribe` for gateways."""

    async def publish(self, batch: FeedBatch) -> None:
        """Hand a batch to every subscriber. Never waits for a slow one: it loses batches and will see the gap.

        Raises FeedUnavailable: the batch may or may not have been published.
        """
        ...

    def subscribe(self, partition: int, interest: Interest | None = None) -> AsyncIterator[FeedBatch]:
        """Batches of one partition from now on. The first one may already lie some batches back.

        interest: rows and phases that it does not want may be left out. None: whoever reads wants all.

        An environment that fails for a while shows as a gap, never as an exception. Ends when the feed is closed.
        """
        ...

    async def close(self) -> None:
        """End every subscription. Safe to call twice."""
        ...
