"""A client needs only the number to know what to do."""

from __future__ import annotations

import pytest

from fanfold.api.close_codes import MEANINGS, CloseCode, is_final


@pytest.mark.parametrize("code", CloseCode)
def test_every_code_has_a_meaning_that_fits_a_close_frame(code: CloseCode) -> None:
    assert len(MEANINGS[code].reason.encode()) <= 123


@pytest.mark.parametrize("code", [code for code in CloseCode if code >= 4000])
def test_our_own_codes_tell_by_their_range_whether_to_reconnect(code: CloseCode) -> None:
    assert MEANINGS[code].reconnect == (code <= 4499)


def test_unknown_codes_follow_the_ranges_and_a_lost_connection_reconnects() -> None:
    assert not is_final(1006)
    assert not is_final(4321)
    assert is_final(4999)
    assert not is_final(3000), "a proxy's"
    assert not is_final(CloseCode.NORMAL), "a client does not say it"
    assert is_final(1010)
