"""Parsers of the smallest words: tables of what is let in and what is not, and nothing is echoed."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from fanfold.api.grammar import ASSET_EXPONENT_MAX
from fanfold.api.malformed import Malformed
from write_side.contract.words.atoms import (
    LIMIT,
    NO_FLOOR,
    available,
    format_floor,
    format_transfer_id,
    parse_account,
    parse_asset,
    parse_new_asset,
    parse_transfer_id,
)

NO_TEXT: list[object] = [None, True, False, 0, 1, 1.0, float("nan"), [], {}, ("a",), b"a"]


@pytest.mark.parametrize("text", ["a", "A", "0", "a" * 64, "a.b:c-d_e", "9-", "world"])
def test_account_ids_that_are_let_in(text: str) -> None:
    assert parse_account(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *NO_TEXT, "", " ", "a ", " a", "a\n", "a\0", "a" * 65, "-a", ".a", ":a", "_a", "@world", "@transit", "@", "a@b", "a/b",
        "ä", "\u0430", "a\u200b", "\ud800", "a\u0660", "a\r\n", "alice;drop", "a%00", "\uff41",
    ],
)  # fmt: skip
def test_account_ids_that_are_not(text: object) -> None:
    refused(parse_account, text, "account_malformed")


def test_only_world_is_a_system_account_that_a_client_may_name_and_only_where_it_is_asked_for() -> None:
    assert parse_account("@world", system=True) == "@world"
    for text in ("@transit", "@World", "@world ", "@world:USD/2", "@"):
        with pytest.raises(Malformed):
            parse_account(text, system=True)


@pytest.mark.parametrize("text", ["USD/2", "A/0", "A" * 16 + "/15", "USDC2/9"])
def test_a_new_asset_has_one_spelling_and_a_unit_of_which_a_thousand_fit(text: str) -> None:
    assert parse_new_asset(text) == text


@pytest.mark.parametrize("text", ["USD/02", "USD/00", "ETH/16", "ETH/18", "A/99", "USD/2 ", "usd/2", "USD", 5, None])
def test_another_spelling_of_an_asset_and_a_unit_without_room_are_refused(text: object) -> None:
    refused(parse_new_asset, text, "asset_malformed")


def test_a_thousand_units_fit_at_the_most_decimals_and_not_at_one_more() -> None:
    assert 1_000 * 10**ASSET_EXPONENT_MAX == LIMIT


@pytest.mark.parametrize("text", ["USD/2", "A/0", "A" * 16 + "/99", "USDC2/18"])
def test_assets_that_are_let_in(text: str) -> None:
    assert parse_asset(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *NO_TEXT, "", "USD", "USD/", "/2", "usd/2", "2USD/2", "USD/2 ", "USD/2\n", "USD/100", "USD/-1", "U SD/2", "A" * 17 + "/2",
        "USD/\u0662", "ÜSD/2", "USD//2", "USD/2/2", "USD/2\0",
    ],
)  # fmt: skip
def test_assets_that_are_not(text: object) -> None:
    refused(parse_asset, text, "asset_malformed")


def test_a_floor_is_told_as_digits_or_none() -> None:
    assert (format_floor(NO_FLOOR), format_floor(-5)) == (None, "-5")


def test_transfer_ids_come_back_in_canonical_form() -> None:
    text = "01977F2E-1a2b-7c3d-8E4F-000000000001"
    raw = parse_transfer_id(text)
    assert raw == uuid.UUID(text).bytes
    assert format_transfer_id(raw) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        *NO_TEXT, "", "0", str(uuid.UUID(int=0)), str(uuid.UUID(int=2**128 - 1)), "F" * 8 + "-ffff-ffff-ffff-" + "f" * 12,
        "01977f2e1a2b7c3d8e4f000000000001", "{01977f2e-1a2b-7c3d-8e4f-000000000001}",
        "urn:uuid:01977f2e-1a2b-7c3d-8e4f-000000000001", "01977f2e-1a2b-7c3d-8e4f-00000000000g",
        "01977f2e-1a2b-7c3d-8e4f-000000000001\n", " 01977f2e-1a2b-7c3d-8e4f-000000000001", "01977f2e-1a2b-7c3d-8e4f-00000000000",
        "01977f2e-1a2b-7c3d-8e4f-0000000000\u0661", "01977f2e_1a2b_7c3d_8e4f_000000000001",
    ],
)  # fmt: skip
def test_other_texts_are_no_transfer_ids(text: object) -> None:
    refused(parse_transfer_id, text, "id_malformed")


def test_available_is_posted_less_held_less_floor_and_unbounded_without_a_floor() -> None:
    assert available(100, 30, 0) == 70
    assert available(-50, 0, -80) == 30
    assert available(LIMIT, 0, -LIMIT) == 2 * LIMIT
    assert available(0, 0, NO_FLOOR) is None


def refused(parse: Callable[[object], object], text: object, code: str) -> None:
    with pytest.raises(Malformed) as error:
        parse(text)
    assert error.value.code == code
    assert error.value.field
    if isinstance(text, str) and len(text) > 6 and not text.startswith("f"):
        assert text not in str(error.value)
