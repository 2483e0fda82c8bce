"""Commands about money that is set aside or sent back: `hold`, `capture`, `void`, `reverse`."""

from __future__ import annotations

from typing import Annotated

import typer

from fanfold.cli.moving import HowAcross, HowAsked, Legs, Movement, Note, fail_typed, legs_of, whole_number
from fanfold.commands import Capture, Hold, Reverse, Void

HoldId = Annotated[str, typer.Argument(metavar="HOLD", help="id of the hold")]


def hold(
    *,
    movement: Movement,
    deadline: Annotated[
        str | None, typer.Option(help="let it go then, if it is still there: a moment in UTC, 2026-01-01T00:00:00Z")
    ] = None,
    note: Note,
    asked: HowAsked,
) -> None:
    """Hold money for somebody: nobody can spend it until it is captured or let go.

    Examples:

      fanfold hold alice shop 2500 USD/2 --deadline 2030-01-01T00:00:00Z

      fanfold hold --leg alice=-2500:USD/2 --leg shop=2400:USD/2 --leg fees=100:USD/2
    """
    asked.ask_and_tell(Hold(movement.to_legs(), asked.command_id(), deadline, note.reference, note.texts()))


def capture(
    hold: HoldId,
    amount: Annotated[str | None, typer.Argument(help="in minor units; all that is left when left out")] = None,
    legs: Legs = None,
    final: Annotated[bool, typer.Option("--final", help="let go what is left then")] = False,
    *,
    across: HowAcross,
    note: Note,
    asked: HowAsked,
) -> None:
    """Move what is held, all of it or a part, as often as there is something left.

    Examples:

      fanfold capture 01970f3e-7b1a-7c3e-8a2b-1234567890ab

      fanfold capture 01970f3e-7b1a-7c3e-8a2b-1234567890ab 2000 --final
    """
    if amount is not None and legs:
        fail_typed("Give either AMOUNT or --leg, not both.")
    part = None if amount is None else whole_number(amount, "AMOUNT")
    command = Capture(
        hold, part, legs_of(legs or ()), final, asked.command_id(), across.named(), note.reference, note.texts()
    )  # fmt: skip
    asked.ask_and_tell(command, across.wait)


def void(hold: HoldId, *, asked: HowAsked) -> None:
    """Let a hold go: what it held can be spent again.

    Examples:

      fanfold void 01970f3e-7b1a-7c3e-8a2b-1234567890ab
    """
    asked.ask_and_tell(Void(hold, asked.command_id()))


def reverse(
    transfer: Annotated[str, typer.Argument(metavar="TRANSFER", help="id of the transfer")],
    *,
    across: HowAcross,
    note: Note,
    asked: HowAsked,
) -> None:
    """Move the money of a done transfer back, at most once.

    Examples:

      fanfold reverse 01970f3e-7b1a-7c3e-8a2b-1234567890ab --reference "wrong account"
    """
    asked.ask_and_tell(Reverse(transfer, asked.command_id(), across.named(), note.reference, note.texts()), across.wait)
