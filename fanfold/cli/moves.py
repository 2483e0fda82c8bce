"""Commands that move money, set it aside or send it back: `transfer`, `hold`, `capture`, `void`, `reverse`."""

from __future__ import annotations

from typing import Annotated

import typer

from fanfold.amounts import with_units
from fanfold.answers import Refusal
from fanfold.api.answers.commands import Moved
from fanfold.api.requests import Capture, Hold, HoldBetween, LegsTransfer, Reverse, Transfer, Void
from fanfold.cli.asking import ask, fail_refused
from fanfold.cli.move_options import Between, HowAcross, HowAsked, Movement, Note, Units, fail_typed, legs_instead_of

HoldId = Annotated[str, typer.Argument(metavar="HOLD", help="id of the hold")]


def transfer(*, movement: Movement, units: Units, across: HowAcross, note: Note, asked: HowAsked) -> None:
    """Move money from one account to another, or in legs, all or nothing.

    AMOUNT is typed as it is shown: 10 and 10.00 of USD/2 are ten dollars, and so are 1000 minor units with --minor.

    Ends with 1 when it is refused, with 2 when nobody knows, with 3 when it is still under way between partitions, with 4 when
    it is done and could not be told.

    Examples:

      fanfold transfer @world alice 10.00 USD/2

      fanfold transfer @world alice 1000 USD/2 --minor

      fanfold transfer alice bob 2.50 USD/2 --id 01970f3e-7b1a-7c3e-8a2b-1234567890ab

      fanfold transfer --leg alice=-2.50:USD/2 --leg bob=2.40:USD/2 --leg fees=0.10:USD/2 --protocol tcc
    """
    moved = movement.moved(units)
    kept = (asked.command_id(), across.named(), note.reference, note.texts())
    if isinstance(moved, Between):
        asked.ask_and_tell(Transfer(moved.from_, moved.to, moved.amount, moved.asset, *kept), across.wait)
    else:
        asked.ask_and_tell(LegsTransfer(moved, *kept), across.wait)


def hold(
    *,
    movement: Movement,
    deadline: Annotated[
        str | None, typer.Option(help="let it go then, if it is still there: a moment in UTC, 2026-01-01T00:00:00Z")
    ] = None,
    units: Units,
    note: Note,
    asked: HowAsked,
) -> None:
    """Hold money for somebody: nobody can spend it until it is captured or let go.

    Examples:

      fanfold hold alice shop 25.00 USD/2 --deadline 2030-01-01T00:00:00Z

      fanfold hold --leg alice=-25:USD/2 --leg shop=24:USD/2 --leg fees=1:USD/2
    """
    moved = movement.moved(units)
    kept = (asked.command_id(), deadline, note.reference, note.texts())
    if isinstance(moved, Between):
        asked.ask_and_tell(HoldBetween(moved.from_, moved.to, moved.amount, moved.asset, *kept))
    else:
        asked.ask_and_tell(Hold(moved, *kept))


def capture(
    hold: HoldId,
    amount: Annotated[
        str | None,
        typer.Argument(metavar="AMOUNT", help="as it is shown: 12.50 of USD/2; all that is left when left out"),
    ] = None,
    legs: Annotated[list[str] | None, legs_instead_of("AMOUNT")] = None,
    final: Annotated[bool, typer.Option("--final", help="let go what is left then")] = False,
    *,
    units: Units,
    across: HowAcross,
    note: Note,
    asked: HowAsked,
) -> None:
    """Move what is held, all of it or a part, as often as there is something left.

    Examples:

      fanfold capture 01970f3e-7b1a-7c3e-8a2b-1234567890ab

      fanfold capture 01970f3e-7b1a-7c3e-8a2b-1234567890ab 20.00 --final
    """
    if amount is not None and legs:
        fail_typed("Give either AMOUNT or --leg, not both.")
    part, moves = None, None
    if amount is not None and units.minor:
        part = units.of(amount, "AMOUNT", "")
        moves = f"{part} minor units of the hold"
    elif amount is not None:
        asset = _asset_of(hold, asked.url)
        part = units.of(amount, "AMOUNT", asset)
        moves = f"{with_units(part, asset)} of the hold"
    if part is not None and part <= 0:
        fail_typed("AMOUNT must be positive.")
    kept = (note.reference, note.texts())
    command = Capture(hold, part, units.legs_of(legs or ()), final, asked.command_id(), across.named(), *kept)
    asked.ask_and_tell(command, across.wait, moves=moves)


def _asset_of(hold: str, url: str) -> str:
    """What a hold holds: an amount means nothing without it. Ends the command where that is not one thing."""
    found = ask(url, lambda client: client.transfer_outcome(hold))
    if isinstance(found, Refusal):
        fail_refused(found)
    assets = {state.asset for state in found.accounts} if isinstance(found, Moved) else set()
    if len(assets) != 1:
        fail_typed(
            "What is held is not of one asset: give --leg ACCOUNT=AMOUNT:ASSET for each. Nothing was asked to change."
        )
    return assets.pop()


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
