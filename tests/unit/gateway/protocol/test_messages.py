"""What a client sends is either understood in full or refused with a code; nothing is ever echoed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.api.frames.asked import ACCOUNTS_PER_MESSAGE_MAX, Ping, Subscribe, Unsubscribe, Wanted, WantedTopic
from gateway.protocol import messages
from gateway.protocol.messages import NotUnicode, StreamError, decode


def test_subscribe_with_and_without_since_is_understood() -> None:
    text = '{"op":"subscribe","id":1,"accounts":[{"account":"alice","since":3},{"account":"bob"}]}'
    assert decode(text) == Subscribe(1, [Wanted("alice", 3), Wanted("bob", None)])


def test_a_topic_is_wanted_by_its_name_or_with_what_the_client_has_of_it() -> None:
    text = '{"op":"subscribe","id":1,"topics":["a",{"topic":"b"},{"topic":"c","since":3,"history":"h"}]}'
    assert decode(text) == Subscribe(1, topics=[WantedTopic("a"), WantedTopic("b"), WantedTopic("c", 3, "h")])
    assert decode('{"op":"unsubscribe","id":2,"topics":["a"]}') == Unsubscribe(2, topics=["a"])


def test_unsubscribe_and_ping_are_understood() -> None:
    assert decode('{"op":"unsubscribe","id":2,"subs":[1,2]}') == Unsubscribe(2, [1, 2])
    assert decode('{"op":"ping","id":0}') == Ping(0)


@pytest.mark.parametrize(
    ("text", "code", "number"),
    [
        ("", "body_malformed", None),
        ("[]", "body_malformed", None),
        ("null", "body_malformed", None),
        ('"ping"', "body_malformed", None),
        ("{}", "field_missing", None),
        ('{"op":"ping"}', "field_missing", None),
        ('{"op":"ping","id":1} {}', "body_malformed", None),
        ('{"op":"ping","id":1,"id":2}', "body_malformed", None),
        ('{"op":"subscribe","id":1,"accounts":[{"account":"a","account":"b"}]}', "body_malformed", None),
        ('{"op":"ping","id":1,"extra":1}', "field_unknown", 1),
        ('{"op":"subscribe","id":1,"accounts":[{"account":"a","extra":1}]}', "field_unknown", 1),
        ('{"op":"dance","id":7}', "op_unknown", 7),
        ('{"op":5,"id":7}', "op_unknown", 7),
        ('{"op":"ping","id":-1}', "body_malformed", None),
        ('{"op":"ping","id":true}', "body_malformed", None),
        ('{"op":"ping","id":1.5}', "body_malformed", None),
        ('{"op":"ping","id":NaN}', "body_malformed", None),
        ('{"op":"ping","id":1e400}', "body_malformed", None),
        ('{"op":"ping","id":9007199254740992}', "body_malformed", None),
        ('{"op":"ping","id":' + "9" * 5000 + "}", "body_malformed", None),
        ('{"op":"ping","id":"1"}', "body_malformed", None),
        ('{"op":"subscribe","id":1,"accounts":[]}', "body_malformed", 1),
        ('{"op":"subscribe","id":1,"accounts":["alice"]}', "body_malformed", 1),
        ('{"op":"subscribe","id":1,"accounts":[{"account":"a"},{"account":"a"}]}', "body_malformed", 1),
        ('{"op":"subscribe","id":1,"accounts":[{"account":"@world"}]}', "account_malformed", 1),
        ('{"op":"subscribe","id":1,"accounts":[{"account":"a\\u0000"}]}', "account_malformed", 1),
        ('{"op":"subscribe","id":1,"accounts":[{"account":"\\ud800"}]}', "account_malformed", 1),
        ('{"op":"subscribe","id":1,"accounts":[{"account":"a","since":-1}]}', "body_malformed", 1),
        ('{"op":"subscribe","id":1,"accounts":[{"account":"a","since":"3"}]}', "body_malformed", 1),
        ('{"op":"unsubscribe","id":1,"subs":[]}', "body_malformed", 1),
        ('{"op":"subscribe","id":1}', "field_missing", 1),
        ('{"op":"unsubscribe","id":1}', "field_missing", 1),
        ('{"op":"subscribe","id":1,"topics":[]}', "body_malformed", 1),
        ('{"op":"subscribe","id":1,"topics":"leaders"}', "body_malformed", 1),
        ('{"op":"subscribe","id":1,"topics":["Leaders"]}', "body_malformed", 1),
        ('{"op":"subscribe","id":1,"topics":["a",{"topic":"a"}]}', "body_malformed", 1),
        ('{"op":"subscribe","id":1,"topics":[{"topic":"a","since":-1}]}', "body_malformed", 1),
        ('{"op":"subscribe","id":1,"topics":[{"topic":"a","history":""}]}', "body_malformed", 1),
        ('{"op":"subscribe","id":1,"topics":[{"topic":"a","extra":1}]}', "field_unknown", 1),
        ('{"op":"subscribe","id":1,"topics":[{"since":1}]}', "field_missing", 1),
        ('{"op":"subscribe","id":1,"topics":["a"],"accounts":[]}', "body_malformed", 1),
        ('{"op":"unsubscribe","id":1,"topics":[1]}', "body_malformed", 1),
        ("[" * 30_000, "body_malformed", None),
    ],
)
def test_malformed_messages_are_refused_with_a_code(text: str, code: str, number: int | None) -> None:
    refused = decode(text)
    assert isinstance(refused, StreamError)
    assert (refused.code, refused.id) == (code, number)
    json.loads(messages.error_frame(refused))


def test_more_accounts_than_one_message_may_have_are_refused() -> None:
    wanted = [{"account": f"a{i}"} for i in range(ACCOUNTS_PER_MESSAGE_MAX + 1)]
    refused = decode(json.dumps({"op": "subscribe", "id": 1, "accounts": wanted}))
    assert isinstance(refused, StreamError)
    assert refused.code == "body_malformed"


@given(
    st.text()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["op", "id", "accounts", "subs", "account", "x"]), inner)
        ),
    ).map(json.dumps)
)
def test_no_text_raises(text: str) -> None:
    decode(text)


@given(st.text(alphabet="qzjkvw", min_size=8, max_size=20))
def test_the_input_is_never_echoed(secret: str) -> None:
    for text in (
        json.dumps({"op": secret, "id": 1}),
        json.dumps({"op": "ping", "id": secret}),
        json.dumps({"op": "ping", "id": 1, secret: 1}),
        json.dumps({"op": "subscribe", "id": 1, "accounts": [{"account": "@" + secret}]}),
        json.dumps({"op": "subscribe", "id": 1, "accounts": [{secret: "a"}]}),
        secret,
    ):
        refused = decode(text)
        assert isinstance(refused, StreamError)
        assert secret.encode() not in messages.error_frame(refused)


def test_an_account_that_does_not_exist_yet_is_acknowledged_with_its_code() -> None:
    frame = json.loads(messages.ack_frame(4, [messages.acked("bob", 2, None)]))
    assert frame == {
        "op": "ack",
        "id": 4,
        "accounts": [{"account": "bob", "sub": 2, "version": None, "code": "account_not_found"}],
    }


def test_flags_are_in_an_item_only_when_there_are_some() -> None:
    plain = messages.item(1, "USD/2", "5", "0", "5", "2026-01-01T00:00:00Z")
    frozen = messages.item(2, "USD/2", "5", "0", "5", "2026-01-01T00:00:00Z", ["debit_frozen", "closed"])
    assert "flags" not in json.loads(b"{" + plain.tail)
    assert json.loads(b"{" + frozen.tail)["flags"] == ["debit_frozen", "closed"]


def test_an_account_without_a_floor_has_no_bound_to_tell() -> None:
    assert (
        json.loads(b"{" + messages.item(1, "USD/2", "5", "0", None, "2026-01-01T00:00:00Z").tail)["available"] is None
    )


@pytest.mark.parametrize(
    "text", ['{"op":"\\ud800"}', '{"op":"ping","id":"\\udfff"}', '{"op":"ping","id":1,"\\ud800":2}']
)
def test_half_of_a_surrogate_pair_where_a_name_stands_is_no_text(text: str) -> None:
    with pytest.raises(NotUnicode):
        decode(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"op":"ping","id":1,"accounts":[]}', "the message has a field that is not known there: accounts"),
        (
            '{"op":"subscribe","id":1,"accounts":[{"account":"a","transfers":true}]}',
            "accounts[0] has a field that is not known there",
        ),
        ('{"op":"ping","id":1,"extra":1}', "the message has a field that is not known"),
    ],
)
def test_a_field_that_has_no_place_is_named_where_it_is_one_of_ours(text: str, told: str) -> None:
    refused = decode(text)
    assert isinstance(refused, StreamError)
    assert told in refused.detail
    assert "extra" not in refused.detail
