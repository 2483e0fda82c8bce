"""What a grant covers, and what no grant gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.grants import (
    BadGrants,
    Grant,
    Principal,
    Right,
    check_name,
    documents_of,
    grant_of_text,
    grants_of,
    text_of_grant,
)

ACCOUNTS = st.from_regex(r"[a-c][a-c.]{0,3}", fullmatch=True)
RIGHTS = st.frozensets(st.sampled_from([right for right in Right if right is not Right.SYSTEM]), min_size=1)


def of(*texts: str) -> Principal:
    return Principal("anna", tuple(map(grant_of_text, texts)))


@pytest.mark.parametrize(
    ("grants", "right", "account", "may"),
    [
        (["alice=read"], Right.READ, "alice", True),
        (["alice=read"], Right.READ, "alice2", False),
        (["alice=read"], Right.READ, "alic", False),
        (["alice=read"], Right.READ, "Alice", False),
        (["alice=read"], Right.DEBIT, "alice", False),
        (["team1.*=read,debit"], Right.DEBIT, "team1.cash", True),
        (["team1.*=read,debit"], Right.DEBIT, "team1.", True),
        (["team1.*=read,debit"], Right.DEBIT, "team1", False),
        (["team1.*=read,debit"], Right.DEBIT, "team10.cash", False),
        (["team1.*=read", "team1.cash=debit"], Right.DEBIT, "team1.cash", True),
        (["team1.*=read", "team1.cash=debit"], Right.DEBIT, "team1.other", False),
        (["*=read,debit,credit,open,freeze"], Right.READ, "anybody", True),
        (["*=read,debit,credit,open,freeze"], Right.DEBIT, "@world", False),
        (["*=read,debit,credit,open,freeze"], Right.READ, "@transit:USD/2", False),
        (["*=system"], Right.DEBIT, "@world", True),
        (["*=system"], Right.READ, "anybody", False),
        ([], Right.READ, "alice", False),
    ],
)
def test_a_right_is_what_a_grant_gives_and_nothing_else(
    grants: list[str], right: Right, account: str, may: bool
) -> None:
    assert of(*grants).may(right, account) is may


@given(st.lists(st.tuples(ACCOUNTS, st.booleans(), RIGHTS), max_size=4), ACCOUNTS, st.sampled_from(list(Right)))
def test_a_principal_may_what_one_of_the_grants_says_in_words(
    grants: list[tuple[str, bool, frozenset[Right]]], account: str, right: Right
) -> None:
    principal = Principal("anna", tuple(Grant(name + "*" * some, rights) for name, some, rights in grants))
    said = any(
        right in rights and (account == name or (some and account[: len(name)] == name))
        for name, some, rights in grants
    )
    assert principal.may(right, account) is said


@given(st.lists(st.tuples(ACCOUNTS, st.booleans()), max_size=4), ACCOUNTS, ACCOUNTS)
def test_a_beginning_may_be_read_whole_only_if_every_name_with_it_may(
    grants: list[tuple[str, bool]], prefix: str, rest: str
) -> None:
    principal = Principal("anna", tuple(Grant(name + "*" * some, frozenset({Right.READ})) for name, some in grants))
    if principal.may_all_with(Right.READ, prefix):
        assert principal.may(Right.READ, prefix)
        assert principal.may(Right.READ, prefix + rest)


def test_only_who_may_everything_is_not_looked_at() -> None:
    assert of("*=read,debit,credit,open,freeze,system").may_everything
    assert not of("*=read,debit,credit,open,freeze").may_everything
    assert not of("*=read,debit,credit,open,system").may_everything
    assert of("*=read,system").reads_everything
    assert not of("*=read").reads_everything
    assert not of("*=system").reads_everything


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        [[]],
        ["alice=read"],
        [{"accounts": "alice"}],
        [{"accounts": "alice", "rights": []}],
        [{"accounts": "alice", "rights": "read"}],
        [{"accounts": "alice", "rights": ["read", "own"]}],
        [{"accounts": "alice", "rights": [["read"]]}],
        [{"accounts": "alice", "rights": ["read"], "until": 5}],
        [{"accounts": "al*ce", "rights": ["read"]}],
        [{"accounts": "alice**", "rights": ["read"]}],
        [{"accounts": "", "rights": ["read"]}],
        [{"accounts": "@world", "rights": ["debit"]}],
        [{"accounts": "alice\n", "rights": ["read"]}],
        [{"accounts": "team1.*", "rights": ["system"]}],
        [{"accounts": "a", "rights": ["read"]}] * 257,
    ],
)
def test_grants_that_are_not_understood_give_nothing_not_even_what_stands_beside(document: Any) -> None:
    with pytest.raises(BadGrants):
        grants_of(document)
    good = [{"accounts": "alice", "rights": ["read"]}]
    if isinstance(document, list):
        with pytest.raises(BadGrants):
            grants_of(good + document)


def test_grants_are_written_as_they_are_read() -> None:
    grants = grants_of([{"accounts": "team1.*", "rights": ["read", "debit"]}, {"accounts": "*", "rights": ["system"]}])
    assert grants_of(documents_of(grants)) == grants


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "ü", "x" * 256, None, 5])
def test_a_name_fits_a_header_and_a_line(name: Any) -> None:
    with pytest.raises(BadGrants):
        check_name(name)


OWNERS = {"alice": "anna", "bobby": "bob", "nobodys": None}


def owning(*texts: str) -> Principal:
    return of(*texts).knowing(OWNERS)


@pytest.mark.parametrize(
    ("grants", "right", "account", "may"),
    [
        (["@owner:anna=read"], Right.READ, "alice", True),
        (["@owner:anna=read"], Right.DEBIT, "alice", False),
        (["@owner:anna=read"], Right.READ, "bobby", False),
        (["@owner:anna=read"], Right.READ, "nobodys", False),
        (["@owner:anna=read"], Right.READ, "not looked up", False),
        (["@owner:anna=read"], Right.READ, "@world", False),
        (["@owner:ann=read"], Right.READ, "alice", False),
        (["@owner:*=read"], Right.READ, "not looked up", True),
        (["@owner:anna=read", "alice=debit"], Right.DEBIT, "alice", True),
    ],
)
def test_a_grant_over_an_owner_is_over_what_is_known_to_be_theirs(
    grants: list[str], right: Right, account: str, may: bool
) -> None:
    assert owning(*grants).may(right, account) is may


def test_a_grant_may_say_both_a_name_and_an_owner() -> None:
    anna = Principal("anna", grants_of([{"accounts": "al*", "owner": "anna", "rights": ["read"]}]))
    assert anna.knowing(OWNERS).may(Right.READ, "alice")
    assert not anna.knowing({"cash": "anna"}).may(Right.READ, "cash")


@pytest.mark.parametrize(
    ("grants", "owner", "may"),
    [
        (["alice=open"], None, True),
        (["alice=open"], "anna", False),
        (["ali*=open"], "bob", False),
        (["*=open"], "bob", True),
        (["*@owner:*=open"], "bob", True),
        (["*@owner:anna=open"], "anna", True),
        (["*@owner:anna=open"], "bob", False),
        (["*@owner:anna=open"], None, False),
        (["ali*@owner:anna=open"], "anna", True),
        (["bob*@owner:anna=open"], "anna", False),
        (["alice=open", "@owner:anna=debit"], "anna", False),
        (["bob=open", "@owner:anna=read"], "anna", False),
    ],
)
def test_an_account_is_opened_for_somebody_only_where_a_grant_says_so(
    grants: list[str], owner: str | None, may: bool
) -> None:
    assert of(*grants).may_open("alice", owner) is may


def test_who_has_rights_over_an_owner_does_not_have_them_over_everybody() -> None:
    all_of_anna = owning("*@owner:anna=read,debit,credit,open,freeze", "*=system")
    assert not all_of_anna.reads_everything
    assert not all_of_anna.may_everything
    assert not all_of_anna.may_all_with(Right.READ, "al")
    assert all_of_anna.may_all_with(Right.READ, "al", "anna")
    assert not all_of_anna.may_all_with(Right.READ, "al", "bob")
    assert all_of_anna.may_somewhere(Right.DEBIT)
    assert all_of_anna.owners == {"anna"}
    assert of("@owner:*=read", "*=debit").owners == frozenset()


@pytest.mark.parametrize("owner", ["anna", "*"])
def test_to_open_for_an_owner_says_under_which_names(owner: str) -> None:
    """Any name may be taken by whom an operator let open "his own": one that others are about to pay, too."""
    said = {"owner": owner, "rights": ["read", "open"]}
    for document in ([said], [said | {"accounts": None}]):
        with pytest.raises(BadGrants):
            grants_of(document)
    with pytest.raises(BadGrants, match="accounts"):
        grant_of_text(f"@owner:{owner}=open")
    for accounts in ("anna.*", "*"):
        [named] = grants_of([said | {"accounts": accounts}])
        assert grants_of(documents_of([named])) == (named,)
        assert grant_of_text(text_of_grant(documents_of([named])[0])) == named


def test_whose_an_account_is_matters_only_where_names_do_not_say() -> None:
    anna = of("team1.*=debit", "@owner:anna=debit,read", "pay.*@owner:anna=credit")
    for right, account, unclear in (
        (Right.DEBIT, "team1.a", False),
        (Right.DEBIT, "alice", True),
        (Right.READ, "team1.a", True),
        (Right.CREDIT, "alice", False),
        (Right.CREDIT, "pay.alice", True),
        (Right.FREEZE, "alice", False),
        (Right.DEBIT, "@world", False),
    ):
        assert anna.unclear(right, account) is unclear, (right, account)
    assert not anna.knowing({"alice": None}).unclear(Right.DEBIT, "alice"), "it is known to be nobody's"


@pytest.mark.parametrize("owner", ["", " anna", "anna ", "ann\x00a", "a" * 256, 7, None, ["anna"]])
def test_an_owner_that_no_account_can_have_is_refused(owner: Any) -> None:
    with pytest.raises(BadGrants):
        grants_of([{"owner": owner, "rights": ["read"]}])


def test_grants_over_owners_are_written_as_they_are_read() -> None:
    written = [
        {"owner": "anna", "rights": ["read"]},
        {"accounts": "al*", "owner": "bob", "rights": ["debit", "read"]},
        {"accounts": "*", "rights": ["credit"]},
    ]
    assert documents_of(grants_of(written)) == written
    assert [text_of_grant(each) for each in written] == ["@owner:anna=read", "al*@owner:bob=debit,read", "*=credit"]
    assert grant_of_text("@owner:a=b=read") == grants_of([{"owner": "a=b", "rights": ["read"]}])[0]
    for bad in (
        {"rights": ["read"]},
        {"owner": "anna", "rights": ["system"]},
        {"owner": "anna", "rights": ["read"], "x": 1},
    ):
        with pytest.raises(BadGrants):
            grants_of([bad])
