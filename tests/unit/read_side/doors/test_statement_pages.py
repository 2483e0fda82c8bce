"""Pages of a statement while money moves and history is sealed and joined: no entry is left out, none is told twice."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from read_side.history import folder as folder_module
from read_side.history import history as history_module
from tests.unit.read_side.asgi_client import ask
from tests.unit.read_side.block_maker import changed, moved, opened
from tests.unit.read_side.doors.test_http_api import Side
from tests.unit.read_side.history.test_history import plainly
from write_side.contract.block.block import decode
from write_side.contract.tell.outcome import BlockOutcomes
from write_side.contract.words.atoms import NO_FLOOR
from write_side.contract.words.codes import Flag, flag_words
from write_side.ledger.commands.commands import Capture, Command, Hold, Leg, Void

NAMES = ("alice", "bob", "carol")
PAGES_MAX = 400


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (folder_module, history_module):
        monkeypatch.setattr(module, "SEALED_BYTES", 1 << 10)
    monkeypatch.setattr(history_module, "FRESH_ROWS", 4)


class Moving(Side):
    """Three accounts without floors, among which money moves by chance."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        super().__init__(1, archive=folder)
        self.chance = chance
        self.holds: list[bytes] = []
        self.edge = self.app()

    @property
    def last(self) -> int:
        return len(self.writers[0].blocks) - 1

    async def move(self, blocks_max: int) -> None:
        for _ in range(self.chance.randint(0, blocks_max)):
            await self.writers[0].append(*(self._command() for _ in range(self.chance.randint(0, 6))))
        if self.chance.random() < 0.5:
            await self.keep()

    async def ask(self, target: str) -> dict[str, Any]:
        reply = await ask(self.edge, "GET", target)
        assert reply.status == 200, reply
        document: dict[str, Any] = reply.document
        return document

    async def pages(self, question: str, between: Callable[[], Any] | None = None) -> list[dict[str, Any]]:
        """Every page from the first on, each with a limit of its own."""
        told: list[dict[str, Any]] = []
        cursor = ""
        while len(told) < PAGES_MAX:
            limit = self.chance.choice((1, 2, 3, 7, 50, 1000))
            told.append(await self.ask(f"/v1/accounts/alice/entries?{question}&limit={limit}{cursor}"))
            assert len(told[-1]["entries"]) <= limit
            if "next" not in told[-1]:
                return told
            cursor = f"&cursor={told[-1]['next']}"
            if between is not None:
                await between()
        raise AssertionError("there is always another page")

    def _command(self) -> Command:
        debit, credit = self.chance.sample(NAMES, 2)
        legs = sorted((Leg(debit, -self.chance.randint(1, 9), "USD/2"), Leg(credit, 1, "USD/2")))
        amount = -min(leg.amount for leg in legs)
        legs = [leg._replace(amount=amount if leg.amount > 0 else -amount) for leg in legs]
        match self.chance.randint(0, 9):
            case 0:
                self.holds.append(uuid.uuid4().bytes)
                return Hold(self.holds[-1], tuple(legs))
            case 1 if self.holds:
                return Capture(uuid.uuid4().bytes, self.chance.choice(self.holds), 1, final=self.chance.random() < 0.5)
            case 2 if self.holds:
                return Void(uuid.uuid4().bytes, self.holds.pop())
            case 3:
                return changed(debit, *self.chance.sample((Flag.CREDIT_FROZEN, Flag(0)), 2))
            case 4:
                return moved("@world", credit, self.chance.randint(1, 9))
            case _:
                return moved(debit, credit, self.chance.randint(1, 9))


def lines_of(told: list[dict[str, Any]]) -> list[tuple[int, int, int, int, str]]:
    return [
        (entry["version"], int(entry["amount"]), int(entry["posted"]), int(entry["held"]), entry["position"])
        for each in told
        for entry in each["entries"]
    ]


def changes_of(told: list[dict[str, Any]]) -> list[tuple[int, list[str] | None]]:
    return [(int(entry.get("held_change", "0")), entry.get("flags")) for each in told for entry in each["entries"]]


def expected_changes(side: Moving) -> list[tuple[int, list[str] | None]]:
    """What each block says of holds and flags of alice, oldest first; a change of flags tells them, even if it changes none."""
    number = side.projectors[0].fold.state.number_of("alice")
    entries = [
        entry
        for data in side.writers[0].blocks
        for outcome in BlockOutcomes(decode(data))
        for entry in outcome.entries
        if entry.account == number
    ]
    held = [0, *(entry.held or 0 for entry in entries)]
    flags = [None if entry.flags is None else flag_words(entry.flags) for entry in entries]
    return [(now - before, told) for (before, now), told in zip(pairwise(held), flags, strict=True)]


def expected_of(side: Moving) -> list[tuple[int, int, int, int, str]]:
    """What the blocks say of alice, oldest first, block by block."""
    told, _ = plainly(side.writers[0].blocks)
    number = side.projectors[0].fold.state.number_of("alice")
    assert number is not None
    was = told[number]
    return [
        (now.version, now.posted - before.posted, now.posted, now.held, f"0:{now.sequence}")
        for before, now in pairwise(was)
    ]


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_no_entry_is_left_out_or_told_twice_while_money_moves(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random
) -> None:
    asyncio.run(_try(Moving(tmp_path_factory.mktemp("archive"), chance)))


async def _try(side: Moving) -> None:
    chance = side.chance
    await side.writers[0].append(*(opened(name, NO_FLOOR) for name in NAMES))
    await side.start()
    await side.keep()
    for _ in range(chance.randint(0, 12)):
        await side.move(8)
    direction = chance.choice(("", "in", "out"))
    question = f"&direction={direction}" if direction else ""

    def asked_for(lines: list[tuple[int, int, int, int, str]]) -> list[tuple[int, int, int, int, str]]:
        return [line for line in lines if not direction or (line[1] > 0 if direction == "in" else line[1] < 0)]

    async def between() -> None:
        if side.last < 150:
            await side.move(4)

    told = await side.pages(f"order=newest{question}&min_position=0:{side.last}", between)
    until = int(told[0]["position"].partition(":")[2])
    known = [line for line in expected_of(side) if int(line[4].partition(":")[2]) <= until]
    assert lines_of(told) == asked_for(known)[::-1], "those of before the first page, each once"

    told = await side.pages(f"order=oldest{question}", between)
    until = int(told[-1]["position"].partition(":")[2])
    known = [line for line in expected_of(side) if int(line[4].partition(":")[2]) <= until]
    assert lines_of(told) == asked_for(known), "those of before the last page, each once"

    whole = asked_for(expected_of(side))
    at_the_end = f"{question}&min_position=0:{side.last}"
    assert lines_of(pages := await side.pages(f"order=oldest{at_the_end}")) == whole
    if not direction:
        assert changes_of(pages) == expected_changes(side)
        newest = await side.pages(f"order=newest&min_position=0:{side.last}")
        assert changes_of(newest) == expected_changes(side)[::-1]
    assert lines_of(await side.pages(f"order=newest{at_the_end}")) == whole[::-1]
    await _assert_as_of(side)
    await side.stop()


async def _assert_as_of(side: Moving) -> None:
    """Any line is the account as of its version, its position where it is the last of it, and until the next one."""
    lines = expected_of(side)
    for at in side.chance.sample(range(len(lines)), min(5, len(lines))):
        version, _, posted, held, position = lines[at]
        was = await side.ask(f"/v1/accounts/alice?as_of={version}")
        assert (was["version"], int(was["posted"]), int(was["held"]), was["position"]) == (
            version, posted, held, position
        )  # fmt: skip
        if at + 1 == len(lines) or lines[at + 1][4] != position:
            assert await side.ask(f"/v1/accounts/alice?as_of={position}") == was
            by_time = await side.ask(f"/v1/accounts/alice?as_of={was['at']}")
            assert by_time == was | {"final": position != f"0:{side.last}"}
