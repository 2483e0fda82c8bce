"""An outcome read as a value is what the columns of its block say: of every golden block, row by row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from write_side.contract.block.block import decode
from write_side.contract.block.columns import NOT_TOLD
from write_side.contract.state.pending_columns import What
from write_side.contract.tell.outcome import BlockOutcomes, Outcome
from write_side.contract.words.codes import Code

FOLDER = Path(__file__).resolve().parents[4] / "data" / "golden"
FILES = sorted(FOLDER.glob("version-*.bin"))
Row = dict[str, Any]


def rows(section: dict[str, list[Any]], **wanted: int) -> list[Row]:
    """The rows of a section as golden JSON has it, those with a value only if one is named."""
    every = [dict(zip(section, values, strict=True)) for values in zip(*section.values(), strict=True)]
    return [row for row in every if all(row[name] == value for name, value in wanted.items())]


def golden() -> Iterator[tuple[Outcome, dict[str, dict[str, list[Any]]], Row]]:
    """Every outcome of every golden block, its sections as the JSON beside it has them, and its row there."""
    assert FILES
    for path in FILES:
        outcomes = BlockOutcomes(decode(path.read_bytes()))
        sections = json.loads(path.with_suffix(".json").read_text())["sections"]
        written = rows(sections["outcomes"])
        assert len(outcomes) == len(written)
        for outcome, row in zip(outcomes, written, strict=True):
            yield outcome, sections, row


def test_an_outcome_has_its_id_kind_code_and_entries() -> None:
    for outcome, sections, row in golden():
        assert (outcome.id.hex(), outcome.kind, outcome.code) == (row["id"], row["kind"], row["code"])
        entries = []
        for at, entry in enumerate(rows(sections["entries"])):
            if entry["outcome"] == outcome.row:
                held = [each["held"] for each in rows(sections.get("held", {}), entry=at)] or [None]
                flags = [each["flags"] for each in rows(sections.get("flags", {}), entry=at)] or [None]
                entries.append((entry["account"], entry["posted"], entry["version"], *held, *flags))
        assert outcome.entries == entries


def test_an_outcome_has_its_legs_link_note_and_the_place_of_its_first() -> None:
    seen = {"link": 0, "note": 0, "first": 0, "available": 0}
    for outcome, sections, _ in golden():
        told, of = rows(sections["legs"], outcome=outcome.row), {"outcome": outcome.row}
        assert outcome.legs == [(leg["account"], leg["amount"], leg["asset"]) for leg in told]
        assert outcome.available == (told[0]["available"] if told else NOT_TOLD)
        links = [bytes.fromhex(each["id"]) for each in rows(sections.get("links", {}), **of)]
        assert outcome.link == (links[0] if links else None)
        notes = [(each["reference"], each["metadata"]) for each in rows(sections.get("details", {}), **of)]
        assert outcome.note == (notes[0] if notes else ("", ""))
        if outcome.code is Code.REPEATED:
            [repeat] = rows(sections["repeats"], **of)
            assert outcome.first == (repeat["sequence"], repeat["row"])
            seen["first"] += 1
        seen["link"] += outcome.link is not None
        seen["note"] += outcome.note != ("", "")
        seen["available"] += outcome.available != NOT_TOLD
    assert all(seen.values()), seen


def test_an_outcome_has_its_steps_and_its_pending_rows_with_their_legs() -> None:
    seen = {"steps": 0, "processes": 0, "moved steps": 0, "legs": 0}
    for outcome, sections, _ in golden():
        names = ("step", "action", "partition", "code", "sequence", "at_us")
        written = rows(sections.get("steps", {}), outcome=outcome.row)
        assert outcome.steps == [tuple(step[name] for name in names) for step in written]
        pending = [
            (at, row) for at, row in enumerate(rows(sections.get("pending", {}))) if row["outcome"] == outcome.row
        ]
        for found, (at, row) in zip(outcome.pending, pending, strict=True):
            assert found.id.hex() == row["id"]
            for name in (
                "outcome",
                "what",
                "state",
                "option",
                "begun",
                "debits",
                "steps",
                "cursor",
                "mask",
                "available",
            ):
                assert getattr(found, name) == row[name], name
            legs = rows(sections["pending_legs"], pending=at)
            assert outcome.of.legs(found) == [
                (bytes.fromhex(leg["key"]), leg["asset"], leg["amount"], leg["step"], leg["partition"]) for leg in legs
            ]
            for partition in (0, 1):
                keys = [bytes.fromhex(leg["key"]) for leg in legs if leg["partition"] == partition]
                assert outcome.of.leg_keys(found, partition) == keys
            assert found.is_process == (row["what"] == What.PROCESS)
            seen["processes"] += found.is_process
            seen["moved steps"] += found.is_step
            seen["legs"] += len(legs)
        assert outcome.process == next((each for each in outcome.pending if each.is_process), None)
        seen["steps"] += len(written)
    assert all(seen.values()), seen


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_outcomes_are_found_by_their_id_and_by_what_they_are_about(path: Path) -> None:
    outcomes = BlockOutcomes(decode(path.read_bytes()))
    assert outcomes.of_id(bytes(16)) == outcomes.about(bytes(16)) == []
    for id16 in {each.id for each in outcomes}:
        assert outcomes.of_id(id16) == [each for each in outcomes if each.id == id16]
    for link in {each.link for each in outcomes} - {None}:
        assert link is not None
        assert outcomes.about(link) == [each for each in outcomes if each.link == link]
