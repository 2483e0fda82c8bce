"""The balances port: where the hub reads the state of accounts. One adapter, over the read side's `POST /internal/balances`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, get_args

import msgspec

from fanfold.api.answers.accounts import Balances
from fanfold.api.answers.problem import Problem
from fanfold.api.frames.acks import NotRead
from fanfold.api.frames.members import HISTORY_CHARACTERS_MAX, NUMBER_MAX
from fanfold.api.malformed import Malformed
from fanfold.api.parts import part_of
from fanfold.api.routes import BALANCES
from gateway.protocol.messages import Item, item
from gateway.proxy.upstream import Upstream, UpstreamUnavailable
from gateway.proxy.written import Written
from write_side.contract.words.position import Position, parse_positions

NOT_READ: Final = frozenset(get_args(NotRead))
"""Why the state of accounts cannot be read now: the codes that an ack may have for it."""


class BalancesUnavailable(Exception):
    """The state cannot be read now. Nothing is wrong with the accounts; try again. code: one of NOT_READ."""

    def __init__(self, reason: str = "", code: str = "upstream_unavailable") -> None:
        super().__init__(reason)
        self.code = code


class Found(NamedTuple):
    """What a read found: the state of each account that exists, all from one moment, and the position that it reflects.

    undecided: accounts that are not there while the view is behind the log; they may be in what it has not folded yet.
    history: which one of its log the partition has; None where that is not known.
    """

    items: dict[str, Item]
    reached: int
    undecided: frozenset[str] = frozenset()
    history: str | None = None


class BalanceSource(Protocol):
    """Reads of one partition's accounts."""

    async def read(self, partition: int, accounts: Sequence[str], min_position: int, wait_ms: int) -> Found:
        """The state of each account that exists.

        accounts: 1 to 1,000 names of this partition. min_position: a block sequence that was heard of, -1 for none. Waits
        `wait_ms` at most for it; it is not reached only where it is beyond the end of the log, which has been put back then.
        Raises BalancesUnavailable.
        """
        ...


_USED: Final = ("account", "asset", "posted", "held", "available", "version", "at", "flags")
_decode: Final = msgspec.json.Decoder(
    part_of(
        Balances, "positions", *(f"accounts.{member}" for member in _USED), "undecided", "stale", "lost", "histories"
    )
).decode
_decode_problem: Final = msgspec.json.Decoder(part_of(Problem, "code", "reason")).decode


class ReadSideBalances:
    """`BalanceSource` over an upstream. Whatever it is asked for, it finds what was written through this gateway."""

    def __init__(self, read_side: Upstream, written: Written) -> None:
        self._read_side = read_side
        self._written = written

    async def read(self, partition: int, accounts: Sequence[str], min_position: int, wait_ms: int) -> Found:
        asked: dict[str, object] = {"accounts": list(accounts), "wait_ms": wait_ms}
        if (newest := max(min_position, self._written.of(partition))) >= 0:
            asked["written"] = str(Position(partition, newest))
        try:
            status, body = await self._read_side.ask("POST", BALANCES.path, msgspec.json.encode(asked))
        except UpstreamUnavailable as gone:
            raise BalancesUnavailable(str(gone)) from gone
        if status != 200:
            raise refused(status, body)
        try:
            answer = _decode(body)
            undecided = frozenset(accounts[place] for place in answer.undecided)
            reached = parse_positions(answer.positions).get(partition, -1) if answer.positions else -1
            if answer.lost:
                self._written.drop(partition, parse_positions(answer.lost).get(partition, -1))
        except (msgspec.MsgspecError, Malformed, IndexError) as error:
            raise BalancesUnavailable("the read side's answer has another shape") from error
        if partition in answer.stale:
            # Later versions may have been shown, and a lower one would be taken for another history. A stream is what is so now.
            raise BalancesUnavailable("its log is damaged, and what is before that is old", "partition_unavailable")
        found = [each for each in answer.accounts if each is not None]
        history = (answer.histories or {}).get(str(partition))
        if any(each.version > NUMBER_MAX for each in found) or (
            history is not None and not 0 < len(history) <= HISTORY_CHARACTERS_MAX
        ):
            raise BalancesUnavailable("the read side's answer has what no client takes")
        items = {
            each.account: item(
                each.version, each.asset, each.posted, each.held, each.available, each.at, each.flags or ()
            )
            for each in found
        }
        return Found(items, reached, undecided, history)


def refused(status: int, body: bytes) -> BalancesUnavailable:
    """What the read side said of why it does not answer, as far as it is known."""
    try:
        problem = _decode_problem(body)
        code, reason = problem.code, problem.reason
    except msgspec.MsgspecError:
        code = reason = None
    known = code if code in NOT_READ else "upstream_unavailable"
    return BalancesUnavailable(reason or f"the read side answered {status}", known)
