"""A client needs only the number to know what to do."""

from __future__ import annotations

import pytest

from fanfold.api.close_codes import MEANINGS, CloseCode, should_reconnect


@pytest.mark.parametrize("code", CloseCode)
def test_every_code_has_a_meaning_that_fits_a_close_frame(code: CloseCode) -> None:
    assert len(MEANINGS[code].reason.encode()) <= 123


@pytest.mark.parametrize("code", [code for code in CloseCode if code >= 4000])
def test_our_own_codes_tell_by_their_range_whether_to_reconnect(code: CloseCode) -> None:
    assert MEANINGS[code].reconnect == (code <= 4499)


def test_unknown_codes_follow_the_ranges_and_a_lost_connection_reconnects() -> None:
    assert should_reconnect(1006)
    assert should_reconnect(4321)
    assert not should_reconnect(4999)
    assert not should_reconnect(3000)
