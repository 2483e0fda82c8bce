"""Amounts as people write and read them: `12.50` of USD/2 is 1250 minor units. Pure.

What is typed is what is shown. A whole number is whole dollars, never cents; only who says so means minor units.
"""

from __future__ import annotations

import re
from typing import Final

from fanfold.api import grammar

DIGITS_MAX: Final = 40
"""More than any amount has, however many decimals; before Python is asked to make a number of them."""

_ASSET: Final = re.compile(grammar.ASSET, re.ASCII)
_PLAIN: Final = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_WHOLE: Final = re.compile(r"-?[0-9]+", re.ASCII)


class BadAmount(ValueError):
    """A text that is no amount of its asset; the message says why, as what follows the text's name in a sentence."""


def units_of(text: str, asset: str, *, minor: bool = False) -> int:
    """Minor units. minor: the text is whole minor units already. Raises BadAmount."""
    if len(text) > DIGITS_MAX:
        raise BadAmount("has more digits than any amount")
    if minor:
        if not _WHOLE.fullmatch(text):
            raise BadAmount("must be a whole number, because it is said to be in minor units")
        return int(text)
    places = decimals_of(asset)
    found = _PLAIN.fullmatch(text.replace(",", ""))
    if found is None:
        raise BadAmount(f"must be an amount as {asset} is shown, such as {money(1000 * 10**places, asset)}")
    sign, whole, decimals = found[1], found[2], found[3] or ""
    if len(decimals) > places:
        raise BadAmount(f"has {_places(len(decimals))}, and {asset} has {_places(places)}")
    units = int(sign + whole + decimals.ljust(places, "0"))
    if "," in text and text != money(units, asset):
        # A comma is what some people write for a point: only where no doubt is left it parts thousands.
        raise BadAmount("has a comma: decimals follow a point, and commas may only stand as they are shown (1,234.56)")
    return units


def money(amount: int | None, asset: str) -> str:
    """Minor units for the eye: 123456 of USD/2 is `1,234.56`; None is `no limit`."""
    if amount is None:
        return "no limit"
    exponent = int(asset.partition("/")[2] or 0)
    whole, fraction = divmod(abs(amount), 10**exponent)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole:,}.{fraction:0{exponent}}" if exponent else f"{sign}{whole:,}"


def with_units(amount: int, asset: str) -> str:
    """`12.50 USD/2 (1250 minor units)`: so that nobody mistakes the one for the other."""
    minor = f" ({amount} minor units)" if decimals_of(asset) else ""
    return f"{money(amount, asset)} {asset}{minor}"


def decimals_of(asset: str) -> int:
    """Raises BadAmount, of the asset."""
    if not _ASSET.fullmatch(asset):
        raise BadAmount("needs an asset with its decimals, such as USD/2")
    return int(asset.partition("/")[2])


def _places(number: int) -> str:
    return "no decimals" if not number else f"{number} decimal{'s' * (number > 1)}"
