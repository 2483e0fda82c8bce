"""Commands about what an account may do: `freeze`, `unfreeze`, `close`, `reopen`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from fanfold.cli.asking import DEFAULT_URL, AsJson, Url
from fanfold.cli.moving import DryRun, Id, ask_and_tell
from fanfold.commands import Change

Account = Annotated[str, typer.Argument(help="id of the account")]
OfDebit = Annotated[bool, typer.Option("--debit", help="what it gives (default: both)")]
OfCredit = Annotated[bool, typer.Option("--credit", help="what it receives (default: both)")]


def freeze(
    account: Account,
    debit: OfDebit = False,
    credit: OfCredit = False,
    id: Id = None,
    dry_run: DryRun = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Freeze an account: it gives nothing, or receives nothing, until it is unfrozen.

    Examples:

      fanfold freeze alice

      fanfold freeze alice --debit
    """
    _change(account, "frozen", debit, credit, id, dry_run, url, as_json)


def unfreeze(
    account: Account,
    debit: OfDebit = False,
    credit: OfCredit = False,
    id: Id = None,
    dry_run: DryRun = False,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Unfreeze an account.

    Examples:

      fanfold unfreeze alice --credit
    """
    _change(account, "free", debit, credit, id, dry_run, url, as_json)


def close(
    account: Account, id: Id = None, dry_run: DryRun = False, url: Url = DEFAULT_URL, as_json: AsJson = False
) -> None:
    """Close an account. Only one at zero, with nothing held, can be closed.

    Examples:

      fanfold close alice
    """
    ask_and_tell(url, Change(account, state="closed", id=id), dry_run=dry_run, wait=None, as_json=as_json)


def reopen(
    account: Account, id: Id = None, dry_run: DryRun = False, url: Url = DEFAULT_URL, as_json: AsJson = False
) -> None:
    """Reopen a closed account.

    Examples:

      fanfold reopen alice
    """
    ask_and_tell(url, Change(account, state="open", id=id), dry_run=dry_run, wait=None, as_json=as_json)


def _change(
    account: str,
    word: Literal["frozen", "free"],
    debit: bool,
    credit: bool,
    id: str | None,
    dry_run: bool,
    url: str,
    as_json: bool,
) -> None:
    """Of both sides when neither is named."""
    both = not (debit or credit)
    command = Change(account, word if debit or both else None, word if credit or both else None, id=id)
    ask_and_tell(url, command, dry_run=dry_run, wait=None, as_json=as_json)
