"""The body that is read in one step says the same as when it is read field by field, or is not read so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.api.body_checks import batch_line, plain_transfer, transfer_body
from fanfold.api.strict_json import parse_object

ID = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
PLAIN = {"id": ID, "from": "alice", "to": "bob", "amount": "1000", "asset": "USD/2"}
WITHOUT_ID = [*PLAIN.items()][1:]
NAMES = [*PLAIN, "protocol", "reference", "metadata", "legs", "open", "dry_run", "more"]
VALUES: list[Any] = [
    *PLAIN.values(), "@world", ID.upper(), "00000000-0000-0000-0000-000000000000", "0", "01", "1e3", "10" * 10, "", "saga", "id",
    "USD/02", "USD/16", "a\nb", "é", "\ud800", 5, 5.0, None, True, {}, [], {"a": "b"}, float("nan"),
]  # fmt: skip


def members(pairs: list[tuple[str, Any]]) -> bytes:
    """An object as it may be written: names in any order, also twice."""
    return ("{" + ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in pairs) + "}").encode()


def test_the_common_body_is_read_in_one_step() -> None:
    transfer = plain_transfer(json.dumps(PLAIN).encode())
    assert transfer is not None
    assert transfer == transfer_body(PLAIN)[0] == batch_line(PLAIN)


@pytest.mark.parametrize(
    "pairs",
    [
        [*WITHOUT_ID, ("asset", "USD/2")],  # a name twice
        [*WITHOUT_ID, ("reference", "id")],
        [*WITHOUT_ID, ("reference", ID)],
        [*WITHOUT_ID, ("protocol", "saga")],
        [*PLAIN.items(), ("amount", 5)],
        [*((name, value) for name, value in PLAIN.items() if name != "amount"), ("amount", 5), ("amount", 7)],
        [*PLAIN.items(), ("metadata", {})],
        [("id", ID.upper()), *[*PLAIN.items()][1:-1], ("asset", 5)],
    ],
)
def test_any_other_body_is_read_field_by_field(pairs: list[tuple[str, Any]]) -> None:
    assert plain_transfer(members(pairs)) is None


@given(
    changed=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=3),
    dropped=st.sets(st.sampled_from(sorted(PLAIN)), max_size=2),
    tail=st.sampled_from([b"", b" ", b"\n", b"\0", b"{}", b"\xff", b'"']),
    order=st.randoms(use_true_random=False),
)
def test_what_is_read_in_one_step_is_read_alike(
    changed: list[tuple[str, Any]], dropped: set[str], tail: bytes, order: Any
) -> None:
    pairs = [pair for pair in PLAIN.items() if pair[0] not in dropped] + changed
    order.shuffle(pairs)
    body = members(pairs) + tail
    transfer = plain_transfer(body)
    if transfer is not None:
        assert transfer == batch_line(parse_object(body))


@given(st.binary(max_size=40), st.integers(0, 120))
def test_no_bytes_are_read_otherwise(noise: bytes, at: int) -> None:
    body = json.dumps(PLAIN).encode()
    body = body[:at] + noise + body[at:]
    transfer = plain_transfer(body)
    if transfer is not None:
        assert transfer == batch_line(parse_object(body))
