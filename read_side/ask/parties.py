"""Whom a command was about: every account that it named or changed, and whether that gave. For gateways, which ask before
they let somebody capture, void, reverse or see it.

Nobody is left out: who is told here decides who may. An account whose name is not known is told as one that is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from read_side.ask.transfers import NotKnown, Transfers
from read_side.contract.how_far import NOTHING_WANTED, Wanted
from read_side.contract.no_answer import Ambiguous, NotFound, Unanswerable
from read_side.fold.phase_table import OpenTransfer
from read_side.tell.transfer_legs import Names, process_legs
from write_side.contract.state.ids import AMOUNT, PARTIES
from write_side.contract.state.state import Place, State
from write_side.contract.tell.outcome import Outcome
from write_side.contract.tell.pending_row import KeyedLeg
from write_side.contract.tell.whole_answer import beginning, home_blocks_before
from write_side.contract.words.atoms import TRANSIT
from write_side.contract.words.codes import Kind

_PARTY_BITS: Final = 32
_ABOUT_ANOTHER: Final = (Kind.CAPTURE, Kind.VOID, Kind.REVERSE)


class Party(NamedTuple):
    """account: None where its name is not known; a system account with or without its asset. gives: whether it gave, or was to;
    None where that is not told."""

    account: str | None
    gives: bool | None

    def document(self) -> dict[str, Any]:
        return self._asdict()


Where = Callable[[bytes], Awaitable[tuple[int, Place | OpenTransfer]]]
"""Where an id is (`Transfers.where`)."""


async def parties_of_many(
    transfers: Transfers, ids: Sequence[bytes], wanted: Wanted = NOTHING_WANTED, *, at_once: bool = False
) -> list[list[Party] | None]:
    """Of each, in order; None of an id that nothing has, or that two have. What is waited for is waited for once. at_once: all
    that is in the log is not waited for, and None of an id of which not everything is known here. Raises NotReached,
    Unanswerable."""
    if not at_once:
        await transfers.wait_for(ids, wanted)
    where = transfers.where_known if at_once else partial(transfers.where, waited=True)
    found = list[list[Party] | None]()
    for each in ids:
        try:
            found.append(await parties_of(transfers, each, where))
        except (NotFound, Ambiguous, NotKnown):
            found.append(None)
        except Unanswerable:
            if not at_once:
                raise
            found.append(None)
        await asyncio.sleep(0)  # others get a turn: an outcome may be in a large block
    return found


async def parties_of(transfers: Transfers, transfer_id: bytes, where: Where | None = None) -> list[Party]:
    """where: None: as `Transfers.where` says. Raises NotFound, Ambiguous, Unanswerable, what where raises."""
    where = where or transfers.where
    partition, place = await where(transfer_id)
    found: dict[str | None, Party] = {}
    _add(found, await _of_place(transfers, partition, place, transfer_id))
    link, kind = (
        (place.link, place.kind)
        if isinstance(place, OpenTransfer)
        else _link(await transfers.outcome_at(partition, place))
    )
    if kind in _ABOUT_ANOTHER and link is not None and any(link):
        _add(found, await _of_link(transfers, link, kind is Kind.REVERSE, where))
    if not isinstance(place, OpenTransfer):
        _add(found, _changed(await transfers.outcome_at(partition, place), transfers.state(partition)))
    return list(found.values())


def _add(found: dict[str | None, Party], more: Iterable[Party]) -> None:
    """Each once. Whoever gave and received in two commands of one story is told as both, which is as nothing known."""
    for party in more:
        name = party.account
        if name is not None and name.startswith("@"):  # one for each asset, and all are the system's
            name = name.partition(":")[0]
        if name not in found:
            found[name] = party
        elif party.gives is not None and found[name].gives not in (None, party.gives):
            found[name] = Party(party.account, None)


def _link(outcome: Outcome) -> tuple[bytes | None, Kind]:
    return outcome.link, outcome.kind


async def _of_place(transfers: Transfers, partition: int, place: Place | OpenTransfer, id16: bytes) -> list[Party]:
    if isinstance(place, OpenTransfer):
        names = await transfers.names(partition, place.begun, place.id, place.link, place.legs)
        return list(_of_legs(place.legs, names))
    outcome = await transfers.outcome_at(partition, place)
    if outcome.kind in (Kind.ANSWER, Kind.TIMEOUT):
        return await _of_process(transfers, partition, outcome, id16)
    told = [Party(leg.account, leg.amount < 0) for leg in outcome.legs]
    return told or _of_plain(transfers.state(partition), id16)


async def _of_process(transfers: Transfers, partition: int, end: Outcome, id16: bytes) -> list[Party]:
    """Of a transfer across partitions that is over: as it began."""
    begun = home_blocks_before(end)[0]
    command = beginning((await transfers.answers(partition, begun)).outcomes, id16)
    legs = process_legs(command)
    names = await transfers.names(partition, begun, id16, command.link or bytes(16), legs)
    return list(_of_legs(legs, names))


def _of_legs(legs: Iterable[KeyedLeg], names: Names) -> Iterator[Party]:
    for leg in legs:
        name = names.get((leg.key, leg.asset_hash))
        yield Party(None if name is None else name.account, leg.amount < 0)


def _of_plain(state: State, id16: bytes) -> list[Party]:
    """Of a plain done transfer, whose block does not say who gave: the table of ids remembers."""
    with state.lock:
        row = state.ids.find(id16)
        if row is None or int(state.ids.rows[row, AMOUNT].view("<i8")) <= 0:
            return []
        parties = int(state.ids.rows[row, PARTIES])
        debit, credit = parties >> _PARTY_BITS, parties & ((1 << _PARTY_BITS) - 1)
        return [Party(state.row_name(debit), True), Party(state.row_name(credit), False)]


async def _of_link(transfers: Transfers, link: bytes, turned: bool, where: Where) -> list[Party]:
    """Of the hold or transfer that a command is about. turned: who received then gives now."""
    try:
        partition, place = await where(link)
        found = await _of_place(transfers, partition, place, link)
    except NotFound:
        return []
    return [Party(each.account, each.gives ^ turned if each.gives is not None else None) for each in found]


def _changed(outcome: Outcome, state: State) -> Iterator[Party]:
    """Whoever was changed, whatever else is told."""
    for entry in outcome.entries:
        name = state.row_name(entry.account)
        if not name.startswith(TRANSIT):
            yield Party(name, None)
