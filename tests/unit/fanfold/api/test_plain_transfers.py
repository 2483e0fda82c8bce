"""Many plain transfers are read at once as they are read one by one, and anything else is left to be read one by one."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fanfold.api.body_checks import batch_line, plain_transfer, plain_transfers
from fanfold.api.grammar import NIL_AND_MAX
from fanfold.api.malformed import Malformed
from fanfold.api.requests import Transfer
from fanfold.api.strict_json import parse_object

ID = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
PARTIES = st.sampled_from(["alice", "bob", "@world", "a:b.c_d-e", "x" * 64])
WRONG: st.SearchStrategy[Any] = st.sampled_from(
    ["", "@bank", "x" * 65, "a b", "a\nb", 'a"b', "é", 7, None, {}, [], "alice", "0", "-1", "1.0", "usd", *NIL_AND_MAX]
)


@st.composite
def lines(draw: st.DrawFn) -> str:
    debit, credit = draw(PARTIES), draw(PARTIES)
    line: dict[str, Any] = {
        "id": draw(st.uuids().map(str) | st.uuids().map(str).map(str.upper)),
        "from": debit,
        "to": credit,
        "amount": draw(st.integers(1, 10**18).map(str)),
        "asset": draw(st.sampled_from(["USD/2", "EUR/2", "ETH/15", "OLD/99"])),
    }
    match draw(st.integers(0, 14)):
        case 0:
            line[draw(st.sampled_from([*line]))] = draw(WRONG)
        case 1:
            del line[draw(st.sampled_from([*line]))]
        case 2:
            line |= {"reference": "x"}
        case 3:
            line["amount"] = str(10**18 + 1)
    text = json.dumps(line, ensure_ascii=draw(st.booleans()))
    match draw(st.integers(0, 14)):
        case 0:
            return text[:-1] + ',"to":"alice"}'
        case 1:
            return text[:-1] + ',"amount":7}'
        case 2:
            return text + draw(st.sampled_from([" ", "\r", "x", "{}", text]))
        case 3:
            return " " + text
        case 4:
            return draw(st.sampled_from(["", "{}", "[]", "{", "}", text[:20]]))
        case 5:
            return text.replace('"to"', '"t\\u006f"')
    return text


def one_by_one(text: bytes) -> Transfer | None:
    """As the batch door reads a line; None for what is no plain transfer, or is refused."""
    try:
        found = plain_transfer(text) or batch_line(parse_object(text))
    except Malformed:
        return None
    return found if isinstance(found, Transfer) and found == Transfer(*_fields(found)) else None


def _fields(found: Transfer) -> tuple[Any, ...]:
    return found.from_, found.to, found.amount, found.asset, found.id


@given(st.lists(lines(), min_size=1, max_size=6))
def test_what_is_read_at_once_is_what_is_read_one_by_one(texts: list[str]) -> None:
    body = "\n".join(texts).encode()
    alone = [one_by_one(line) for line in body.split(b"\n")]
    found = plain_transfers(body, len(alone))
    if found is not None:
        assert list(zip(found.from_, found.to, found.amounts, found.assets, found.ids, strict=True)) == [
            None if each is None else _fields(each) for each in alone
        ]


def test_an_object_that_spans_lines_is_not_one_of_two() -> None:
    line = f'{{"id":"{ID}","from":"a","to":"b","amount":"1","asset":"USD/2"}}'
    both = f"{line}\n{line}".encode()
    assert plain_transfers(both, 2) is not None
    assert plain_transfers(line.replace(",", ",\n", 1).encode(), 2) is None
    assert plain_transfers(f"{line}{line}\n".encode(), 2) is None
    assert plain_transfers(f"{line}\n\n{line}".encode(), 3) is None
    assert plain_transfers(f"{line},\n{line}".encode(), 2) is None
    assert plain_transfers(both + b"\n", 2) is not None


@given(
    st.lists(
        st.sampled_from(
            [
                '{"id":"' + ID,
                '","from":"a"',
                ',"to":"b"',
                ',"amount":"1"',
                ',"asset":"USD/2"}',
                "\n",
                "{",
                "}",
                '"',
                ",",
                '"to":"c"',
            ]
        ),
        max_size=24,
    )
)
def test_pieces_in_any_order_are_read_alike(pieces: list[str]) -> None:
    body = "".join(pieces).encode()
    alone = [one_by_one(line) for line in body.split(b"\n")]
    found = plain_transfers(body, len(alone))
    assert found is None or None not in alone
