"""The balances port: where the hub reads the state of accounts. One adapter, over the read side's `POST /internal/balances`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple, Protocol

import msgspec

from fanfold.api.frames.members import HISTORY_CHARACTERS_MAX, NUMBER_MAX
from fanfold.api.malformed import Malformed
from fanfold.api.routes import BALANCES
from gateway.protocol.messages import Item, item
from gateway.proxy.upstream import Upstream, UpstreamUnavailable
from gateway.proxy.written import Written
from write_side.contract.words.position import Position, parse_positions

NOT_READ: Final = frozenset(
    {"view_rebuilding", "starting", "partition_unavailable", "partition_elsewhere", "upstream_unavailable"}
)
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


Digits = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,19}\Z")]


class _Account(msgspec.Struct):
    """What is used of an account document (DESIGN 4). Patterns, because these go into frames as they are."""

    account: str
    asset: Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]+/[0-9]+\Z")]
    posted: Digits
    held: Digits
    available: Digits | None
    version: Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]
    at: Annotated[str, msgspec.Meta(pattern=r"^[0-9TZ:.+-]+\Z")]
    flags: list[Annotated[str, msgspec.Meta(pattern=r"^[a-z_]+\Z")]] = []


class _Answer(msgspec.Struct):
    positions: str
    accounts: list[_Account | None]
    undecided: list[int] = []
    stale: list[int] = []
    lost: str = ""
    histories: dict[str, Annotated[str, msgspec.Meta(min_length=1, max_length=HISTORY_CHARACTERS_MAX)]] = {}


class _Problem(msgspec.Struct):
    """What is used of a problem document."""

    code: str = ""
    reason: str = ""


_decode = msgspec.json.Decoder(_Answer).decode
_decode_problem = msgspec.json.Decoder(_Problem).decode


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
        found = (document for document in answer.accounts if document is not None)
        items = {
            each.account: item(each.version, each.asset, each.posted, each.held, each.available, each.at, each.flags)
            for each in found
        }
        return Found(items, reached, undecided, answer.histories.get(str(partition)))


def refused(status: int, body: bytes) -> BalancesUnavailable:
    """What the read side said of why it does not answer, as far as it is known."""
    try:
        problem = _decode_problem(body)
    except msgspec.MsgspecError:
        problem = _Problem()
    code = problem.code if problem.code in NOT_READ else "upstream_unavailable"
    return BalancesUnavailable(problem.reason or f"the read side answered {status}", code)
