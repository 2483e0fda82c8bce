"""A webhook as a value: where it goes, what it wants, and what becomes of what could not be delivered."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fanfold.api import grammar

HOOKS_MAX: Final = 32
"""Each has its own back-off, and at most two deliveries under way; together they stay below some hundred MB."""

Exhausted = Literal["go-on", "pause"]
"""What becomes of the webhook whose delivery was tried for the last time: it is put on the list of dead letters and the next one
goes on, or everything stays where it is until a person resumes it."""

_PREFIX: Final = re.compile(r"[A-Za-z0-9@][A-Za-z0-9@_.:/-]{0,63}", re.ASCII)


class Wants(NamedTuple):
    """account: one; prefix: all whose ids begin so; neither: all that somebody opened (not `@world` and `@transit`)."""

    account: str | None = None
    prefix: str | None = None

    def __str__(self) -> str:
        if self.account is not None:
            return self.account
        return "all accounts" if self.prefix is None else f"{self.prefix}*"

    def of(self, accounts: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
        """Which of these are wanted, bool[n]. accounts: row names, strings."""
        if self.account is not None:
            found = pc.equal(accounts, self.account)
        elif self.prefix is not None:
            found = pc.starts_with(accounts, self.prefix)
        else:
            found = pc.invert(pc.starts_with(accounts, "@"))
        return np.asarray(found.combine_chunks())


class Hook(NamedTuple):
    """A webhook. begin_at_us: where it has no place in a partition yet, it begins behind the last block of before that time.

    paused: why nothing is sent; None while it is. generation: one more for each replay, so that what was under way then is not
    taken for an answer to what is asked now. secrets: those valid now, the newest first; nothing prints them.
    """

    id: str
    url: str
    wants: Wants
    private: bool
    exhausted: Exhausted
    attempts: int
    hours: float
    begin_at_us: int
    paused: str | None
    generation: int
    secrets: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Hook({self.id})"


def wants_of(account: str | None, prefix: str | None, everything: bool) -> Wants:
    """What a person asked for. Raises ValueError."""
    if (account is not None) + (prefix is not None) + everything != 1:
        raise ValueError("say what it is to be told: --account, --prefix or --all, one of them")
    if account is not None and not re.fullmatch(
        f"{grammar.ACCOUNT}|@(?:world|transit):{grammar.ASSET}", account, re.ASCII
    ):
        raise ValueError(f"{account!r} is no account (@world and @transit have their asset behind them, @world:USD/2)")
    if prefix is not None and not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{prefix!r} begins no account's id")
    return Wants(account, prefix)
