"""Every public address has a rule, and every command its needs, alone and as a line."""

from __future__ import annotations

import random
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.api.routes import ROUTES
from fanfold.api.strict_json import parse_object
from gateway.identity.commands_allowed import OfOutcome, Party, command_allowed, of_outcome
from gateway.identity.grants import Principal, Right, grant_of_text
from gateway.identity.hidden import absent_account, absent_transfer
from gateway.identity.requests_allowed import RULES, Rule, asked_of
from gateway.identity.shown import entry_rows_shown_to
from gateway.proxy.reverse_proxy import Refused, route
from write_side.contract.words.atoms import partition_of

ID = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
HOLD = "01970f3e-8c2b-7d4f-9b3c-2345678901bc"
PUBLIC = [each for each in ROUTES if each.public]


def of(*texts: str) -> Principal:
    return Principal("anna", tuple(map(grant_of_text, texts)))


def test_every_public_address_has_a_rule_and_no_other_has() -> None:
    assert {each.operation for each in PUBLIC} == RULES.keys()


@pytest.mark.parametrize("each", PUBLIC, ids=lambda each: each.operation)
def test_a_request_is_judged_by_the_rule_of_the_address_that_it_is_passed_on_to(each: Any) -> None:
    path = each.path.replace("{account}", "alice").replace("{transfer}", ID).replace("{hold}", HOLD)
    found = asked_of(each.method, path)
    assert found is not None
    assert (found.route, found.rule) == (each, RULES[each.operation])
    assert route(each.method, path) == each.side
    if "{" in each.path:
        assert found.path(found.named) == path


@given(
    st.text("/v1acountsrefl.:-{}batchdholn%\n", max_size=40), st.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH"])
)
def test_whatever_is_passed_on_is_judged(path: str, method: str) -> None:
    for whole in (path, "/v1/accounts/" + path, "/v1/transfers/" + path, "/v1/" + path):
        if not isinstance(route(method, whole), Refused):
            found = asked_of(method, whole)
            assert found is not None
            assert found.rule is not None


COMMANDS: list[tuple[str, list[str], Any]] = [
    ('{"id":"%s","from":"a","to":"b","amount":"1","asset":"USD/2"}', ["a=debit", "b=credit"], True),
    ('{"id":"%s","from":"@world","to":"b","amount":"1","asset":"USD/2"}', ["*=system", "b=credit"], True),
    ('{"id":"%s","from":"a","to":"@world","amount":"1","asset":"USD/2"}', ["*=system", "a=debit"], True),
    ('{"hold":{"id":"%s","from":"a","to":"b","amount":"1","asset":"USD/2"}}', ["a=debit", "b=credit"], True),
    (
        '{"id":"%s","asset":"USD/2","legs":[{"account":"a","amount":"-2"},{"account":"b","amount":"1"},'
        '{"account":"c","amount":"1","if_version":3}]}',
        ["a=debit", "b=credit", "c=credit", "c=read"],
        True,
    ),
    (
        '{"hold":{"id":"%s","asset":"USD/2","legs":[{"account":"a","amount":"-1","if_available_at_least":"5"},'
        '{"account":"b","amount":"1"}]}}',
        ["a=debit", "a=read", "b=credit"],
        True,
    ),
    ('{"open":{"account":"a","asset":"USD/2"}}', ["a=open"], True),
    ('{"change":{"id":"%s","account":"a","debit":"frozen"}}', ["a=freeze"], True),
    ('{"capture":{"id":"%s","hold":"' + HOLD + '"}}', [], OfOutcome(HOLD, Right.DEBIT, None)),
    ('{"void":{"id":"%s","hold":"' + HOLD + '"}}', [], OfOutcome(HOLD, Right.DEBIT, None)),
    ('{"reverse":{"id":"%s","transfer":"' + HOLD + '"}}', [], OfOutcome(HOLD, Right.CREDIT, Right.DEBIT)),
]


@pytest.mark.parametrize(
    ("line", "needs", "verdict"), COMMANDS, ids=[line[:14] + str(len(line)) for line, _, _ in COMMANDS]
)
def test_a_command_needs_all_of_its_rights_and_no_other(line: str, needs: list[str], verdict: Any) -> None:
    members = parse_object((line % ID if "%s" in line else line).encode())
    assert command_allowed(of(*needs), members) == verdict
    for missing in needs:
        assert command_allowed(of(*(need for need in needs if need != missing)), members) is False


CAPTURE, REVERSE = OfOutcome(HOLD, Right.DEBIT, None), OfOutcome(HOLD, Right.CREDIT, Right.DEBIT)
GAVE, RECEIVED, UNKNOWN = Party("a", True), Party("b", False), Party("c", None)


@pytest.mark.parametrize(
    ("asked", "parties", "grants", "may"),
    [
        (CAPTURE, [GAVE, RECEIVED], ["a=debit"], True),
        (CAPTURE, [GAVE, RECEIVED], ["b=debit"], False),
        (CAPTURE, [GAVE, Party("d", True)], ["a=debit"], False),
        (CAPTURE, [GAVE, Party("@world", False)], ["a=debit"], False),
        (CAPTURE, [GAVE, Party("@world", False)], ["a=debit", "*=system"], True),
        (CAPTURE, [GAVE, UNKNOWN], ["a=debit"], False),
        (CAPTURE, [GAVE, UNKNOWN], ["a=debit", "c=debit"], True),
        (CAPTURE, [], ["*=debit,credit,system"], False),
        (CAPTURE, [GAVE, Party(None, False)], ["*=debit,credit,system"], False),
        (REVERSE, [GAVE, RECEIVED], ["a=credit", "b=debit"], True),
        (REVERSE, [GAVE, RECEIVED], ["a=debit", "b=credit"], False),
        (REVERSE, [GAVE, RECEIVED], ["b=debit"], False),
        (REVERSE, [UNKNOWN], ["c=debit"], False),
        (REVERSE, [UNKNOWN], ["c=debit,credit"], True),
        (REVERSE, [Party("@world:USD/2", True), RECEIVED], ["*=debit,credit"], False),
    ],
)
def test_what_is_about_an_id_needs_rights_over_its_parties(
    asked: OfOutcome, parties: list[Party], grants: list[str], may: bool
) -> None:
    assert of_outcome(of(*grants), asked, parties) is may


@given(st.from_regex("[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", fullmatch=True), st.integers(1, 64), st.integers(0, 2**32))
def test_a_name_that_nobody_has_lives_where_the_other_one_would(account: str, partitions: int, seed: int) -> None:
    chance = random.Random(seed).getrandbits
    absent = absent_account(account, partitions, chance)
    assert absent != account
    assert partition_of(absent, partitions) == partition_of(account, partitions)
    assert absent_account(account, partitions, chance) != absent


@given(st.uuids(), st.integers(0, 2**32))
def test_an_id_of_nothing_is_of_the_same_time_and_kind(id: uuid.UUID, seed: int) -> None:
    absent = uuid.UUID(absent_transfer(str(id), random.Random(seed).getrandbits))
    assert absent.int >> 76 == id.int >> 76
    assert absent.int >> 62 & 0b11 == id.int >> 62 & 0b11


@pytest.mark.parametrize(
    ("accounts", "told"),
    [
        ("bob", ""),
        ("alice bob", "alice"),
        ("'@world:USD/2", "'@world:USD/2"),
        ("'@world:USD/2 bob", "'@world:USD/2"),
        ("", ""),
    ],
)
def test_a_row_of_a_statement_keeps_its_other_cells(accounts: str, told: str) -> None:
    rows = 'version,accounts,reference\r\n1,{},"a ""b"", \u2028 c\r\nd"\r\n'
    shown = entry_rows_shown_to(of("alice=read"), rows.format(accounts).encode()).decode()
    assert shown == rows.format(told)


def test_no_rule_is_without_an_address() -> None:
    assert set(RULES.values()) == set(Rule)
