"""Who watches which account of one partition, and how the feed and the reads are joined without a guess.

The rule for clients: what a client has been sent is always the state at one position of the partition (a cut), so both legs of
a transfer inside it arrive in one frame. Three things keep it:

- a batch is offered whole, between two flushes;
- an account read from the view is held back until the feed has reached the position of that read, because the view is
  often a few blocks ahead of the feed;
- when the feed breaks (a gap, another boot, another generation) every subscription of the partition is held, everything
  watched is read again (the *repair*), and all go on together once the feed has reached that read.

A registered account is in the index before its read is ordered, and the read asks for at least the feed's position at that
moment, and that of batches that come without it, because they were asked about before (`interest.py`): so no change falls
between the two. What heard, reached and due are, `read_side/contract/how_far.py` says.
Source: Centrifugo's recovery (buffer the live messages, read, merge by offset).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blake3 import blake3

from fanfold.api.frames.asked import ACCOUNTS_PER_MESSAGE_MAX
from gateway.protocol.cursor import Cursor, Verdict, judge
from gateway.protocol.interest import Interest
from gateway.protocol.messages import Item
from gateway.protocol.prefixes.prefix_subscription import PrefixSubscription
from gateway.protocol.prefixes.prefixes_of_partition import Prefixes
from gateway.protocol.row_items import items_of
from gateway.protocol.waits_for_feed import WaitsForFeed
from read_side.contract.phases import PhaseRows
from read_side.contract.rows import AccountRows

if TYPE_CHECKING:
    from gateway.protocol.subscription import Subscription, Watcher
    from read_side.contract.feed import FeedBatch


@dataclass(eq=False, slots=True)
class Read:
    """An order: read these accounts at `min_position` (-1: any) or later. `breaks` tells a repair that was overtaken."""

    subscriptions: list[Subscription]
    min_position: int
    breaks: int
    repair: bool = False

    @property
    def accounts(self) -> list[str]:
        return list(dict.fromkeys(subscription.account for subscription in self.subscriptions))

    @property
    def is_in_parts(self) -> bool:
        """Whether it is asked in more than one question: then the log may be put back between two."""
        return len(self.subscriptions) > ACCOUNTS_PER_MESSAGE_MAX


class PartitionWatch:
    """One partition. Sessions that have something new to send are put into `touched`; who flushes them takes them out."""

    def __init__(self, partition: int, touched: dict[Watcher, None], cut_wait_ms: int) -> None:
        self.partition = partition
        self.cursor: Cursor | None = None
        self.breaks = 0
        """How often the feed was broken; the first batch counts when something was already watched."""
        self.repairing = False
        self._touched = touched
        self._cut_wait_ms = cut_wait_ms
        self._watched: dict[str, dict[Subscription, None]] = {}
        self.prefixes = Prefixes()
        self._by_key: dict[bytes, str] = {}
        """The accounts of whose transfers somebody wants to know, by the keys that the feed knows them by."""
        self.interest = Interest(self._watched, self._by_key)
        """What the feed may be asked for: whatever else changed need not come here."""
        self._waiting = WaitsForFeed()
        self._furthest_heard = -1
        self.history: str | None = None
        """Of the log that what was told is from; None while it is not known."""
        self._repairing_since_ms: int | None = None
        self.offered_us: int | None = None
        """The block's time of the oldest change that the last batch had for anybody; None where it had none."""
        self.prefix_rows = 0
        """Rows of the last batch that nobody watches, and that are here because somebody watches a prefix."""
        self.conflated = 0
        """Balances that were replaced by newer ones before their client had taken them."""

    def __len__(self) -> int:
        """How many accounts are watched."""
        return len(self._watched)

    def register(self, subscriptions: Sequence[Subscription]) -> Read:
        """Feed these from now on (silently, until they are acknowledged and released) and say what to read."""
        for subscription in subscriptions:
            subscription.partition = self.partition
            if subscription.account not in self._watched:
                self._watched[subscription.account] = {}
                self.interest.add(subscription.account)
            self._watched[subscription.account][subscription] = None
            if subscription.transfers and (key := _key(subscription.account)) not in self._by_key:
                self._by_key[key] = subscription.account
                self.interest.add_key(key)
        return Read(list(subscriptions), self.asked_at_least, self.breaks)

    def forget(self, subscriptions: Sequence[Subscription]) -> None:
        for subscription in subscriptions:
            watchers = self._watched.get(subscription.account)
            if watchers is not None and subscription in watchers:
                del watchers[subscription]
                if not watchers:
                    del self._watched[subscription.account]
                    if self._by_key:
                        self._by_key.pop(_key(subscription.account), None)

    def register_prefix(self, prefix: PrefixSubscription) -> None:
        """Look at the name of every account that changes from now on; which are there has still to be listed."""
        self.prefixes.add(prefix)
        self.interest.everything += not prefix.hidden
        prefix.unlisted.add(self.partition)

    def forget_prefix(self, prefix: PrefixSubscription) -> None:
        if self.prefixes.forget(prefix):
            self.interest.everything -= not prefix.hidden

    def listed(self, prefix: PrefixSubscription, accounts: Sequence[str]) -> None:
        """Which accounts begin with it, as of what was asked to be reflected or later, and the feed has not broken since."""
        prefix.unlisted.discard(self.partition)
        prefix.keep(each for each in accounts if not prefix.acknowledged or each not in prefix.session.by_account)

    @property
    def asked_at_least(self) -> int:
        """What a read must reflect: also batches that are on their way here, and were asked for without who is named now."""
        return max(self._furthest_heard, self.interest.asked_upto)

    @property
    def told_up_to(self) -> int:
        """Whoever is live has been told everything up to this block, or it waits for them; -1 where that cannot be said. Within a
        history it never falls: a projector that starts again behind tells nothing that was not read before."""
        return -1 if self.repairing or self.cursor is None else self._furthest_heard

    def sessions(self) -> set[Watcher]:
        """Those that have been told something of an account here: of what was never read there is nothing old."""
        told: set[Watcher] = {each.session for watchers in self._watched.values() for each in watchers if each.read}
        return told.union(each.session for each in self.prefixes if each.acknowledged)

    def take(self, batch: FeedBatch) -> Verdict:
        """One batch of the feed. BROKEN: a repair is due, see `begin_repair`."""
        verdict = judge(self.cursor, batch)
        self.offered_us, self.prefix_rows = None, 0
        if verdict is not Verdict.SEEN:
            self.cursor = Cursor(batch.generation, batch.boot, batch.upto)
            # A projector that starts again may be some blocks back; clients have seen the later ones, so no read asks for less.
            self._furthest_heard = max(self._furthest_heard, batch.upto)
            if verdict is Verdict.BROKEN:
                self._break()
            if self.prefixes:
                self._open(batch.rows)
            if self.interest.everything:
                self.prefix_rows = len(batch.rows.accounts)
            if self._watched:
                self._offer(batch.rows)
                self._offer_phases(batch.phases)
                self._release()
        return verdict

    def begin_repair(self) -> Read | None:
        """What to read after a break, None when all is well. One repair at a time: call again when `finish` says so."""
        if not self.repairing:
            return None
        everyone = [subscription for watchers in self._watched.values() for subscription in watchers]
        if not everyone:
            self.repairing = False
            return None
        return Read(everyone, self.asked_at_least, self.breaks, repair=True)

    def finish(
        self,
        read: Read,
        items: Mapping[str, Item],
        reached: int,
        now_ms: int,
        history: str | None = None,
        undecided: Collection[str] = (),
    ) -> None:
        """The rows of a read, as they are at `reached` or later (accounts that do not exist are left out), of this history of the
        log; None where that is not known. undecided: of those left out, the ones that may exist.

        Acknowledge the subscriptions before: what is not acknowledged is not released. A repair during which the feed broke
        again, or that found another history, leaves `repairing` set: begin another one.
        """
        found_another = self._found_another_history(read, reached, history)
        overtaken = read.repair and (read.breaks != self.breaks or found_another)
        for subscription in read.subscriptions:
            found = items.get(subscription.account)
            if not (read.repair and subscription.unread):  # that one is named by a read of its own, and speaks then
                subscription.found()
            if found_another and read.is_in_parts:
                pass  # some may be of the history before, and would hide what the next repair reads
            elif found is None:
                subscription.miss("view_rebuilding" if subscription.account in undecided else "account_not_found")
            elif subscription.open and (read.repair or not (subscription.follows and subscription.is_ahead(found))):
                # Who is told with all others is told again what it has; what is newer comes as theirs does, with its whole block.
                subscription.offer(found)
                if subscription.live:
                    self._touched[subscription.session] = None
            if read.repair or not subscription.follows:
                subscription.due = max(subscription.due, reached)
        if overtaken:
            return
        waiting = list(read.subscriptions)
        if read.repair:
            self.repairing = False
            waiting += self._since(read, reached)
        self._waiting.add(waiting, now_ms)
        self._release()

    def _found_another_history(self, read: Read, reached: int, history: str | None) -> bool:
        """Whether a repair finds another history of the log than what was told is from: the log ends before what was heard, or
        its writer's life began with another block. Then nothing of what was told counts, and whatever is found next is told.

        The projector has started again over it, so there is always a repair. What the feed said since, and was taken for older
        than what was told, the next repair reads.
        """
        is_gone = reached < read.min_position
        if is_gone and self.asked_at_least == read.min_position:
            self._furthest_heard = min(self._furthest_heard, reached)
            self.interest.asked_upto = min(self.interest.asked_upto, reached)
        before, known = self.history, history is not None
        if known and (read.repair or before is None):
            self.history = history
        if not read.repair or not (is_gone or (known and before is not None and history != before)):
            return False
        for watchers in self._watched.values():
            for subscription in watchers:
                subscription.begin_again(self.history)
        return True

    def is_outlived(self, read: Read, history: str | None) -> bool:
        """Whether what a read of some accounts found may be of a history that is over: the feed broke since it was ordered, and a
        repair has found another one. Its versions may be higher than those that count now, and would hide them: read again."""
        return read.breaks != self.breaks and self.history is not None and history != self.history

    def _since(self, repair: Read, reached: int) -> list[Subscription]:
        """Those that were named while the repair was read: they wait with all others for its position, or a client would see
        them at an earlier one than what it has of the repair. What is not answered yet waits from its answer on."""
        known = {id(subscription) for subscription in repair.subscriptions}
        found = []
        for watchers in self._watched.values():
            for subscription in watchers:
                if id(subscription) not in known and subscription.open and not subscription.live:
                    subscription.due = max(subscription.due, reached)
                    if not subscription.unanswered:
                        found.append(subscription)
        return found

    def stay(self, subscriptions: Iterable[Subscription], now_ms: int) -> None:
        """A request that named these was not read; what was granted of them before goes on: nothing was read, nothing is due."""
        self._waiting.add([each for each in subscriptions if each.open and each.read and not each.unanswered], now_ms)
        self._release()

    def repairing_ms(self, now_ms: int) -> int:
        """How long a repair has been looked at without an end: meanwhile nobody knows whether what was sent is the newest."""
        since = self._repairing_since_ms
        return 0 if not self.repairing or since is None else now_ms - since

    def release_overdue(self, now_ms: int) -> None:
        """Let go what waited `cut_wait_ms` for the feed or for a repair: an honest state now is better than silence.

        A feed that breaks all the time (more batches than its queue holds) would otherwise never let a repair end.
        Versions still only rise, and the repair goes on; only the cut is given up.
        """
        if self.repairing:
            if self._repairing_since_ms is None:
                self._repairing_since_ms = now_ms
            elif now_ms - self._repairing_since_ms >= self._cut_wait_ms:
                self._let_go(subscription for watchers in self._watched.values() for subscription in watchers)
            return
        self._repairing_since_ms = None
        self._let_go(self._waiting.overdue(now_ms - self._cut_wait_ms))

    def _let_go(self, subscriptions: Iterable[Subscription]) -> None:
        for subscription in subscriptions:
            if subscription.open:  # who left meanwhile has nothing to be flushed
                subscription.release()
                self._touched[subscription.session] = None

    def _break(self) -> None:
        self.breaks += 1
        self.repairing = bool(self._watched)
        for prefix in self.prefixes:
            prefix.unlisted.add(self.partition)
        for watchers in self._watched.values():
            for subscription in watchers:
                subscription.miss_phases()
                subscription.hold()

    def _open(self, rows: AccountRows) -> None:
        """Whoever watches a prefix watches the accounts that begin so, from the row that names them first: all of those rows come
        here, so nothing of them is missing. During a repair they wait with all others of the partition."""
        for i, account in self.prefixes.match(rows.accounts):
            for prefix in self.prefixes.of(account):
                subscription = prefix.offer(account, self.history, int(rows.version[i]))
                if subscription is not None:
                    self.register([subscription])
                    if self.repairing:
                        subscription.hold()
                    else:
                        subscription.release()
                if subscription is not None or prefix.full:
                    self._touched[prefix.session] = None

    def _offer(self, rows: AccountRows) -> None:
        """Only watched accounts are looked at beyond their name, and each is encoded once for all who watch it."""
        watched = self._watched
        if watched.keys().isdisjoint(rows.accounts):
            return
        accounts = rows.accounts
        wanted = [i for i, account in enumerate(accounts) if account in watched]
        self.offered_us = int(rows.at_us[wanted].min())
        self.prefix_rows -= len(wanted) if self.prefix_rows else 0
        conflated, touched = 0, self._touched
        for i, state in zip(wanted, items_of(rows, wanted), strict=True):
            version = state.version
            for subscription in watched[accounts[i]]:
                if subscription.unsent is not None and version > subscription.newest:
                    conflated += 1
                subscription.offer(state)
                touched[subscription.session] = None
        self.conflated += conflated

    def _offer_phases(self, phases: PhaseRows) -> None:
        by_key = self._by_key
        if by_key:
            for i in [i for i, key in enumerate(phases.keys) if key in by_key]:
                for subscription in self._watched[by_key[phases.keys[i]]]:
                    subscription.offer_phase(phases.transfers[i], phases.phases[i])
                    self._touched[subscription.session] = None

    def _release(self) -> None:
        """Nothing is let go during a repair: then the partition's accounts are not known at one position."""
        if self._waiting.held and not self.repairing:
            self._let_go(self._waiting.reached(-1 if self.cursor is None else self.cursor.heard))


def _key(account: str) -> bytes:
    return blake3(account.encode()).digest(16)
