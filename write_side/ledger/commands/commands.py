"""What a client may ask, as plain values: the doors make them, the intake routes them, the writer decides them.

Every field has been checked by the door that made it (`write_side/contract/words/atoms.py`), so nothing behind the door
checks a shape again; what depends on state (is the account there, is there enough) is the writer's to decide.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from fanfold.api import grammar
from write_side.contract.words.codes import Flag


class OpenAccount(NamedTuple):
    """Open an account, or find it open with the same terms.

    account  id of a client's account, never a system account
    asset    `CODE/exponent`; an account has one asset for ever
    floor    minor units, |floor| <= 10^18, the lowest that posted - held may reach; `NO_FLOOR` for none
    owner    whose account it is, printable text; "" for none
    """

    account: str
    asset: str
    floor: int
    owner: str


class Transfer(NamedTuple):
    """Move `amount` from `debit` to `credit`.

    id       16 bytes, a UUID, neither nil nor max; the same id never runs twice
    debit    account that gives; `@world` for a deposit
    credit   account that receives; `@world` for a withdrawal. Never the same as `debit`
    amount   minor units, 1..10^18
    asset    what is moved; both accounts must hold it
    """

    id: bytes
    debit: str
    credit: str
    amount: int
    asset: str


class Protocol(IntEnum):
    """How a transfer between partitions is run (DESIGN 5)."""

    SAGA = 0
    TCC = 1


class Mode(IntEnum):
    """What a refusal in a batch of commands means for its other lines."""

    CONTINUE = 0  # nothing
    STOP = 1  # those behind it are not run
    ATOMIC = 2  # none of them moves anything


ANY_VERSION: Final = -1
ANY_AVAILABLE: Final = -(2**63)
LEGS_MAX: Final = grammar.LEGS_MAX
"""With `@world` shared out over partitions these make at most 62 steps: one bit each in a process's mask."""


class Leg(NamedTuple):
    """One side of a transfer. amount: signed minor units, minus gives; conditions are tested before anything moves."""

    account: str
    amount: int
    asset: str
    if_version: int = ANY_VERSION
    if_available: int = ANY_AVAILABLE


class Note(NamedTuple):
    """What a client wants to find again: reference (printable, at most 128), metadata (canonical JSON object, or "")."""

    reference: str = ""
    metadata: str = ""


class LegsTransfer(NamedTuple):
    """Move all legs or none: 2 to `LEGS_MAX` of them, one an account, summing to zero per asset, sorted by (account, asset)."""

    id: bytes
    legs: tuple[Leg, ...]
    protocol: Protocol = Protocol.SAGA
    note: Note = Note()


class Hold(NamedTuple):
    """Authorise: hold what the legs with a minus give, until captured, voided, or `deadline_us` (UTC; 0 for none)."""

    id: bytes
    legs: tuple[Leg, ...]
    deadline_us: int = 0
    note: Note = Note()


class Capture(NamedTuple):
    """Move what is held. Everything left with amount 0 and no legs; `amount` of a hold of two legs; else these legs of it.

    final: what is left then is let go. A capture of everything ends the hold in any case.
    """

    id: bytes
    hold: bytes
    amount: int = 0
    legs: tuple[Leg, ...] = ()
    final: bool = False
    protocol: Protocol = Protocol.SAGA
    note: Note = Note()


class Void(NamedTuple):
    """Let a hold go, all of it."""

    id: bytes
    hold: bytes


class Reverse(NamedTuple):
    """Move the legs of a done transfer the other way round. `legs` are the reversal's own, found in the log by the intake."""

    id: bytes
    transfer: bytes
    legs: tuple[Leg, ...] = ()
    protocol: Protocol = Protocol.SAGA
    note: Note = Note()


class Change(NamedTuple):
    """Set and clear flags (`codes.Flag`) of an account."""

    id: bytes
    account: str
    set: Flag
    clear: Flag


Rich = LegsTransfer | Hold | Capture | Void | Reverse | Change
"""Commands with more to them than the columns of a plain transfer."""
Command = OpenAccount | Transfer | Rich
