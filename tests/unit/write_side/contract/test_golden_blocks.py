"""Blocks that were written once are read the same for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from blake3 import blake3

from tests.data.golden.make_blocks import BatchOf, described, golden_partitions, named
from tests.unit.write_side.contract.block.agreeing import agrees
from tests.unit.write_side.contract.blocks import encoded
from tests.unit.write_side.deciding import assert_same_state
from write_side.contract.block.block import FORMAT_VERSION, FORMAT_VERSION_NAMED, HEADER_BYTES, decode
from write_side.contract.block.columns import SECTIONS
from write_side.contract.log.log import Record
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.words.codes import Kind
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.fingerprint import FINGERPRINTS

FOLDER = Path(__file__).resolve().parents[3] / "data" / "golden"
VERSION_1 = sorted(FOLDER.glob("version-1-block-*.bin"))
VERSION_2 = [sorted(FOLDER.glob(f"version-2-partition-{partition}-block-*.bin")) for partition in range(2)]
COUNTED = [sorted(FOLDER.glob(f"version-2-counted-partition-{partition}-block-*.bin")) for partition in range(2)]
"""As version 2 is written since headers tell the number of partitions, and pending rows that ask nothing leave their legs out."""
VERSION_3 = [sorted(FOLDER.glob(f"version-3-partition-{partition}-block-*.bin")) for partition in range(2)]
VERSION_4 = [sorted(FOLDER.glob(f"version-4-partition-{partition}-block-*.bin")) for partition in range(2)]
"""The life of version 3, with the names of who asked: its blocks without commands are of version 3."""
FILES = [path for paths in (VERSION_1, *VERSION_2, *COUNTED, *VERSION_3, *VERSION_4) for path in paths]

ALL_FILES_HASHES = {
    "1-block": "009a8317b46fc6b87d3c3b0b0021b17c07c12e763f323efddf0553fb8fc3863e",
    "2-partition": "bbc22b6dd1fc1be5ca9feb75387739d186901ffa3bb9a156376cbb7a9f37b0ff",
    "2-counted": "d33d3cab55600f69fc8b5cf31292c439779cf8ca3af624a5404af77f087a2892",
    "3-partition": "1468b2211ef81ea121d4fa6f76ae0cabed5bce18b83b8a51c569fc93f80a4c96",
    "4-partition": "7fadea0a3eb412656f3f1c6af368c4103ba2121aa4085475efabae28fa783927",
}
"""BLAKE3 over the files of a version in order: whoever changes one has to say so here."""


@pytest.mark.parametrize("version", ALL_FILES_HASHES)
def test_the_files_are_the_ones_that_were_made(version: str) -> None:
    hasher = blake3()
    for path in FILES:
        if path.name.startswith(f"version-{version}-"):
            hasher.update(path.read_bytes())
    assert hasher.hexdigest() == ALL_FILES_HASHES[version]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_block_says_what_it_said(path: Path) -> None:
    version = int(path.name.split("-")[1])
    assert described(decode(path.read_bytes()), version) == json.loads(path.with_suffix(".json").read_text())


GENERATIONS = [(1, VERSION_1), *enumerate(VERSION_2), *enumerate(COUNTED), *enumerate(VERSION_3), *enumerate(VERSION_4)]


@pytest.mark.parametrize(("partition", "paths"), GENERATIONS)
def test_golden_blocks_replay_with_every_check(partition: int, paths: list[Path]) -> None:
    replayed(partition, paths)


def replayed(partition: int, paths: list[Path]) -> State:
    replay = Replay(State(partition), FINGERPRINTS)
    for offset, path in enumerate(paths):
        folded = replay.take(Record(offset, path.read_bytes()))
        assert folded is not None
        assert replay.state.digest_bytes() == folded.block.header.digest
    return replay.state


@pytest.mark.parametrize(("batch_of", "made"), [(CommandBatch.of, VERSION_3), (named, VERSION_4)])
def test_the_same_commands_still_decide_to_the_same_bytes_and_state(batch_of: BatchOf, made: list[list[Path]]) -> None:
    for partition, paths in zip(golden_partitions(batch_of), made, strict=True):
        assert [path.read_bytes() for path in paths] == partition.blocks
        assert_same_state(replayed(partition.state.partition, paths), partition.state)


def test_who_asked_changes_nothing_else() -> None:
    """No state, no digest, and no byte of what else a block says."""
    for nobody, somebody in zip(VERSION_3, VERSION_4, strict=True):
        versions = set()
        for one, other in zip(nobody, somebody, strict=True):
            before, after = one.read_bytes(), other.read_bytes()
            body, more = before[HEADER_BYTES:], after[HEADER_BYTES:]
            assert more.startswith(body)
            assert decode(before).header.digest == decode(after).header.digest
            assert (len(more) > len(body)) == (after[8] == FORMAT_VERSION_NAMED)
            versions.add(after[8])
        assert versions == {FORMAT_VERSION, FORMAT_VERSION_NAMED}


@pytest.mark.parametrize("newest", [VERSION_3, VERSION_4])
def test_a_log_may_hold_blocks_of_every_version(newest: list[list[Path]]) -> None:
    """The same life was written in several formats: the first blocks of one, and behind them what the other has of the rest."""
    for older, newer in zip(COUNTED, newest, strict=True):
        replay = Replay(State(1 if older is COUNTED[1] else 0), FINGERPRINTS)
        for offset, path in enumerate(older[:3]):
            assert replay.take(Record(offset, path.read_bytes())) is not None
        for offset, path in enumerate(newer[3:], 3):
            block = decode(path.read_bytes())
            data = encoded(block, previous_hash=replay.state.chained.block_hash)
            assert replay.take(Record(offset, data)) is not None
        assert replay.state.digest_bytes() == decode(newer[-1].read_bytes()).header.digest


@pytest.mark.parametrize("path", [*VERSION_3[0], *VERSION_3[1], *VERSION_4[1]], ids=lambda path: path.stem)
def test_a_reader_of_another_language_reads_the_golden_blocks(path: Path) -> None:
    agrees(path.read_bytes())


def test_golden_blocks_hold_every_kind_and_every_section_of_their_format() -> None:
    kinds, sections = set(), set()
    for path in (*VERSION_4[0], *VERSION_4[1]):
        block = decode(path.read_bytes())
        kinds |= set(block.outcomes["kind"].tolist())
        sections |= {section.name for section in SECTIONS if len(getattr(block, section.name)[section.columns[0].name])}
    assert kinds == set(Kind)
    assert sections == {section.name for section in SECTIONS}
