"""One table of words: every code has one, no two are the same, and the loop keeps the order that is published."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from fanfold.api.problems import PROBLEMS, problem_document
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from write_side.contract.words.atoms import LIMIT, NO_FLOOR, partition_of
from write_side.contract.words.codes import NOT_REMEMBERED, PRECEDENCE, REFUSALS, Code, Flag, Kind, flag_words, word_of
from write_side.ledger.commands.commands import Command, OpenAccount, Transfer


def test_every_code_that_refuses_has_a_word_of_its_own() -> None:
    words = [word_of(code) for code in Code if code in REFUSALS]
    assert len(set(words)) == len(words)
    assert {code for code in Code if word_of(code) == "done"} == {
        Code.DONE,
        Code.EXISTS,
        Code.REPEATED,
        Code.PENDING,
        Code.STALE,
    }
    assert set(words) <= set(PROBLEMS)


def test_every_code_has_its_place_in_the_order_of_precedence() -> None:
    assert {code for codes in PRECEDENCE.values() for code in codes} == set(Code)
    for codes in PRECEDENCE.values():
        assert len(set(codes)) == len(codes)
        assert codes[-1] is Code.DONE


def test_flags_are_told_as_words_in_the_order_of_their_bits() -> None:
    assert flag_words(0) == []
    assert flag_words(Flag.CLOSED | Flag.DEBIT_FROZEN) == ["debit_frozen", "closed"]
    assert flag_words(Flag.CREDIT_FROZEN) == ["credit_frozen"]


def test_an_id_that_never_ran_because_of_its_time_is_not_occupied() -> None:
    assert set(NOT_REMEMBERED) == set(PRECEDENCE[Kind.TRANSFER][:6])
    assert PRECEDENCE[Kind.TRANSFER][4:6] == (Code.NOT_RUN, Code.ID_MEMORY_FULL)


@pytest.mark.parametrize("word", PROBLEMS)
def test_a_problem_document_is_complete(word: str) -> None:
    document = problem_document(word, id="7", available=None)
    assert document["type"] == f"urn:fanfold:problem:{word}"
    assert document["code"] == word
    assert document["id"] == "7"
    assert "available" not in document
    assert isinstance(document["status"], int)
    assert 400 <= document["status"] < 600
    assert document["title"]
    assert document["detail"]


def test_a_problem_document_may_say_its_own_detail() -> None:
    assert problem_document("not_ready", detail="Folding.")["detail"] == "Folding."


def test_a_word_that_is_not_in_the_table_is_a_bug() -> None:
    with pytest.raises(KeyError):
        problem_document("made_up")


HERE, ELSEWHERE = 0, 1
ALL_NAMES = [f"n{n}" for n in range(30)]
POOR, RICH, FULL, PLAIN_NAME, EURO, UNKNOWN = [name for name in ALL_NAMES if partition_of(name, 2) == HERE][:6]
FAR = next(name for name in ALL_NAMES if partition_of(name, 2) == ELSEWHERE)
DAY_US = 24 * 3600 * 1_000_000

Twist = Callable[[Transfer], Transfer]
TWISTS: dict[Code, Twist] = {
    # An id in use and one with a wrong time exclude each other, for a time that was wrong never got into use.
    Code.ID_REUSED: lambda transfer: transfer._replace(id=id_at(NOON_US, 1)),
    Code.ID_EXPIRED: lambda transfer: transfer._replace(id=id_at(NOON_US - 8 * DAY_US, 2)),
    Code.ID_IN_FUTURE: lambda transfer: transfer._replace(id=id_at(NOON_US + DAY_US, 3)),
    Code.ACCOUNT_UNKNOWN: lambda transfer: transfer._replace(debit=UNKNOWN),
    Code.ASSET_MISMATCH: lambda transfer: transfer._replace(asset="EUR/2"),
    Code.INSUFFICIENT_AVAILABLE: lambda transfer: transfer._replace(
        debit=POOR if transfer.debit == RICH else transfer.debit
    ),
    Code.BALANCE_LIMIT: lambda transfer: transfer._replace(
        credit=FULL if transfer.credit == PLAIN_NAME else transfer.credit
    ),
}


def _prepared() -> DecidingPartition:
    partition = DecidingPartition(HERE, 2)
    opening: list[Command] = [
        OpenAccount(POOR, "USD/2", 0, ""),
        OpenAccount(RICH, "USD/2", NO_FLOOR, ""),
        OpenAccount(FULL, "USD/2", 0, ""),
        OpenAccount(PLAIN_NAME, "USD/2", 0, ""),
        OpenAccount(EURO, "EUR/2", 0, ""),
        Transfer(id_at(NOON_US, 1), "@world", FULL, LIMIT, "USD/2"),
    ]
    block = partition.decide(opening, NOON_US)
    assert block.outcomes["code"].tolist() == [Code.DONE] * 6
    return partition


def _decided(transfer: Transfer) -> Code:
    return Code(_prepared().decide([transfer], NOON_US + 1).outcomes["code"][0])


PLAIN = Transfer(id_at(NOON_US, 9), RICH, PLAIN_NAME, 5, "USD/2")


def test_the_transfer_without_a_twist_is_done() -> None:
    assert _decided(PLAIN) is Code.DONE


def test_a_transfer_to_another_partition_is_begun_unless_a_leg_of_its_own_partition_breaks_a_rule() -> None:
    away = PLAIN._replace(credit=FAR)
    assert _decided(away) is Code.PENDING
    for code in (Code.ACCOUNT_UNKNOWN, Code.ASSET_MISMATCH, Code.INSUFFICIENT_AVAILABLE):
        assert _decided(TWISTS[code](away)) is code


@pytest.mark.parametrize("code", TWISTS)
def test_each_condition_alone_gives_its_own_code(code: Code) -> None:
    assert _decided(TWISTS[code](PLAIN)) is code


@pytest.mark.parametrize(
    "codes",
    [
        *itertools.combinations(TWISTS, 2),
        *itertools.combinations(list(TWISTS)[3:], 3),
        tuple(TWISTS),
        tuple(TWISTS)[1:],
    ],
    ids=lambda codes: "+".join(code.name for code in codes),
)
def test_of_several_conditions_the_first_in_the_table_answers(codes: tuple[Code, ...]) -> None:
    """The last id given counts: an id cannot be in use, too old and too new at once, so those three are twisted last first."""
    transfer = PLAIN
    for code in sorted(codes, key=PRECEDENCE[Kind.TRANSFER].index, reverse=True):
        transfer = TWISTS[code](transfer)
    assert _decided(transfer) is min(codes, key=PRECEDENCE[Kind.TRANSFER].index)


def test_a_repeat_answers_before_anything_else_can_be_wrong_with_it() -> None:
    partition = _prepared()
    everything_wrong = PLAIN
    for code in (Code.BALANCE_LIMIT, Code.INSUFFICIENT_AVAILABLE, Code.ASSET_MISMATCH, Code.ACCOUNT_UNKNOWN):
        everything_wrong = TWISTS[code](everything_wrong)
    for expected in (Code.ACCOUNT_UNKNOWN, Code.REPEATED):
        at_us = partition.state.chained.created_at_us + 1
        assert partition.decide([everything_wrong], at_us).outcomes["code"].tolist() == [expected]


def test_an_opening_at_the_wrong_partition_says_so_first() -> None:
    partition = _prepared()
    opened: list[Command] = [OpenAccount(FAR, "USD/2", 0, ""), OpenAccount(RICH, "EUR/2", 0, "")]
    codes = partition.decide(opened, NOON_US + 1).outcomes["code"].tolist()
    assert codes == [Code.PARTITIONS_DIFFER, Code.ACCOUNT_EXISTS]


@pytest.mark.parametrize("word", [word for word, problem in PROBLEMS.items() if problem.status in (500, 503)])
def test_who_could_not_ask_the_log_says_nothing_of_earlier_requests_with_the_same_id(word: str) -> None:
    if word != "id_memory_full":  # the log was asked
        assert "no money moved" not in PROBLEMS[word].detail.lower()
