"""Whose accounts are: what is known gives rights, what is not gives none, and what is there is not told from what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.identity.grants import Principal, Right, grant_of_text
from gateway.identity.owners import (
    KEPT_S,
    LOOKED_UP_MAX,
    NAME_BYTES_MAX,
    NAMES_MAX,
    QUESTIONS_AT_ONCE,
    NotLookedUp,
    Owners,
    TooManyNames,
)
from write_side.contract.words.atoms import partition_of

PARTITIONS = 4


class Accounts:
    """Those that the read side knows, by name their owners. asked: each question."""

    def __init__(self, **owners: str) -> None:
        self.owners = owners
        self.asked: list[list[str]] = []
        self.away = False
        self.under_way = self.most_at_once = 0
        self.now_s = 0.0
        self.chance = 0
        self.known = Owners(self.ask, lambda: PARTITIONS, self._next, lambda: self.now_s)

    async def ask(self, names: Sequence[str]) -> dict[str, str]:
        self.asked.append([*names])
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if self.away:
            raise NotLookedUp
        return {name: self.owners[name] for name in names if name in self.owners}

    def _next(self, _: int) -> int:
        self.chance = (self.chance * 69_069 + 1) % 2**32
        return self.chance >> 16


def of(*texts: str) -> Principal:
    return Principal("anna", tuple(map(grant_of_text, texts)))


ANNA = of("@owner:anna=read")


async def test_who_has_no_rights_over_an_owner_is_asked_nothing_about() -> None:
    accounts = Accounts(alice="anna")
    for principal in (of("alice=read"), of("@owner:*=read"), of()):
        assert await accounts.known.knowing(principal, ["alice"]) is principal
    await accounts.known.knowing(ANNA, ["@world"])
    assert accounts.asked == []


async def test_what_gives_a_right_is_kept_and_all_else_is_asked_each_time_as_one_question() -> None:
    accounts = Accounts(alice="anna", bobby="bob")
    for name in ("alice", "bobby", "ghost"):
        for _ in range(3):
            assert (await accounts.known.knowing(ANNA, [name])).may(Right.READ, name) is (name == "alice")
    asked = list(accounts.asked)
    assert [names[0] for names in asked] == ["alice", *["bobby"] * 3, *["ghost"] * 3]
    for names in asked:
        assert len(names) == 2, (
            "and one that nobody has, of the same partition: so each answer waits for all of the log"
        )
        assert partition_of(names[1], PARTITIONS) == partition_of(names[0], PARTITIONS)
        assert names[1] not in accounts.owners
    bob = of("@owner:bob=read")
    assert (await accounts.known.knowing(bob, ["bobby"])).may(Right.READ, "bobby"), "what another asked is known, too"
    assert len(accounts.asked) == 7


async def test_an_account_that_is_opened_later_counts_from_then_on() -> None:
    accounts = Accounts()
    assert not (await accounts.known.knowing(ANNA, ["alice"])).may(Right.READ, "alice")
    accounts.owners["alice"] = "anna"
    assert (await accounts.known.knowing(ANNA, ["alice"])).may(Right.READ, "alice")


async def test_what_is_kept_is_asked_again_after_a_while() -> None:
    accounts = Accounts(alice="anna")
    await accounts.known.knowing(ANNA, ["alice"])
    accounts.owners["alice"] = "bob"  # of a log that was begun again
    accounts.now_s = KEPT_S
    assert not (await accounts.known.knowing(ANNA, ["alice"])).may(Right.READ, "alice")


async def test_many_names_are_asked_in_questions_of_a_bounded_size_each_once() -> None:
    accounts = Accounts(**{f"a{n}": "anna" for n in range(2_000)})
    names = [f"a{n}" for n in range(2_000)] * 2
    knowing = await accounts.known.knowing(ANNA, names)
    assert all(knowing.may(Right.READ, name) for name in names)
    assert max(map(len, accounts.asked)) <= NAMES_MAX + PARTITIONS
    assert sum(map(len, accounts.asked)) <= 2_000 + 3 * PARTITIONS
    assert await accounts.known.knowing(knowing, names) is knowing, "or each line of a batch would have a copy of all"
    assert len(accounts.asked) == 3


async def test_long_names_are_asked_about_within_the_size_of_an_address_and_few_questions_at_once() -> None:
    accounts = Accounts()
    await accounts.known.knowing(ANNA, [f"{n:064}" for n in range(5_000)])
    assert max(sum(len(name) + 1 for name in names) for names in accounts.asked) <= NAME_BYTES_MAX + 25 * PARTITIONS
    assert 1 < accounts.most_at_once <= QUESTIONS_AT_ONCE


async def test_more_than_is_looked_up_for_one_request_is_refused_and_what_is_only_shown_is_left_out() -> None:
    accounts = Accounts(a1="anna")
    names = [f"a{n}" for n in range(LOOKED_UP_MAX + 1)]
    with pytest.raises(TooManyNames, match="smaller parts"):
        await accounts.known.knowing(ANNA, names)
    assert accounts.asked == []
    knowing = await accounts.known.knowing(ANNA, [], names)
    assert sum(map(len, accounts.asked)) <= LOOKED_UP_MAX + len(accounts.asked) * PARTITIONS
    assert knowing.may(Right.READ, "a1")
    assert await accounts.known.knowing(knowing, [], names) is knowing


async def test_what_is_only_shown_by_it_holds_up_nobody_where_it_cannot_be_said() -> None:
    accounts = Accounts(alice="anna")
    accounts.away = True
    knowing = await accounts.known.knowing(ANNA, [], ["alice"])
    assert not knowing.may(Right.READ, "alice")
    assert await accounts.known.knowing(knowing, [], ["alice"]) is knowing, "or each line of a batch would ask again"
    accounts.away = False
    await accounts.known.knowing(ANNA, ["alice"])
    accounts.away = True
    knowing = await accounts.known.knowing(ANNA, ["alice"], ["bobby"])
    assert knowing.may(Right.READ, "alice"), "what is known allows it, whoever is away"
    with pytest.raises(NotLookedUp):
        await accounts.known.knowing(ANNA, ["bobby"], ["alice"])


async def test_where_nobody_can_say_nobody_is_let_through() -> None:
    accounts = Accounts(alice="anna")
    accounts.away = True
    with pytest.raises(NotLookedUp):
        await accounts.known.knowing_soon(ANNA, ["alice"])
