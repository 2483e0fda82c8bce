"""What a client may ask, as plain values: the doors make them, the intake routes them, the writer decides them.

Every field has been checked by the door that made it (`write_side/contract/atoms.py`), so nothing behind the door
checks a shape again; what depends on state (is the account there, is there enough) is the writer's to decide.
"""

from __future__ import annotations

from typing import NamedTuple


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


Command = OpenAccount | Transfer
