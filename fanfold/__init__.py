"""fanfold for Python programs: a client of the wallet service. The service itself is started by the command `fanfold`."""

from fanfold.answers import (
    AccountState,
    BalanceChange,
    ConnectionState,
    Moved,
    Opened,
    OpenTransfer,
    Pending,
    PhasesMissed,
    Refusal,
    Step,
    SystemPart,
    SystemState,
    TransferPhase,
    Waiting,
)
from fanfold.asked import Asked
from fanfold.client import Client, NotAnswered
from fanfold.commands import Capture, Change, Hold, Leg, LegsTransfer, Open, Reverse, Transfer, Void, between
from fanfold.ids import uuid7
from fanfold.stream import StreamEnded

__all__ = [
    "AccountState",
    "Asked",
    "BalanceChange",
    "Capture",
    "Change",
    "Client",
    "ConnectionState",
    "Hold",
    "Leg",
    "LegsTransfer",
    "Moved",
    "NotAnswered",
    "Open",
    "OpenTransfer",
    "Opened",
    "Pending",
    "PhasesMissed",
    "Refusal",
    "Reverse",
    "Step",
    "StreamEnded",
    "SystemPart",
    "SystemState",
    "Transfer",
    "TransferPhase",
    "Void",
    "Waiting",
    "between",
    "uuid7",
]
