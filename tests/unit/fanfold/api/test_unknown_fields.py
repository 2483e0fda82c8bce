"""A field that has no place is named where its name is one of ours; what is not ours is never told, but what it looks like is."""

from __future__ import annotations

import pytest

from fanfold.api import body_checks
from fanfold.api.malformed import Malformed

TRANSFER = {"id": "01970f3e-7b1a-7c3e-8a2b-1234567890ab", "from": "a", "to": "b", "amount": "5", "asset": "USD/2"}
LEGS = [{"account": "a", "amount": "-5"}, {"account": "b", "amount": "5"}]


@pytest.mark.parametrize(
    ("members", "field", "told"),
    [
        (TRANSFER | {"deadline": "2027-01-01T00:00:00Z"}, "deadline", "has no place here; known here: amount, asset"),
        (TRANSFER | {"legs": LEGS}, "from", "has no place here, or is not possible together with legs"),
        (TRANSFER | {"refrence": "x"}, "body", "has a field that is unknown (is reference meant?)"),
        (TRANSFER | {"memo": "x"}, "body", "has a field that is unknown; known here"),
        (TRANSFER | {"a" * 65: "x"}, "body", "has a field that is unknown; known here"),
        ({"id": TRANSFER["id"], "legs": [LEGS[0] | {"owner": "x"}, LEGS[1]]}, "legs.owner", "has no place here"),
        ({"id": TRANSFER["id"], "legs": [LEGS[0] | {"memo": "x"}, LEGS[1]]}, "legs", "has a field that is unknown"),
    ],
)
def test_a_field_that_has_no_place_is_named_as_far_as_it_is_our_word(
    members: dict[str, object], field: str, told: str
) -> None:
    with pytest.raises(Malformed) as refused:
        body_checks.transfer_body(members)
    assert (refused.value.code, refused.value.field) == ("field_unknown", field)
    assert told in refused.value.detail
    assert "memo" not in str(refused.value)
