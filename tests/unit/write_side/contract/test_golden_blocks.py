"""Blocks that were written once are read the same for ever."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

from tests.data.golden.make_blocks import described, golden_partition
from tests.unit.write_side.deciding import assert_same_state
from write_side.contract.block import decode
from write_side.contract.codes import PRECEDENCE
from write_side.contract.log import Record
from write_side.contract.replay import Replay
from write_side.contract.state import State
from write_side.ledger.fingerprint import fingerprints_of_block

FOLDER = Path(__file__).resolve().parents[3] / "data" / "golden"
FILES = sorted(FOLDER.glob("version-1-block-*.bin"))

ALL_FILES_HASH = "009a8317b46fc6b87d3c3b0b0021b17c07c12e763f323efddf0553fb8fc3863e"
"""BLAKE3 over the files in order: whoever changes one has to say so here."""


def test_the_files_are_the_ones_that_were_made() -> None:
    hasher = blake3()
    for path in FILES:
        hasher.update(path.read_bytes())
    assert hasher.hexdigest() == ALL_FILES_HASH


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_block_says_what_it_said(path: Path) -> None:
    assert described(decode(path.read_bytes())) == json.loads(path.with_suffix(".json").read_text())


def test_golden_blocks_replay_with_every_check_to_the_state_that_made_them() -> None:
    replay = Replay(State(1), fingerprints_of_block)
    for offset, path in enumerate(FILES):
        folded = replay.take(Record(offset, path.read_bytes()))
        assert folded is not None
        assert replay.state.digest_bytes() == folded.block.header.digest
    assert_same_state(replay.state, golden_partition().state)


def test_the_same_commands_still_decide_to_the_same_blocks() -> None:
    """Columns and digests, not bytes: Arrow may lay out the same columns in another way one day."""
    for path, data in zip(FILES, golden_partition().blocks, strict=True):
        made, golden = described(decode(data)), described(decode(path.read_bytes()))
        for one in (made, golden):
            for name in ("block_hash", "previous_hash", "body_bytes"):
                del one["header"][name]
        assert made == golden


def test_golden_blocks_hold_every_code_of_their_format() -> None:
    seen = set(_kinds_and_codes())
    assert seen == {(kind, code) for kind, codes in PRECEDENCE.items() for code in codes}


def _kinds_and_codes() -> Iterable[tuple[int, int]]:
    for path in FILES:
        outcomes: dict[str, Any] = decode(path.read_bytes()).outcomes
        yield from zip(np.asarray(outcomes["kind"]).tolist(), np.asarray(outcomes["code"]).tolist(), strict=True)
