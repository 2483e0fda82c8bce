"""Commands about money that is set aside or sent back: `hold`, `capture`, `void`, `reverse`."""

from __future__ import annotations

from typing import Annotated

import typer

from fanfold.cli.asking import DEFAULT_URL, AsJson, Url
from fanfold.cli.moving import (
    Amount,
    Asset,
    Credit,
    Debit,
    DryRun,
    Id,
    Legs,
    Metadata,
    Protocol,
    Reference,
    Wait,
    ask_and_tell,
    legs_of,
    metadata_of,
    protocol_of,
    whole_number,
)
from fanfold.commands import Capture, Hold, Reverse, Void

HoldId = Annotated[str, typer.Argument(metavar="HOLD", help="id of the hold")]


def hold(
    debit: Debit = None,
    credit: Credit = None,
    amount: Amount = None,
    asset: Asset = None,
    legs: Legs = None,
    deadline: Annotated[
        str | None, typer.Option(help="let it go then, if it is still there: a moment in UTC, 2026-01-01T00:00:00Z")
    ] = None,
    id: Id = None,
    reference: Reference = None,
    metadata: Metadata = None,
    dry_run: DryRun = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Hold money for somebody: nobody can spend it until it is captured or let go.

    Examples:

      fanfold hold alice shop 2500 USD/2 --deadline 2030-01-01T00:00:00Z

      fanfold hold --leg alice=-2500:USD/2 --leg shop=2400:USD/2 --leg fees=100:USD/2
    """
    command = Hold(legs_of(debit, credit, amount, asset, legs), id, deadline, reference, metadata_of(metadata))
    ask_and_tell(url, command, dry_run=dry_run, wait=None, as_json=as_json)


def capture(
    hold: HoldId,
    amount: Annotated[str | None, typer.Argument(help="in minor units; all that is left when left out")] = None,
    legs: Legs = None,
    final: Annotated[bool, typer.Option("--final", help="let go what is left then")] = False,
    id: Id = None,
    protocol: Protocol = None,
    reference: Reference = None,
    metadata: Metadata = None,
    dry_run: DryRun = False,
    wait: Wait = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Move what is held, all of it or a part, as often as there is something left.

    Examples:

      fanfold capture 01970f3e-7b1a-7c3e-8a2b-1234567890ab

      fanfold capture 01970f3e-7b1a-7c3e-8a2b-1234567890ab 2000 --final
    """
    part = None if amount is None else whole_number(amount, "AMOUNT")
    of_legs = legs_of(amount, None, None, None, legs) if legs else ()
    command = Capture(
        hold, part, of_legs, final, id, protocol_of(protocol), reference, metadata_of(metadata)
    )  # fmt: skip
    ask_and_tell(url, command, dry_run=dry_run, wait=wait, as_json=as_json)


def void(
    hold: HoldId,
    id: Id = None,
    dry_run: DryRun = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Let a hold go: what it held can be spent again.

    Examples:

      fanfold void 01970f3e-7b1a-7c3e-8a2b-1234567890ab
    """
    ask_and_tell(url, Void(hold, id), dry_run=dry_run, wait=None, as_json=as_json)


def reverse(
    transfer: Annotated[str, typer.Argument(metavar="TRANSFER", help="id of the transfer or capture")],
    id: Id = None,
    protocol: Protocol = None,
    reference: Reference = None,
    metadata: Metadata = None,
    dry_run: DryRun = False,
    wait: Wait = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Move the money of a done transfer back, at most once.

    Examples:

      fanfold reverse 01970f3e-7b1a-7c3e-8a2b-1234567890ab --reference "wrong account"
    """
    command = Reverse(transfer, id, protocol_of(protocol), reference, metadata_of(metadata))
    ask_and_tell(url, command, dry_run=dry_run, wait=wait, as_json=as_json)
