"""fanfold for Python programs: a client of the wallet service. The service itself is started by the command `fanfold`."""

from fanfold.answers import AccountState, BalanceChange, ConnectionState, Moved, Opened, Refusal
from fanfold.client import Client, NotAnswered, Open, Transfer
from fanfold.ids import uuid7
from fanfold.stream import StreamEnded

__all__ = [
    "AccountState",
    "BalanceChange",
    "Client",
    "ConnectionState",
    "Moved",
    "NotAnswered",
    "Open",
    "Opened",
    "Refusal",
    "StreamEnded",
    "Transfer",
    "uuid7",
]
