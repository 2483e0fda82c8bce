"""What was: the history of a reading process beside the auditor's own books."""

from __future__ import annotations

import asyncio
from typing import Any

from read_side.history import past
from tests.simulation.processes import World
from write_side.contract.words.position import Position

ASKED_S = (0.3, 2.0)


async def ask_for_ever(world: World) -> None:
    """Now and then, any process that has histories, about any account."""
    random = world.chaos.random
    while True:
        await asyncio.sleep(random.uniform(*ASKED_S))
        there = [each for each in world.readers if each.life.alive and each.life.awake.is_set() and each.histories]
        if there:
            reader = random.choice(there)
            ask_one(world, reader, random.choice(sorted(reader.histories)))


def ask_one(world: World, reader: Any, partition: int, whole: bool = False) -> bool:
    """Whether it could be asked. whole: of every account, else of one at one moment."""
    history, auditor, random = reader.histories[partition], world.auditors[partition], world.chaos.random
    if history.unavailable is not None:
        return False
    parts = history.parts()
    if not parts:
        return True
    projector = reader.projectors[partition]
    if projector.fold.folded.sequence < parts[0].last:
        return False  # who starts has sealed files before he has folded as far, and answers nobody yet
    world.chaos.count("past asked")
    if projector.fold.replay.began_after >= 0:
        world.chaos.count("past asked of who began at a snapshot")
    if history.folder.sealed:
        world.chaos.count("past asked of sealed files")
    world.trace(f"{reader.life.name} tells the past up to {Position(partition, parts[0].last)}")

    def check() -> None:
        last = parts[0].last
        auditor.require(parts[-1].first == 0 and last <= auditor.sequence, "a history is not of all blocks")
        names = sorted(auditor.rows[last])
        for name in names if whole else random.sample(names, min(1, len(names))):
            number = projector.fold.state.number_of(name)
            _check_account(auditor, parts, name, number, last if whole else random.randint(0, last))

    def told() -> None:
        try:
            check()
        except AssertionError:
            raise
        except Exception as failure:
            auditor.require(False, f"the past cannot be told: {failure!r}")

    world.checked(told)
    return True


def _check_account(auditor: Any, parts: Any, name: str, number: int | None, sequence: int) -> None:
    """Every entry of the account up to a block, each once, as the auditor has it."""
    row = auditor.rows[sequence].get(name)
    if number is None:
        auditor.require(row is None, f"{name} is not known")
        return
    version = past.last_version(parts, number, sequence)
    auditor.require(
        version == (None if row is None else row.version), f"{name} had version {version}, the log says {row}"
    )
    if version is None:
        return
    pieces = list(past.entries_of(parts, number, range(1, version + 1)))
    told = [
        entry
        for piece in reversed(pieces)
        for entry in zip(
            piece.version.tolist(), piece.posted.tolist(), piece.held.tolist(), piece.at_us.tolist(),
            piece.sequence.tolist(), strict=True,
        )
    ]  # fmt: skip
    auditor.require(
        [entry[0] for entry in told] == list(range(1, version + 1)), f"{name} has other entries than versions"
    )
    for made, posted, held, at_us, block in told:
        was = auditor.by_version[name, made]
        auditor.require(
            (posted, held, at_us) == (was.posted, was.held, was.at_us), f"version {made} of {name} was {was}"
        )
        auditor.require(auditor.rows[block][name].version >= made, f"version {made} of {name} was made later")
        auditor.require(auditor.time_us(block) == at_us, "an entry is of another block")
