"""Bodies about holds: authorise, capture, void. The order of the rules is the one of `command_bodies.py`."""

from __future__ import annotations

from typing import Final

from write_side.body_fields import NOTE, Members, check_names, choice, command_id, deadline_us, note, protocol
from write_side.contract.atoms import parse_amount, parse_transfer_id
from write_side.ledger.commands import Capture, Hold, Void
from write_side.leg_bodies import LONG, SHORT, body_legs, long_form

_HOLD: Final = NOTE | {"id", "deadline", "dry_run"}
_CAPTURE: Final = NOTE | {"id", "final", "protocol", "dry_run"}
_VOID: Final = frozenset({"id", "dry_run"})


def hold(members: Members, key: str | None = None) -> Hold:
    """The body of `POST /v1/holds`. Raises Malformed."""
    if "legs" in members:
        check_names(members, _HOLD | LONG, "unknown, or not possible together with legs")
    else:
        check_names(members, _HOLD | SHORT)
    id = command_id(members, key)
    return Hold(id, body_legs(members), deadline_us(members), note(members))


def capture(held: object, members: Members, key: str | None = None) -> Capture:
    """The body of `POST /v1/holds/{held}/capture`. Raises Malformed."""
    if "legs" in members:
        check_names(members, _CAPTURE | LONG, "unknown, or not possible together with legs")
    else:
        check_names(members, _CAPTURE | {"amount"})
    return Capture(
        command_id(members, key),
        parse_transfer_id(held, "hold"),
        parse_amount(members["amount"]) if "amount" in members else 0,
        long_form(members, conditions=False) if "legs" in members else (),
        choice(members, "final"),
        protocol(members),
        note(members),
    )


def void(held: object, members: Members, key: str | None = None) -> Void:
    """The body of `POST /v1/holds/{held}/void`. Raises Malformed."""
    check_names(members, _VOID)
    return Void(command_id(members, key), parse_transfer_id(held, "hold"))
