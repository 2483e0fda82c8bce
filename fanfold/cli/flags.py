"""Commands about what an account may do: `freeze`, `unfreeze`, `close`, `reopen`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from fanfold.api.requests import Change
from fanfold.cli.move_options import HowAsked

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="id of the account")]


@dataclass(frozen=True)
class Sides:
    """Which sides of an account: both when neither is named."""

    debit: Annotated[bool, typer.Option("--debit", help="what it gives (default: both)")] = False
    credit: Annotated[bool, typer.Option("--credit", help="what it receives (default: both)")] = False

    def change(self, account: str, word: Literal["frozen", "free"], id: str) -> Change:
        both = not (self.debit or self.credit)
        return Change(account, word if self.debit or both else None, word if self.credit or both else None, id=id)


def freeze(account: Account, *, sides: Sides, asked: HowAsked) -> None:
    """Freeze an account: it gives nothing, or receives nothing, until it is unfrozen. What is held already may still be captured.

    Examples:

      fanfold freeze alice

      fanfold freeze alice --debit
    """
    asked.ask_and_tell(sides.change(account, "frozen", asked.command_id()))


def unfreeze(account: Account, *, sides: Sides, asked: HowAsked) -> None:
    """Unfreeze an account.

    Examples:

      fanfold unfreeze alice --credit
    """
    asked.ask_and_tell(sides.change(account, "free", asked.command_id()))


def close(account: Account, *, asked: HowAsked) -> None:
    """Close an account. Only one at zero, with nothing held, can be closed.

    Examples:

      fanfold close alice
    """
    asked.ask_and_tell(Change(account, state="closed", id=asked.command_id()))


def reopen(account: Account, *, asked: HowAsked) -> None:
    """Reopen a closed account.

    Examples:

      fanfold reopen alice
    """
    asked.ask_and_tell(Change(account, state="open", id=asked.command_id()))
