"""`fanfold proof`: what an auditor needs of an account as of a moment, and its check against the blocks alone."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from deploy.named_log import open_log_to_read
from fanfold.answers import Refusal
from fanfold.api import grammar
from fanfold.api.answers.accounts import AccountState
from fanfold.api.malformed import Malformed
from fanfold.api.values import read, told_of
from fanfold.cli.asking import DEFAULT_URL, Url, ask, fail_refused, refuse_system
from fanfold.cli.known_failures import UNREADABLE, failures_told
from fanfold.cli.output import complain, say
from read_side.wiring import Checked, check_proof
from write_side.contract.words.atoms import NO_FLOOR, available
from write_side.contract.words.position import parse_positions

DOES_NOT_HOLD: Final = 1
PROOF_BYTES_MAX: Final = 1 << 20
_MOMENT: Final = re.compile(grammar.AS_OF, re.ASCII)


def proof(
    account: Annotated[str | None, typer.Argument(metavar="ACCOUNT", help="id of the account")] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="MOMENT", help="a time (UTC), a position, or a version of the account")
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="a file that `fanfold proof` has printed, - for standard input")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Print what an account was at a moment, with the block that says so; or check such a statement against the log.

    The check asks no service: it reads the log that FANFOLD_LOG names from its first block on, checks and folds every block up to
    the one that is named, and compares. Who has noted the hash of that block elsewhere knows that no byte before it was changed.
    Ends with 0 when everything holds, with 1 when not, with 2 when it could not be looked at.

    Examples:

      fanfold proof alice --as-of 2026-01-31T12:00:00Z > proof.json

      fanfold proof --check proof.json
    """
    if check is not None and account is None and as_of is None:
        _check(check)
    elif check is None and account is not None and as_of is not None:
        refuse_system([account])
        _print(account, as_of, url)
    else:
        raise typer.BadParameter("takes ACCOUNT and --as-of, or --check alone")


def _print(account: str, as_of: str, url: str) -> None:
    state = ask(url, lambda client: client.balance(account, as_of=as_of))
    if isinstance(state, Refusal):
        fail_refused(state)
    say(json.dumps({"as_of": as_of, "account": told_of(state)}, indent=2))


def _check(file: Path) -> None:
    with failures_told(UNREADABLE):
        as_of, state = _read(file)
        checked = asyncio.run(_checked(state))
        wrong = [*checked.wrong, *_of_moment(as_of, state, checked)]
    if wrong:
        complain("\n".join(wrong))
        say(f"DOES NOT HOLD: {len(wrong)} differ, {checked.blocks:,} blocks were read", code=DOES_NOT_HOLD)
        raise typer.Exit(DOES_NOT_HOLD)
    say(
        f"holds: {state.account} was so at block {state.position}, whose hash is {state.block_hash}; {checked.blocks:,} blocks "
        "were read, checked and folded"
    )


async def _checked(state: AccountState) -> Checked:
    log = await open_log_to_read()
    try:
        return await check_proof(log, state)
    finally:
        await log.close()


def _read(file: Path) -> tuple[str, AccountState]:
    """Raises ValueError."""
    data = sys.stdin.buffer.read(PROOF_BYTES_MAX) if str(file) == "-" else file.read_bytes()[:PROOF_BYTES_MAX]
    try:
        said: dict[str, Any] = json.loads(data)
        as_of, state = str(said["as_of"]), read(AccountState, said["account"])
        if len(parse_positions(state.position)) != 1 or _MOMENT.fullmatch(as_of) is None:
            raise ValueError("a state of one partition, as of a moment")
        _us(state.at)
        _us(as_of if "T" in as_of else state.at)
        return as_of, state
    except (ValidationError, KeyError, TypeError, ValueError, Malformed):
        raise ValueError(f"{file} is nothing that `fanfold proof ACCOUNT --as-of ...` has printed") from None


def _of_moment(as_of: str, state: AccountState, checked: Checked) -> list[str]:
    """Whether what was said belongs to the moment that was asked for."""
    wrong = []
    if state.block_hash is None:
        wrong.append("it names no block hash, so nothing says which blocks are meant")
    if state.available != available(state.posted, state.held, NO_FLOOR if state.floor is None else state.floor):
        wrong.append("available is not posted - held - floor")
    if state.final and checked.later_at_us is None and "T" in as_of:
        wrong.append("it is said to be final, and no later block is known")
    if as_of.isdigit():
        return wrong + ([] if int(as_of) == state.version else [f"it is of version {state.version}, not of {as_of}"])
    if checked.version is not None and checked.version != state.version:
        wrong.append(
            f"at the end of block {state.position} the account had version {checked.version}, not {state.version}"
        )
    if "T" not in as_of:
        positions, [(partition, sequence)] = parse_positions(as_of, "as_of"), parse_positions(state.position).items()
        return wrong + ([] if positions.get(partition) == sequence else [f"block {state.position} is none of {as_of}"])
    asked_us = _us(as_of)
    if _us(state.at) > asked_us:
        wrong.append(f"the account changed at {state.at}, after {as_of}")
    if checked.later_at_us is not None and checked.later_at_us <= asked_us:
        wrong.append(f"a later block is of {as_of} or before, too")
    if state.final is False and checked.later_at_us is not None:
        complain("it was not final when it was said, and is by now")
    return wrong


def _us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)
