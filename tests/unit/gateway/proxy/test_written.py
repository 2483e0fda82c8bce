"""What a gateway remembers of the positions that writes were answered with, and which reads it sends them with."""

from __future__ import annotations

import pytest

from gateway.proxy.written import LOST_NAME, POSITION_NAME, WRITTEN_NAME, Written
from write_side.contract.words.atoms import partition_of
from write_side.contract.words.position import PARTITIONS_MAX

PARTITIONS = 4
ALICE = partition_of("alice", PARTITIONS)


def remembered(*answers: bytes) -> Written:
    written = Written(lambda: PARTITIONS)
    for answer in answers:
        written.answered([(b"content-type", b"x"), (POSITION_NAME, answer)])
    return written


@pytest.mark.parametrize(
    ("answers", "newest"),
    [
        ([], {}),
        ([b"0:17"], {0: 17}),
        ([b"0:17", b"0:16"], {0: 17}),
        ([b"0:17", b"0:17"], {0: 17}),
        ([b"0:17,3:9", b"3:10", b"0:1,3:2,1:0"], {0: 17, 1: 0, 3: 10}),
        ([b"", b"x", b"0:-1", b"0:17,0:18", b"0:1" + b"0" * 40], {}),
        ([b"1023:1", b"1024:1", b"99999:1"], {1023: 1}),
    ],
)
def test_the_newest_of_each_partition_is_remembered(answers: list[bytes], newest: dict[int, int]) -> None:
    written = remembered(*answers)
    assert {p: written.of(p) for p in range(PARTITIONS_MAX) if written.of(p) >= 0} == newest


def test_it_never_has_more_than_the_partitions_of_a_log() -> None:
    written = Written(lambda: PARTITIONS)
    for first in range(0, 100_000, 1000):
        written.answered([(POSITION_NAME, b",".join(b"%d:1" % p for p in range(first, first + 1000)))])
    assert written.header_of("/v1/system", b"") == (WRITTEN_NAME, b",".join(b"%d:1" % p for p in range(PARTITIONS_MAX)))


def test_an_answer_may_tell_its_positions_in_several_lines() -> None:
    written = Written(lambda: PARTITIONS)
    written.answered([(POSITION_NAME, b"0:1,1:2"), (POSITION_NAME, b"2:3")])
    assert [written.of(p) for p in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("path", "query", "told"),
    [
        ("/v1/accounts/alice", b"", b"%d:17" % ALICE),
        ("/v1/accounts/alice", b"min_version=3&wait_ms=0", b"%d:17" % ALICE),
        ("/v1/accounts/alice", b"min_position=0:1", None),
        ("/v1/accounts/alice", b"wait_ms=1&min%5Fposition=0:1", None),
        ("/v1/accounts/alice/entries", b"limit=1", b"%d:17" % ALICE),
        ("/v1/accounts/alice/holds", b"", b"%d:17" % ALICE),
        ("/v1/accounts", b"prefix=a", b"0:17,1:17,2:17,3:17"),
        ("/v1/accounts/\xfc", b"", b"0:17,1:17,2:17,3:17"),
        ("/v1/transfers/0197", b"", b"0:17,1:17,2:17,3:17"),
        ("/v1/transfers", b"", b"0:17,1:17,2:17,3:17"),
        ("/v1/system", b"asset=USD/2", b"0:17,1:17,2:17,3:17"),
        ("/v1/system", b"asset=USD/2&min_position=0:1", None),
    ],
)
def test_a_read_waits_for_what_it_may_be_about_unless_it_says_itself_what_for(
    path: str, query: bytes, told: bytes | None
) -> None:
    header = remembered(b"0:17,1:17,2:17,3:17").header_of(path, query)
    assert header == (None if told is None else (WRITTEN_NAME, told))


def test_an_account_waits_for_no_other_partition() -> None:
    others = ",".join(f"{p}:5" for p in range(PARTITIONS) if p != ALICE).encode()
    assert remembered(others).header_of("/v1/accounts/alice", b"") is None


def test_before_the_partitions_are_known_an_account_waits_for_any() -> None:
    written = Written(lambda: 0)
    written.answered([(POSITION_NAME, b"0:3,2:5")])
    assert written.header_of("/v1/accounts/alice", b"") == (WRITTEN_NAME, b"0:3,2:5")


@pytest.mark.parametrize(
    ("lost", "left"),
    [(b"0:500", -1), (b"0:600", -1), (b"0:499", 500), (b"1:500", 500), (b"x", 500)],
)
def test_what_is_in_no_log_any_more_is_dropped_and_nothing_newer(lost: bytes, left: int) -> None:
    written = remembered(b"0:500")
    written.lost([(LOST_NAME, lost)])
    assert written.of(0) == left
    written.answered([(POSITION_NAME, b"0:13")])
    assert written.of(0) == max(left, 13)
