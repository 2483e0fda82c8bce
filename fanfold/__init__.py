"""fanfold for Python programs: a client of the wallet service. The service itself is started by the command `fanfold`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fanfold.answers import (
        AccountStatus,
        BalanceChange,
        ConnectionState,
        Opened,
        PhasesMissed,
        Refusal,
        SystemPart,
        SystemState,
        TopicAnswer,
        TransferPhase,
    )
    from fanfold.api.answers.accounts import AbsentAccount, Accounts, AccountState, ListedAccount, PartitionThen
    from fanfold.api.answers.commands import Moved, Pending, Step
    from fanfold.api.answers.positions import PartitionNow, PartitionProgress, PositionsNow
    from fanfold.api.answers.stale import StalePartition
    from fanfold.api.answers.statement import Entries, Entry
    from fanfold.api.answers.under_way import OpenTransfer, OpenTransfers, Waiting
    from fanfold.api.ids import uuid7
    from fanfold.api.request_parts import CapturedLeg, Leg
    from fanfold.api.requests import (
        Capture,
        Change,
        Hold,
        HoldBetween,
        LegsTransfer,
        Open,
        Reverse,
        Transfer,
        Void,
        between,
    )
    from fanfold.asked import Asked
    from fanfold.client import Client, NotAnswered
    from fanfold.statement import Statement
    from fanfold.stream_connection import StreamEnded

__all__ = [
    "AbsentAccount",
    "AccountState",
    "AccountStatus",
    "Accounts",
    "Asked",
    "BalanceChange",
    "Capture",
    "CapturedLeg",
    "Change",
    "Client",
    "ConnectionState",
    "Entries",
    "Entry",
    "Hold",
    "HoldBetween",
    "Leg",
    "LegsTransfer",
    "ListedAccount",
    "Moved",
    "NotAnswered",
    "Open",
    "OpenTransfer",
    "OpenTransfers",
    "Opened",
    "PartitionNow",
    "PartitionProgress",
    "PartitionThen",
    "Pending",
    "PhasesMissed",
    "PositionsNow",
    "Refusal",
    "Reverse",
    "StalePartition",
    "Statement",
    "Step",
    "StreamEnded",
    "SystemPart",
    "SystemState",
    "TopicAnswer",
    "Transfer",
    "TransferPhase",
    "Void",
    "Waiting",
    "between",
    "uuid7",
]

_FROM: Final = {
    "fanfold.answers": "AccountStatus BalanceChange ConnectionState Opened PhasesMissed Refusal SystemPart SystemState "
    "TopicAnswer TransferPhase",
    "fanfold.api.answers.accounts": "AbsentAccount AccountState Accounts ListedAccount PartitionThen",
    "fanfold.api.answers.commands": "Moved Pending Step",
    "fanfold.api.answers.positions": "PartitionNow PartitionProgress PositionsNow",
    "fanfold.api.answers.stale": "StalePartition",
    "fanfold.api.answers.statement": "Entries Entry",
    "fanfold.api.answers.under_way": "OpenTransfer OpenTransfers Waiting",
    "fanfold.api.ids": "uuid7",
    "fanfold.api.request_parts": "CapturedLeg Leg",
    "fanfold.api.requests": "Capture Change Hold HoldBetween LegsTransfer Open Reverse Transfer Void between",
    "fanfold.asked": "Asked",
    "fanfold.client": "Client NotAnswered",
    "fanfold.statement": "Statement",
    "fanfold.stream_connection": "StreamEnded",
}
_WHERE: Final = {name: module for module, names in _FROM.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Loaded when asked for (PEP 562): a side that reads `fanfold.api` has no use for a client and what it needs."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
