"""What is typed is what is shown, and nothing that could mean two amounts is one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.amounts import BadAmount, money, units_of, with_units

ASSETS = st.builds("{}/{}".format, st.sampled_from(["USD", "PTS", "ETH"]), st.integers(0, 20))


@pytest.mark.parametrize(
    ("amount", "asset", "shown"),
    [
        (123456, "USD/2", "1,234.56"),
        (-5, "USD/2", "-0.05"),
        (7, "PTS/0", "7"),
        (10**18, "BTC/8", "10,000,000,000.00000000"),
        (None, "USD/2", "no limit"),
    ],
)
def test_money_is_shown_with_its_decimals(amount: int | None, asset: str, shown: str) -> None:
    assert money(amount, asset) == shown


@given(st.integers(-(10**18), 10**18), ASSETS)
def test_what_is_shown_may_be_typed(amount: int, asset: str) -> None:
    assert units_of(money(amount, asset), asset) == amount
    assert units_of(money(amount, asset).replace(",", ""), asset) == amount
    assert units_of(str(amount), asset, minor=True) == amount


@pytest.mark.parametrize(
    ("text", "asset", "units"),
    [
        ("12.50", "USD/2", 1250),
        ("12.5", "USD/2", 1250),
        ("1000", "USD/2", 100_000),
        ("0100", "USD/2", 10_000),
        ("-0.05", "USD/2", -5),
        ("7", "PTS/0", 7),
        ("1,234.50", "USD/2", 123_450),
        ("0.00000001", "BTC/8", 1),
    ],
)
def test_an_amount_counts_whole_units_of_its_asset(text: str, asset: str, units: int) -> None:
    assert units_of(text, asset) == units


@pytest.mark.parametrize(
    ("text", "asset", "told"),
    [
        ("12.505", "USD/2", "3 decimals, and USD/2 has 2 decimals"),
        ("1.5", "PTS/0", "1 decimal, and PTS/0 has no decimals"),
        ("12,50", "USD/2", "has a comma"),
        ("1,234", "USD/2", "has a comma"),
        ("12,34.50", "USD/2", "has a comma"),
        ("1.234,50", "USD/2", "decimals"),
        ("", "USD/2", "must be an amount as USD/2 is shown, such as 1,000.00"),
        (".5", "USD/2", "must be"),
        ("5.", "USD/2", "must be"),
        ("+5", "USD/2", "must be"),
        ("1e3", "USD/2", "must be"),
        ("1_000", "USD/2", "must be"),
        (" 5", "USD/2", "must be"),
        ("\u0665", "USD/2", "must be"),
        ("NaN", "USD/2", "must be"),
        ("9" * 5_000, "USD/2", "more digits"),
        ("5", "usd", "needs an asset"),
        ("5", "USD", "needs an asset"),
    ],
)
def test_what_is_no_amount_of_its_asset_is_refused(text: str, asset: str, told: str) -> None:
    with pytest.raises(BadAmount, match=told):
        units_of(text, asset)


@pytest.mark.parametrize("text", ["1.0", "12.50", "1,000", "", "-", "5 ", "1e3"])
def test_minor_units_are_whole(text: str) -> None:
    with pytest.raises(BadAmount, match="whole number"):
        units_of(text, "USD/2", minor=True)


def test_what_moved_is_said_in_both_units_where_they_differ() -> None:
    assert with_units(1250, "USD/2") == "12.50 USD/2 (1250 minor units)"
    assert with_units(7, "PTS/0") == "7 PTS/0"
