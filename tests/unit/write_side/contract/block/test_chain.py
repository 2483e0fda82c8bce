"""Which records count: every cell of the chain rule, and any interleaving of what a loser writes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.write_side.contract.blocks import sealed
from write_side.contract.block.block import ZERO_HASH, Block, Header, encode, header_of
from write_side.contract.block.chain import NO_HEAD, ChainBroken, Head, Skip, judge, rule

PARTITION = 3
HELD = Head(epoch=5, sequence=10, block_hash=b"h" * 32)
OTHER = b"o" * 32


def header(epoch: int, sequence: int, previous_hash: bytes, partition: int = PARTITION) -> Header:
    return Header(0, partition, 0, epoch, sequence, previous_hash, 0, 1, 0, bytes(16), 0, b"n" * 32)


CELLS = [
    # epoch, sequence, previous hash -> what becomes of it; the first rule that holds answers
    (4, 9, HELD.block_hash, Skip.OLD_EPOCH),
    (4, 10, HELD.block_hash, Skip.OLD_EPOCH),
    (4, 11, HELD.block_hash, Skip.OLD_EPOCH),  # would fit, were it not for the newer owner
    (4, 11, OTHER, Skip.OLD_EPOCH),
    (4, 12, OTHER, Skip.OLD_EPOCH),  # a loser's gap is not a hole in the log
    (0, 2**63, OTHER, Skip.OLD_EPOCH),
    (5, 10, HELD.block_hash, Skip.OLD_SEQUENCE),
    (5, 0, ZERO_HASH, Skip.OLD_SEQUENCE),
    (6, 10, OTHER, Skip.OLD_SEQUENCE),
    (5, 11, OTHER, Skip.OTHER_PREVIOUS),
    (6, 11, OTHER, Skip.OTHER_PREVIOUS),
    (5, 12, HELD.block_hash, ChainBroken),
    (5, 12, OTHER, ChainBroken),
    (6, 2**64 - 1, OTHER, ChainBroken),
    (5, 11, HELD.block_hash, None),
    (6, 11, HELD.block_hash, None),
    (900, 11, HELD.block_hash, None),
]


@pytest.mark.parametrize(("epoch", "sequence", "previous_hash", "expected"), CELLS)
def test_the_first_rule_that_holds_answers(
    epoch: int, sequence: int, previous_hash: bytes, expected: Skip | type[ChainBroken] | None
) -> None:
    if expected is ChainBroken:
        with pytest.raises(ChainBroken) as stopped:
            rule(PARTITION, HELD, header(epoch, sequence, previous_hash))
        assert (stopped.value.partition, stopped.value.sequence) == (PARTITION, 11)
    else:
        assert rule(PARTITION, HELD, header(epoch, sequence, previous_hash)) is expected


def test_the_first_block_follows_the_zero_hash() -> None:
    assert rule(PARTITION, NO_HEAD, header(1, 0, ZERO_HASH)) is None
    assert rule(PARTITION, NO_HEAD, header(1, 0, OTHER)) is Skip.OTHER_PREVIOUS
    with pytest.raises(ChainBroken):
        rule(PARTITION, NO_HEAD, header(1, 1, ZERO_HASH))


def test_a_block_of_another_partition_stops_this_one_even_when_it_is_old() -> None:
    for epoch, sequence in ((5, 11), (4, 9)):
        with pytest.raises(ChainBroken):
            rule(PARTITION, HELD, header(epoch, sequence, HELD.block_hash, partition=2))


def test_undecodable_comes_before_every_other_rule() -> None:
    old = empty_block(1, 0, ZERO_HASH)
    assert judge(PARTITION, HELD, old) is Skip.OLD_EPOCH
    for damaged in (old[:-1], old[:-1] + bytes((old[-1] ^ 1,)), b"", old + b"\0", sealed(old, version=5)):
        with pytest.raises(ChainBroken):
            judge(PARTITION, HELD, damaged)


def empty_block(epoch: int, sequence: int, previous_hash: bytes, salt: int = 0) -> bytes:
    return encode(
        partition=PARTITION,
        epoch=epoch,
        sequence=sequence,
        previous_hash=previous_hash,
        consumed_to=salt,
        created_at_us=sequence + 1,
        refuse_ids_before_us=0,
        digest=bytes(16),
        sections={},
    )


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """A chain of several owners, and the log that losers and repeated appends made of it."""
    chain: list[bytes] = []
    log: list[bytes] = []
    head = NO_HEAD
    salts = st.integers(1, 2**40)
    for _ in range(draw(st.integers(1, 12))):
        epoch = max(1, head.epoch + draw(st.sampled_from((0, 0, 0, 1, 2))))
        chain.append(empty_block(epoch, head.sequence + 1, head.block_hash))
        log.append(chain[-1])
        head = Head(epoch, head.sequence + 1, header_of(chain[-1]).block_hash)
        for _ in range(draw(st.integers(0, 4))):
            # What can lie here without being next: an own append twice, an old owner going on with its own chain however far
            # it got, a competitor that came second for a place, a competitor building on a block that lost.
            old_epoch, old_sequence = draw(st.integers(0, head.epoch - 1)), draw(st.integers(0, head.sequence + 3))
            previous = draw(st.sampled_from([OTHER, ZERO_HASH, *(header_of(block).block_hash for block in chain)]))
            salt = draw(salts)
            log.append(
                draw(
                    st.sampled_from(
                        [
                            *chain,
                            empty_block(old_epoch, old_sequence, previous, salt),
                            empty_block(head.epoch, draw(st.integers(0, head.sequence)), previous, salt),
                            empty_block(head.epoch + 1, head.sequence, previous, salt),
                            empty_block(head.epoch, head.sequence + 1, OTHER, salt),
                        ]
                    )
                )
            )
    return chain, log


@settings(max_examples=150)
@given(interleaved(), st.integers(1, 3))
def test_losers_and_duplicates_never_change_what_is_accepted(made: tuple[list[bytes], list[bytes]], times: int) -> None:
    chain, log = made
    head, accepted = NO_HEAD, []
    for data in log * times:
        verdict = judge(PARTITION, head, data)
        if isinstance(verdict, Block):
            accepted.append(data)
            head = Head(verdict.header.epoch, verdict.header.sequence, verdict.header.block_hash)
    assert accepted == chain
