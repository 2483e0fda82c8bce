"""The lanes are BLAKE3, for every length, and so are keys and partitions."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from blake3 import blake3

from write_side.contract.compiled.blake3_lanes import CHUNK_BYTES, hash_chunks, hash_strings
from write_side.contract.state.state import name_key, string_keys, word_hash
from write_side.contract.words.atoms import partition_of


def hashed(messages: list[bytes]) -> list[bytes]:
    offsets = np.cumsum([0, *(len(message) for message in messages)]).astype(np.int32)
    keys = hash_strings(offsets, np.frombuffer(b"".join(messages) or b"\0", np.uint8))
    return [keys[0, n].tobytes() + keys[1, n].tobytes() for n in range(len(messages))]


def test_every_length_from_0_to_64_is_the_packages_hash() -> None:
    messages = [bytes(range(length)) for length in range(65)] + [b"\xff" * length for length in range(65)]
    assert hashed(messages) == [blake3(message).digest(16) for message in messages]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 500])
def test_random_batches_are_the_packages_hashes(count: int) -> None:
    chance = random.Random(count)
    messages = [chance.randbytes(chance.randrange(65)) for _ in range(count)]
    assert hashed(messages) == [blake3(message).digest(16) for message in messages]


def test_a_longer_string_is_refused_and_never_cut() -> None:
    with pytest.raises(ValueError, match="64"):
        hashed([b"", b"x" * 65])


def with_hash(message: bytes, at: int) -> bytes:
    return message[:at] + blake3(message).digest() + message[at:]


@pytest.mark.parametrize("hash_at", [0, 64, 112])
def test_records_of_every_length_have_the_packages_hash(hash_at: int) -> None:
    """Of one chunk, in whatever mixture of lengths they lie side by side; what is longer is not looked at."""
    chance = random.Random(hash_at)
    messages = [chance.randbytes(length) for length in range(hash_at, CHUNK_BYTES + 70)]
    chance.shuffle(messages)
    records = [with_hash(message, hash_at) for message in messages]
    starts = np.cumsum([0, *map(len, records)])
    assert hash_chunks(np.frombuffer(b"".join(records), np.uint8), starts, hash_at).all()
    flipped = []
    for record in records:
        wrong = bytearray(record)
        wrong[chance.randrange(len(wrong))] ^= 1 << chance.randrange(8)
        flipped.append(bytes(wrong))
    found = hash_chunks(np.frombuffer(b"".join(flipped), np.uint8), starts, hash_at)
    assert found.tolist() == [len(message) > CHUNK_BYTES for message in messages]


def test_slices_of_a_text_column_give_the_keys_of_their_own_rows() -> None:
    names = pa.array([f"account-{n}" for n in range(100)], pa.utf8())
    assert np.array_equal(string_keys(names.slice(30, 20)), string_keys(names)[:, 30:50])
    assert string_keys(names.slice(30, 0)).shape == (2, 0)


@pytest.mark.parametrize("partitions", [1, 2, 3, 7, 64, 4096])
def test_the_partition_of_an_account_is_its_keys_first_word_modulo_partitions(partitions: int) -> None:
    for name in ("a", "alice", "x" * 64, "A.b:c_d-9"):
        first, second = name_key(name)
        assert first.tobytes() + second.tobytes() == blake3(name.encode()).digest(16)
        assert tuple(string_keys([name])[:, 0]) == (first, second)
        assert partition_of(name, partitions) == int(first) % partitions


def test_a_word_hash_is_the_first_eight_bytes() -> None:
    assert word_hash("USD/2").tobytes() == blake3(b"USD/2").digest(8)
