"""How transfers under way and open holds are told: the JSON of what the phase table has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fanfold.api.malformed import Malformed
from fanfold.api.questions import OPEN
from read_side.fold.phase_table import OpenHold, OpenTransfer, Waiting
from read_side.tell.transfer_legs import Names, leg_documents
from write_side.contract.state.pending_columns import Phase
from write_side.contract.state.phase_plan import OPEN_PHASES
from write_side.contract.tell.answers import link_member, positions_reached, step_document
from write_side.contract.words.atoms import format_transfer_id
from write_side.contract.words.position import Position
from write_side.contract.words.times import format_time

_PHASES: Final = {phase.name.lower(): phase for phase in OPEN_PHASES}


def parse_phases(text: str) -> frozenset[Phase]:
    """`trying,compensating`, or `open` for all. Raises Malformed."""
    words = text.split(",")
    if words == [OPEN]:
        return frozenset(OPEN_PHASES)
    if len(set(words)) != len(words) or not set(words) <= _PHASES.keys():
        raise Malformed("parameter_malformed", "phase", f"must be open, or some of {', '.join(_PHASES)} with commas")
    return frozenset(_PHASES[word] for word in words)


def parse_partitions(text: str, partitions: int) -> list[int]:
    """`0,2`: each once, of a log with this many. Raises Malformed."""
    words = text.split(",")
    known = {str(partition): partition for partition in range(partitions)}
    if len(set(words)) != len(words) or not set(words) <= known.keys():
        raise Malformed("parameter_malformed", "partitions", f"must be some of 0 to {partitions - 1} with commas")
    return sorted(known[word] for word in words)


def open_transfer_document(transfer: OpenTransfer, now_us: int) -> dict[str, Any]:
    """One line of the list of transfers under way."""
    return {
        "id": format_transfer_id(transfer.id),
        "protocol": transfer.protocol,
        "phase": transfer.phase.name.lower(),
        "partition": transfer.partition,
        "begun": str(Position(transfer.partition, transfer.begun)),
        "age_ms": max(0, now_us - transfer.begun_at_us) // 1000,
        "waiting_for": _waiting(transfer.waiting_for),
    }


def pending_document(transfer: OpenTransfer, names: Names, now_us: int) -> dict[str, Any]:
    """A transfer under way, with everything that was done for it; its position is that of all of it."""
    at_us = max((step.at_us for step in transfer.steps), default=transfer.begun_at_us)
    document = open_transfer_document(transfer, now_us)
    document["result"] = "pending"
    document["position"] = positions_reached(Position(transfer.partition, transfer.begun), transfer.steps)
    document["at"] = format_time(max(at_us, transfer.begun_at_us))
    document |= link_member(transfer.kind, transfer.link)
    document["steps"] = [step_document(step) for step in transfer.steps]
    document["legs"] = leg_documents(transfer.legs, names)
    return document


def hold_members(hold: OpenHold | None, names: Names) -> dict[str, Any]:
    """What is said of a hold beside its answer: its state now, what is left of it, and when it ends by itself."""
    if hold is None:
        return {"state": "over"}
    left = [{name: leg[name] for name in ("account", "amount", "asset")} for leg in leg_documents(hold.left, names)]
    document: dict[str, Any] = {"state": hold.state.name.lower(), "left": left}
    if hold.deadline_us:
        document["deadline"] = format_time(hold.deadline_us)
    return document


def hold_document(hold: OpenHold, amount: int) -> dict[str, Any]:
    """One line of the list of holds that are open on an account, of which it holds so much."""
    document: dict[str, Any] = {
        "id": format_transfer_id(hold.id),
        "amount": str(amount),
        "state": hold.state.name.lower(),
        "at": format_time(hold.at_us),
    }
    return document | ({"deadline": format_time(hold.deadline_us)} if hold.deadline_us else {})


def _waiting(waiting: Sequence[Waiting]) -> list[dict[str, Any]]:
    return [{"step": each.step, "partition": each.partition, "action": each.action.name.lower()} for each in waiting]
