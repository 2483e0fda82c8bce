"""A refusal names what is meant, as far as its block tells it; so it says the same whenever it is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from fanfold.api.problems import KEPT_BY_ID
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from tests.unit.write_side.two_partitions import account
from write_side.contract.tell.answers import Answer, BlockAnswers
from write_side.contract.words.atoms import LIMIT
from write_side.contract.words.codes import Flag
from write_side.ledger.commands.commands import Change, Command, Leg, LegsTransfer, OpenAccount, Transfer

ID = id_at(NOON_US, 100)
NEAR, FAR = account(0, "near"), account(1, "far")


def refused(command: Command, partition: DecidingPartition | None = None) -> dict[str, Any]:
    """The refusal, asked for at once and after everything that it says is missing was opened."""
    partition = partition or DecidingPartition()
    partition.decide([OpenAccount("alice", "USD/2", 0, ""), OpenAccount("eve", "EUR/2", 0, "")], NOON_US)
    partition.decide([Transfer(id_at(NOON_US, 1), "@world", "alice", 100, "USD/2")], NOON_US + 1)
    frozen = Change(id_at(NOON_US, 2), "eve", Flag.DEBIT_FROZEN | Flag.CREDIT_FROZEN, Flag(0))
    partition.decide([OpenAccount("rich", "USD/2", -LIMIT, ""), frozen], NOON_US + 2)
    block = partition.decide([command], NOON_US + 3)
    answer = BlockAnswers(block, partition.state).answer(0)
    partition.decide([OpenAccount("nobody", "USD/2", 0, ""), OpenAccount("nobody-too", "JPY/0", 0, "")], NOON_US + 4)
    partition.decide([Transfer(id_at(NOON_US, 3), "@world", "nobody", 5, "USD/2")], NOON_US + 5)
    assert BlockAnswers(block, partition.state).answer(0) == answer
    assert isinstance(answer, Answer)
    assert str(answer.document["detail"]).endswith(KEPT_BY_ID)
    return answer.document


@pytest.mark.parametrize(
    ("command", "code", "account", "told"),
    [
        (Transfer(ID, "alice", "nobody", 5, "USD/2"), "account_unknown", None, "One of alice, nobody is not open."),
        (
            Transfer(ID, "@world", "alice", 5, "JPY/0"),
            "account_unknown",
            None,
            "alice is not open, or no account of its partition has JPY/0 yet.",
        ),
        (Transfer(ID, "alice", "eve", 5, "USD/2"), "asset_mismatch", "eve", "eve has EUR/2, not USD/2."),
        (Transfer(ID, "alice", "rich", 500, "USD/2"), "insufficient_available", "alice", "It is alice."),
        (
            Transfer(ID, "@world", "rich", LIMIT, "USD/2"),
            "balance_limit_exceeded",
            None,
            "It is one of rich, the @world of partition 0.",
        ),
        (Transfer(ID, "@world", "eve", 5, "EUR/2"), "account_frozen_for_credit", "eve", "It is eve."),
        (Transfer(ID, "eve", "@world", 5, "EUR/2"), "account_frozen_for_debit", "eve", "It is eve."),
        (
            LegsTransfer(ID, (Leg("alice", -5, "USD/2", if_version=9), Leg("rich", 5, "USD/2"))),
            "version_differs",
            "alice",
            "It is alice.",
        ),
        (Change(ID, "nobody", Flag.DEBIT_FROZEN, Flag(0)), "account_unknown", "nobody", "nobody is not open."),
        (Change(ID, "alice", Flag.CLOSED, Flag(0)), "account_not_empty", "alice", "It is alice."),
    ],
)
def test_a_refusal_names_the_accounts_that_may_be_meant(
    command: Command, code: str, account: str | None, told: str
) -> None:
    document = refused(command)
    assert document["code"] == code
    assert document.get("account") == account
    assert told in document["detail"]


def test_a_change_of_an_account_speaks_of_no_transfer() -> None:
    document = refused(Change(ID, "nobody", Flag.CLOSED, Flag(0)))
    said = f"{document['title']} {document['detail']}"
    assert not any(word in said for word in ("money", "transfer", "@world"))


def test_an_account_of_another_partition_is_not_meant() -> None:
    document = refused(Transfer(ID, NEAR, FAR, 5, "USD/2"), DecidingPartition(0, 2))
    assert (document["code"], document["account"]) == ("account_unknown", NEAR)
    assert FAR not in document["detail"]
