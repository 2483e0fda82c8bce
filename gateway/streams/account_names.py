"""The names port: which accounts of a partition begin with a prefix. One adapter, over the read side's `GET /v1/accounts`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import msgspec

from fanfold.api.answers.accounts import Accounts
from fanfold.api.parts import part_of
from fanfold.api.questions import ENTRIES_MAX
from fanfold.api.routes import ACCOUNTS
from gateway.proxy.upstream import Upstream, UpstreamUnavailable
from gateway.streams.balance_source import BalanceSource, BalancesUnavailable, refused
from write_side.contract.words.atoms import partition_of
from write_side.contract.words.position import Position

PAGES_MAX: Final = 1_000
"""Of one list. A read side whose pages never end is not asked for ever."""


class AccountNames(Protocol):
    """Lists of one partition's accounts."""

    async def with_prefix(
        self, partition: int, partitions: int, prefix: str, most: int, min_position: int, wait_ms: int
    ) -> list[str]:
        """The names that begin so, as of `min_position` (a block that was heard of; -1: any) or later, where the log has that:
        at most `most` of them. Raises BalancesUnavailable."""
        ...


_decode: Final = msgspec.json.Decoder(part_of(Accounts, "accounts.account", "next")).decode


class ReadSideNames:
    """`AccountNames` over an upstream."""

    def __init__(self, read_side: Upstream, balances: BalanceSource) -> None:
        self._read_side = read_side
        self._balances = balances

    async def with_prefix(
        self, partition: int, partitions: int, prefix: str, most: int, min_position: int, wait_ms: int
    ) -> list[str]:
        # How far it is, is asked as balances are: a list waits for a position for ever that a log has lost when it was put back.
        reached = await self._balances.read(partition, [_any_name(partition, partitions)], min_position, wait_ms)
        asked: dict[str, object] = {"prefix": prefix, "partitions": partition, "wait_ms": wait_ms}
        if reached.reached >= 0:
            asked["min_position"] = str(Position(partition, reached.reached))
        names: list[str] = []
        for _ in range(PAGES_MAX):
            page = await self._page(asked | {"limit": min(most - len(names), ENTRIES_MAX)})
            names += [each.account for each in page.accounts if each.account.startswith(prefix)]
            if not page.next or len(names) >= most:
                return names[:most]
            asked["cursor"] = page.next
        raise BalancesUnavailable("the read side's list of accounts does not end")

    async def _page(self, asked: dict[str, object]) -> Any:
        try:
            status, body = await self._read_side.ask("GET", f"{ACCOUNTS.path}?{urlencode(asked)}")
        except UpstreamUnavailable as gone:
            raise BalancesUnavailable(str(gone)) from gone
        if status != 200:
            raise refused(status, body)
        try:
            return _decode(body)
        except msgspec.MsgspecError as error:
            raise BalancesUnavailable("the read side's list of accounts has another shape") from error


@lru_cache(maxsize=4_096)
def _any_name(partition: int, partitions: int) -> str:
    """The name of an account that lives there, or would."""
    number = 0
    while partition_of(f"a{number}", partitions) != partition:
        number += 1
    return f"a{number}"
