"""How the system accounts of an asset are told: what came in from outside, and what is on its way between partitions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from read_side.ask.balances import Found, positions_of
from read_side.contract.rows import AccountRow
from write_side.contract.words.times import format_time


def system_document(
    asset: str, partitions: Sequence[Found], more: Mapping[int, Mapping[str, Any]] = MappingProxyType({})
) -> dict[str, Any]:
    """`world` is minus what all client accounts and `transit` hold together; `transit` is what is in flight.

    Each partition is read from one moment of its own, named by its position; the sums are of those moments. more: what is told
    besides of a partition.
    """
    return {
        "asset": asset,
        "world": _sum(found.rows[0] for found in partitions),
        "transit": _sum(found.rows[1] for found in partitions),
        "positions": positions_of(partitions),
        "partitions": [
            {
                "partition": found.partition,
                "position": found.position,
                "world": _account(found.rows[0]),
                "transit": _account(found.rows[1]),
                **more.get(found.partition, {}),
            }
            for found in partitions
        ],
    }


def _sum(rows: Iterable[AccountRow | None]) -> str:
    return str(sum(row.posted for row in rows if row is not None))


def _account(row: AccountRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {"posted": str(row.posted), "held": str(row.held), "version": row.version, "at": format_time(row.at_us)}
