"""Stores that others run, gone, silent, slow, or giving half of what they have: an error in words, in bounded time."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from tests.conftest import S3_KEY_ID, S3_SECRET
from tests.relay import Relay, relay
from tests.servers import HdfsServer, S3Server, hdfs_address, s3_address, unique_name
from write_side.contract.snapshots.store_file import ASIDE
from write_side.contract.snapshots.store_remote import RemoteStore
from write_side.contract.snapshots.waiting import STUCK_MOST, Waiting
from write_side.wiring import snapshot_store

LARGE = 3 << 20


class Between(NamedTuple):
    """A store, and what lies between us and its server. direct: the same place, past it."""

    store: RemoteStore
    direct: RemoteStore
    relay: Relay


@contextmanager
def _between(port: int, address: Callable[[int], str]) -> Iterator[Between]:
    with relay(port) as between:
        stores = [snapshot_store(address(each)) for each in (between.port, port)]
        assert isinstance(stores[0], RemoteStore)
        assert isinstance(stores[1], RemoteStore)
        yield Between(stores[0], stores[1], between)


@pytest.fixture(
    params=[
        pytest.param("s3", marks=pytest.mark.s3),
        pytest.param("hdfs", marks=[pytest.mark.hdfs, pytest.mark.slow]),
    ]
)
def between(request: pytest.FixtureRequest) -> Iterator[Between]:
    """With one small and one large file in it."""
    if request.param == "hdfs":
        hdfs: HdfsServer = request.getfixturevalue("hdfs_server")
        folder = unique_name()
        made = _between(hdfs.port, lambda port: hdfs_address(folder, port))
    else:
        s3: S3Server = request.getfixturevalue("s3_server")
        bucket = s3.new_bucket()
        made = _between(s3.port, lambda port: s3_address(bucket, "folder", port))
    with made as found:
        found.direct.put("small", [b"small"])
        found.direct.put("large", [bytes(LARGE)])
        yield found


def read(store: RemoteStore, name: str) -> int:
    """How many bytes came until the end."""
    with store.open(name) as source:
        buffer, read = memoryview(bytearray(1 << 20)), 0
        while more := source.readinto(buffer):
            read += more
        return read


OPERATIONS: list[Callable[[RemoteStore], object]] = [
    lambda store: store.names(""),
    lambda store: store.put("new", [b"new"]),
    lambda store: read(store, "small"),
    lambda store: store.delete("small"),
]


def test_a_store_that_is_gone_is_an_error_in_words_and_nothing_is_taken_for_absent(between: Between) -> None:
    assert between.store.names("") == ["small", "large"]
    between.relay.close()
    for operate in OPERATIONS:
        with pytest.raises(OSError, match=r"cannot be reached, or breaks off$") as told:
            operate(between.store)
        between.store.waiting = Waiting(between.store.place)  # a busy machine may have made it wait in vain
        assert not isinstance(told.value, FileNotFoundError)
        assert str(told.value).startswith(between.store.place)
    assert between.direct.names("") == ["small", "large"]


def test_a_store_that_is_silent_is_given_up_and_left_alone_for_a_while(between: Between) -> None:
    between.relay.hanging = True
    with pytest.raises(TimeoutError, match="did not answer in time"):
        between.store.names("")
    asked = between.relay.connections
    for operate in OPERATIONS:
        with pytest.raises(TimeoutError, match="left alone"):
            operate(between.store)
    assert between.relay.connections == asked
    between.relay.hanging = False
    between.store.waiting = Waiting(between.store.place)  # as if the while were over
    assert between.store.names("") == ["small", "large"]


def test_a_store_that_goes_silent_in_the_middle_of_a_put_leaves_what_was_there(between: Between) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        between.relay.hanging = True
        between.relay.cut()
        yield bytes(24 << 20)

    with pytest.raises(OSError, match=re.escape(between.store.place)):
        between.store.put("small", pieces())
    assert between.direct.names("") == ["small", "large"]
    assert read(between.direct, "small") == 5


def test_a_store_that_drips_is_not_waited_for(between: Between) -> None:
    """Its client is content with a byte now and then."""
    between.store.waiting = Waiting(between.store.place, limit_s=0.5)
    between.relay.dripping = True
    with pytest.raises(TimeoutError, match="has not answered within"):
        between.store.names("")
    between.relay.cut()


@pytest.mark.s3
def test_half_an_answer_is_an_error_and_not_the_end_of_the_file(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    with _between(s3_server.port, lambda port: s3_address(bucket, "folder", port)) as between:
        between.direct.put("large", [bytes(LARGE)])
        between.relay.answered_bytes = 1 << 19
        with pytest.raises(OSError, match=re.escape(between.store.place)):
            read(between.store, "large")


@pytest.mark.s3
def test_a_part_that_does_not_arrive_fails_the_put_and_no_upload_lingers(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    with _between(s3_server.port, lambda port: s3_address(bucket, "folder", port)) as between:
        between.direct.put("a", [b"whole"])
        between.relay.refused = b"partNumber=2"
        with pytest.raises(OSError, match=re.escape(between.store.place)):
            between.store.put("a", [bytes(4 << 20)] * 8)
    assert between.direct.names("") == ["a"]
    assert read(between.direct, "a") == 5
    assert not any(info.base_name.endswith(ASIDE) for info in between.direct._files())
    assert "Uploads" not in s3_server.client().list_multipart_uploads(Bucket=bucket)


@pytest.mark.s3
def test_a_put_that_is_given_up_leaves_no_upload(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    store = snapshot_store(s3_address(bucket, "folder", s3_server.port))

    def pieces() -> Iterator[bytes]:
        yield bytes(24 << 20)
        raise RuntimeError("given up")

    with pytest.raises(RuntimeError, match="given up"):
        store.put("a", pieces())
    assert store.names("") == []
    assert "Uploads" not in s3_server.client().list_multipart_uploads(Bucket=bucket)


@pytest.mark.s3
@pytest.mark.usefixtures("s3_server")
def test_a_bucket_that_is_not_there_is_told_and_not_made(s3_server: S3Server) -> None:
    store = snapshot_store(s3_address("no-such-bucket", "folder", s3_server.port))
    for operate in (lambda: store.names(""), lambda: store.put("a", [b"x"])):
        with pytest.raises(OSError, match="no-such-bucket") as told:
            operate()
        assert "none is made" in str(told.value)


@pytest.mark.s3
def test_nobody_is_told_the_keys(between: Between) -> None:
    said = [between.store.place, repr(between.store)]
    between.relay.close()
    for operate in OPERATIONS:
        with pytest.raises(OSError) as told:
            operate(between.store)
        assert told.value.__cause__ is None
        assert told.value.__suppress_context__
        said.append(str(told.value))
    for secret in (S3_KEY_ID, S3_SECRET, "endpoint_override"):
        assert secret not in " ".join(said)


def test_calls_that_nobody_waits_for_are_bounded_in_number() -> None:
    end = threading.Event()
    waiting = Waiting("somewhere", limit_s=0.01)
    for _ in range(STUCK_MOST + 1):
        waiting._rests_until_s = 0.0
        with pytest.raises(TimeoutError, match="has not answered"):
            waiting.call(end.wait)
    waiting._rests_until_s = 0.0
    with pytest.raises(TimeoutError, match="left alone"):
        waiting.call(end.wait)
    end.set()
    for thread in waiting._stuck:
        thread.join()
    assert waiting.call(lambda: "again") == "again"


def test_who_waits_when_the_process_ends_waits_no_longer() -> None:
    end = threading.Event()
    waiting = Waiting("somewhere")
    told: list[str] = []

    def wait() -> None:
        try:
            waiting.call(end.wait)
        except TimeoutError as ended:
            told.append(str(ended))

    thread = threading.Thread(target=wait)
    thread.start()
    waiting.give_up()
    thread.join()
    with pytest.raises(TimeoutError, match="the process ends"):
        waiting.call(end.wait)
    assert "the process ends" in told[0]
    end.set()


def test_what_a_client_says_of_addresses_with_tokens_is_not_passed_on() -> None:
    def fail() -> None:
        raise RuntimeError(
            "strange: http://host/webhdfs/v1/x?op=OPEN&delegation=TOKEN was odd, /v1/x?delegation=TOKEN too"
        )

    with pytest.raises(OSError, match="somewhere has failed: RuntimeError: strange") as told:
        Waiting("somewhere").call(fail)
    assert "TOKEN" not in str(told.value)
