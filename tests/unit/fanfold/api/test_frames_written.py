"""Frames are written as they are declared: to the byte what they were when each was written by hand."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import msgspec
import pytest

from fanfold.api.close_codes import CloseCode
from fanfold.api.frames.acks import Ack
from fanfold.api.frames.kinds import CLIENT_FRAMES, GATEWAY_FRAMES
from fanfold.api.frames.pushed import BalanceItem
from fanfold.api.frames.written import written_as
from fanfold.api.values import left_out_of
from gateway.protocol import lifetime, messages
from read_side.contract.topics import TopicAnswer

TIME = "2026-01-01T00:00:00.000000Z"
HELLO = f'{{"op":"hello","connection":"9f0c","time":"{TIME}","heartbeat_ms":15000,"limits":{{"accounts":100'
ACK = '{"op":"ack","id":1,"accounts":[{"account":"alice","sub":1,"version":4,"history":"4f"}'
REFUSED = '"code":"op_unknown","title":"The op is not known","detail":"x"'


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (
            lifetime.hello_frame("9f0c", TIME, 15_000, lifetime.Limits(100, 10, 5), None),
            HELLO + ',"accounts_a_message":10,"topics_a_message":5}}',
        ),
        (
            lifetime.hello_frame("9f0c", TIME, 15_000, lifetime.Limits(100, 10, 5, 1_024, 64, 4_096), 5_000),
            HELLO + ',"accounts_a_message":10,"topics_a_message":5,"message_bytes":1024,"commands_a_submit":64,'
            '"submit_bytes":4096},"sign_in_ms":5000}',
        ),
        (
            lifetime.heartbeat_frame(TIME, {1: 4, 0: 17}),
            f'{{"op":"heartbeat","time":"{TIME}","positions":"0:17,1:4"}}',
        ),
        (
            lifetime.bye_frame(CloseCode.RESTARTING, 3_120),
            '{"op":"bye","code":1012,"reason":"the gateway is stopping","after_ms":3120}',
        ),
        (messages.ack_frame(1), '{"op":"ack","id":1}'),
        (
            messages.ack_frame(1, [messages.acked("alice", 1, 4, history="4f"), messages.acked("bob", 2, None)]),
            ACK + ',{"account":"bob","sub":2,"version":null,"code":"account_not_found"}]}',
        ),
        (
            messages.ack_frame(1, [messages.acked("alice", 1, 4, "starting", "4f")]),
            ACK + "]}",
        ),
        (
            messages.prefix_ack_frame(2, "shop:", [], True),
            '{"op":"ack","id":2,"prefix":"shop:","accounts":[],"complete":true}',
        ),
        (
            messages.prefix_ack_frame(2, "shop:", [messages.acked("shop:1", 1, 0)], False),
            '{"op":"ack","id":2,"prefix":"shop:","accounts":[{"account":"shop:1","sub":1,"version":0}],"complete":false}',
        ),
        (
            messages.topic_ack_frame(1, [messages.acked_topic("leaders", None, "topic_not_found")]),
            '{"op":"ack","id":1,"topics":[{"topic":"leaders","number":null,"code":"topic_not_found"}]}',
        ),
        (
            messages.topic_frame(TopicAnswer("leaders", "4f", 4, "0:7", b'[{"a":"1"}]')),
            '{"op":"topic","topic":"leaders","number":4,"history":"4f","positions":"0:7","rows":[{"a":"1"}]}',
        ),
        (
            messages.topic_frame(TopicAnswer("leaders", "4f", 5, "", None, "topic_too_large")),
            '{"op":"topic","topic":"leaders","number":5,"history":"4f","positions":"","rows":null,"code":"topic_too_large"}',
        ),
        (
            messages.error_frame(messages.StreamError(None, "op_unknown", "x")),
            f'{{"op":"error","id":null,{REFUSED}}}',
        ),
        (
            messages.error_frame(messages.StreamError(0, "op_unknown", "x", [])),
            f'{{"op":"error","id":0,{REFUSED},"ids":[]}}',
        ),
        (messages.transfers_missed_frame(1), '{"op":"transfers_missed","sub":1}'),
        (messages.pong_frame(0), '{"op":"pong","id":0}'),
        (messages.status_frame(False), '{"op":"status","live":false}'),
    ],
)
def test_a_frame_is_told_to_the_byte(frame: bytes, text: str) -> None:
    assert frame.decode() == text


@pytest.mark.parametrize("kind", [*CLIENT_FRAMES, *GATEWAY_FRAMES])
def test_a_frame_has_the_members_of_its_class_its_op_first(kind: Any) -> None:
    names = [field.name for field in dataclasses.fields(kind) if field.name != "op"]
    whole = json.loads(msgspec.json.encode(written_as(kind)(**dict.fromkeys(names, "told"))))
    assert list(whole) == ["op", *names]
    needed = [each.name for each in dataclasses.fields(kind) if _is_needed(each)]
    assert list(json.loads(msgspec.json.encode(written_as(kind)(*range(len(needed)))))) == ["op", *needed]


def _is_needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def test_members_that_stand_first_are_always_told() -> None:
    prefix_ack = written_as(Ack, "id", "prefix", "accounts")
    assert (
        msgspec.json.encode(prefix_ack(id=1, prefix="a", accounts=()))
        == b'{"op":"ack","id":1,"prefix":"a","accounts":[]}'
    )


def test_an_item_that_is_put_together_by_hand_has_the_members_that_are_declared() -> None:
    tail = messages.item(4, "USD/2", "900", "0", "900", TIME, ["closed"]).tail
    [item] = json.loads(messages.balances_frame([b'{"sub":1,"snapshot":true,"asset":"USD/2",' + tail]))["items"]
    assert item.keys() == {field.name for field in dataclasses.fields(BalanceItem)}
    [short] = json.loads(messages.balance_frame(1, messages.item(4, "USD/2", "900", "0", None, TIME).tail))["items"]
    assert short.keys() == item.keys() - left_out_of(BalanceItem)
