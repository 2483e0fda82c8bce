"""The page of the format says what the code does: its tables, and its example read by who knows the page alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from tests.unit.write_side.contract.plain_reader import read_block
from tests.unit.write_side.contract.test_golden_blocks import VERSION_3
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from write_side.contract.block import block as blocks
from write_side.contract.block.columns import NOT_TOLD, SECTIONS, ColumnType
from write_side.contract.block.grammar import CARRIED
from write_side.contract.block.limits import BODY_BYTES_MAX, OUTCOMES_MAX, PARTITIONS_MAX, SECTION_ROWS_MAX
from write_side.contract.compiled.compiled import njit
from write_side.contract.log.log import Record
from write_side.contract.log.log_file_folder import FORMAT, partition_folder, segment_path
from write_side.contract.log.topic_kafka import EVENTS_TOPIC
from write_side.contract.state import digest as digests
from write_side.contract.state import pending_columns as pending
from write_side.contract.state.fold_pending import LOGGED_NAMES
from write_side.contract.state.id_parts import ID_A, ID_B, TIME_US
from write_side.contract.state.ids import CUT_OFF_STEP_US, WINDOW_US
from write_side.contract.state.phase_plan import PLANS
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State, cut_off_lanes, name_key, word_hash
from write_side.contract.words.atoms import NO_FLOOR, format_transfer_id, partition_of
from write_side.contract.words.codes import NOT_REMEMBERED, REFUSALS, REMEMBERED_KINDS, Code, Flag, Kind
from write_side.ledger.commands.commands import OpenAccount, Transfer

PAGE = Path(blocks.__file__).with_name("FORMAT.md").read_text()
Row = dict[str, str]
TRANSFER = id_at(NOON_US, 1)


def table(*names: str) -> list[Row]:
    """The rows of the table whose columns have these names, by name."""
    return next(rows for _, rows in tables(PAGE) if tuple(rows[0]) == names)


def tables(text: str) -> Iterator[tuple[str, list[Row]]]:
    """Every table, and the heading above it."""
    heading, lines = "", text.splitlines()
    for at, line in enumerate(lines):
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|") and not lines[at - 1].startswith("|"):
            body = lines[at + 2 :]
            end = next((i for i, each in enumerate(body) if not each.startswith("|")), len(body))
            yield heading, [dict(zip(_cells(line), _cells(each), strict=True)) for each in body[:end]]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_sections_of_the_page_are_those_of_blocks() -> None:
    found = [
        (heading, [(row["column"], row["kind"], row["bytes"]) for row in rows])
        for heading, rows in tables(PAGE)
        if tuple(rows[0]) == ("column", "kind", "bytes", "meaning")
    ]
    assert found == [
        (
            f"{section.number} {section.name}",
            [
                (column.name, column.kind.value, str(np.dtype(column.dtype).itemsize) if column.dtype else "")
                for column in section.columns
            ],
        )
        for section in SECTIONS
    ]


def test_the_header_of_the_page_is_that_of_blocks() -> None:
    letters = {"8 bytes": "8s", "16 bytes": "16s", "32 bytes": "32s", "u2": "H", "u8": "Q", "s8": "q"}
    rows = table("at", "type", "field", "meaning")
    assert "<" + "".join(letters[row["type"]] for row in rows) == blocks._FIELDS.format + "32s"
    assert [row["field"] for row in rows] == ["magic", "version", *blocks.Header._fields[:-1], "block_hash"]
    at = 0
    for row in rows:
        assert int(row["at"]) == at, row
        at += int(row["type"].split()[0]) if "bytes" in row["type"] else int(row["type"][1])
    assert at == blocks.HEADER_BYTES
    assert f"`{blocks.MAGIC.hex(' ')}`" in rows[0]["meaning"]


def test_the_kinds_of_columns_are_those_of_the_page() -> None:
    assert {row["kind"] for row in table("kind", "bytes", "code")} == {kind.value for kind in ColumnType}


def _names(first: str, *others: str) -> dict[int, str]:
    return {int(row[first]): row["name"] for row in table(first, "name", *others)}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (("HoldState", "meaning"), pending.HoldState),
        (("Phase", "asks its steps to", "meaning"), pending.Phase),
        (("StepState", "meaning"), pending.StepState),
        (("Action", "meaning"), pending.Action),
        (("what", "id", "state", "legs"), pending.What),
        (("flag", "meaning"), Flag),
        (("code", "word", "keeps id", "meaning"), Code),
    ],
)
def test_the_words_of_the_page_are_those_of_the_log(columns: tuple[str, ...], words: type[IntEnum]) -> None:
    assert _names(*columns) == {int(word): word.name for word in words}


def test_the_codes_of_the_page_say_what_clients_are_told_and_whether_they_keep_the_id() -> None:
    for row in table("code", "name", "word", "keeps id", "meaning"):
        code = Code(int(row["code"]))
        assert row["word"] == REFUSALS.get(code, "")
        assert row["keeps id"] == ("no" if code in NOT_REMEMBERED else "yes")
    kinds = sorted(REMEMBERED_KINDS)
    assert kinds == list(range(Kind.TRANSFER, Kind.CHANGE + 1)), "`kind TRANSFER to CHANGE (2 to 7)` on the page"


def test_the_kinds_of_the_page_bring_along_what_the_grammar_says() -> None:
    rows = table("kind", "name", "entries if done", "legs if done", "legs if refused or pending", "meaning")
    assert {int(row["kind"]): row["name"] for row in rows} == {int(kind): kind.name for kind in Kind}
    for row in rows:
        kind = Kind(int(row["kind"]))
        done = CARRIED[kind, Code.DONE]
        assert (row["entries if done"], row["legs if done"]) == (_bounds(done[0:2]), _bounds(done[2:4]))
        for code in Code:
            carried = CARRIED[kind, code]
            if carried[0] < 0 or code is Code.DONE:
                continue
            is_bare = code in (Code.REPEATED, Code.EXISTS, Code.STALE)
            assert _bounds(carried[2:4]) == ("0" if is_bare else row["legs if refused or pending"]), (kind, code)
            may_change = code is Code.PENDING or kind in (Kind.ANSWER, Kind.TIMEOUT)
            assert _bounds(carried[0:2]) == ("0+" if may_change else "0"), (kind, code)
            assert list(carried[4:6]) == ([1, 1] if code is Code.REPEATED else [0, 0])


def _bounds(least_and_most: np.ndarray[tuple[int], np.dtype[np.int64]]) -> str:
    least, most = least_and_most.tolist()
    return str(least) if least == most else f"{least}+"


def test_the_bits_of_pending_rows_are_those_of_the_page() -> None:
    bits = {
        name.removesuffix("_BIT"): value
        for name, value in vars(pending).items()
        if name.endswith("_BIT")
    }  # fmt: skip
    assert {row["name"]: int(row["option"]) for row in table("option", "name", "meaning")} == bits
    assert (pending.HOME_SHIFT, pending.STEP_SHIFT, pending.KIND_SHIFT) == (8, 24, 8)
    text = " ".join(PAGE.split())
    assert f"`{int(pending.What.STEP)} | home << {pending.HOME_SHIFT} | step << {pending.STEP_SHIFT}`" in text
    assert f"kind of its command in bits {pending.KIND_SHIFT}-15" in text


def test_what_a_sort_of_pending_row_does_not_use_is_0_as_the_page_says() -> None:
    unused = {
        (sort, column)
        for row in table("column", *(sort.name for sort in pending.What))
        for sort in pending.What
        for column in row["column"].split(", ")
        if row[sort.name] == "0"
    }
    seen = set()
    for path in VERSION_3[0] + VERSION_3[1]:
        rows = blocks.decode(path.read_bytes()).pending
        for at, what in enumerate(rows["what"]):
            sort = pending.What(what & 255)
            seen.add(sort)
            assert all(not rows[column][at] for other, column in unused if other is sort)
    assert seen == set(pending.What)
    states = {row["name"]: row["state"] for row in table("what", "name", "id", "state", "legs")}
    assert states == {"HOLD": "HoldState", "PROCESS": "Phase", "REVERSAL": "1", "STEP": "StepState"}


def test_the_phases_of_the_page_ask_what_the_coordinator_asks() -> None:
    for row in table("Phase", "name", "asks its steps to", "meaning"):
        phase = pending.Phase(int(row["Phase"]))
        is_over = phase in (pending.Phase.DONE, pending.Phase.REFUSED)
        assert row["asks its steps to"] == ("" if is_over else PLANS[phase].action.name)
        assert is_over or ("one after the other" in row["meaning"]) == PLANS[phase].in_order


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    assert f"1 to {SECTION_ROWS_MAX:,}" in text
    assert f"at most {BODY_BYTES_MAX:,}" in text
    assert f"at most {OUTCOMES_MAX:,}." in text
    assert f"1 to {PARTITIONS_MAX:,} partitions" in text
    assert f"at most {pending.MASK_STEPS_MAX}" in text
    assert f"WINDOW is {WINDOW_US:,}" in text
    assert f"STEP {CUT_OFF_STEP_US:,}" in text
    assert NO_FLOOR == NOT_TOLD == -(2**63)
    assert f'{{"format": {FORMAT}, "partitions": N}}' in text
    assert EVENTS_TOPIC in text
    place = segment_path(partition_folder(Path("FOLDER"), 0), 0)
    assert str(place) in text


def test_the_constants_of_the_digest_are_those_of_the_page() -> None:
    names = {"MUL_A": "_A", "MUL_B": "_B"}
    for row in table("constant", "value"):
        assert int(getattr(digests, names.get(row["constant"], "_" + row["constant"]))) == int(row["value"], 16)


def example() -> tuple[bytes, bytes]:
    """Both blocks of the page, as it shows them."""
    first = re.search(r"header alone:\n\n((?: {4}[0-9a-f]+\n)+)", PAGE)
    assert first is not None
    rows = table("at", "bytes", "what", "value")
    at = 0
    for row in rows:
        assert int(row["at"]) == at, row
        at += len(_hex(row["bytes"]))
    return bytes.fromhex("".join(first[1].split())), b"".join(_hex(row["bytes"]) for row in rows)


def _hex(cell: str) -> bytes:
    return bytes.fromhex(cell.strip("`"))


def test_the_example_is_read_as_the_page_explains_it() -> None:
    _, data = example()
    header, sections, _ = read_block(data)
    assert header["block_hash"] == blake3(data[:112] + data[144:]).digest()
    assert header["body_bytes"] == len(data) - blocks.HEADER_BYTES
    explained = {row["what"]: row for row in table("at", "bytes", "what", "value")}
    for name, value in header.items():
        row = explained[name]
        assert row["value"] == str(value) if isinstance(value, int) else _hex(row["bytes"]) == value
    columns = {what.split(",")[0] for what in explained if "." in what}
    assert columns == {f"{name}.{column}" for name, read in sections.items() for column in read}
    for what in columns:
        name, column = what.split(".")
        values, row = sections[name][column], explained.get(what) or explained[f"{what}, texts"]
        told = [value.hex() if isinstance(value, bytes) else value for value in values]
        if row["value"].endswith(" (of every row)"):
            assert set(told) == {int(row["value"].split()[0])}
        elif what in explained:
            assert row["value"] == " ".join(map(str, told))
        else:  # texts; one stands for all that are equal
            shown = re.findall('"([^"]*)"', row["value"])
            assert shown == told or shown * len(told) == told


def test_the_heads_and_ends_of_the_example_are_those_that_the_page_tells() -> None:
    rows = table("at", "bytes", "what", "value")
    names = {section.number: section.name for section in SECTIONS}
    _, sections, starts = read_block(example()[1])
    heads = {int(row["at"]): at for at, row in enumerate(rows) if row["what"] == "section"}
    assert list(heads) == starts
    for at, (name, read) in zip(heads.values(), sections.items(), strict=True):
        section, columns, count, codes = rows[at : at + 4]
        assert [row["what"] for row in (columns, count, codes)] == ["columns", "rows", "codes"]
        number = _hex(section["bytes"])[0]
        assert section["value"] == f"{number}, {name}" == f"{number}, {names[number]}"
        assert int(columns["value"]) == len(read) == _hex(columns["bytes"])[0]
        assert int(count["value"]) == len(next(iter(read.values()))) == int.from_bytes(_hex(count["bytes"]), "little")
        assert codes["value"] == " ".join(map(str, _hex(codes["bytes"])))
    for at, row in enumerate(rows):
        if row["what"].endswith(", ends"):
            ends = list(_hex(row["bytes"]))
            assert row["value"] == " ".join(map(str, ends))
            assert rows[at + 1]["what"] == row["what"].replace("ends", "texts")
            assert len(_hex(rows[at + 1]["bytes"])) == ends[-1]


def test_the_example_is_a_log_that_replays_with_every_check() -> None:
    replay = Replay(State(0))
    for offset, data in enumerate(example()):
        assert replay.take(Record(offset, data)) is not None
    state = replay.state
    assert [(name, int(state.posted[number])) for number, name in enumerate(state.names)] == [
        ("@world", -1000), ("@transit", 0), ("alice", 1000),
    ]  # fmt: skip


def test_the_example_is_what_is_written() -> None:
    partition = DecidingPartition(0, 1)
    partition.open_epoch(NOON_US)
    partition.decide(
        [OpenAccount("alice", "USD/2", 0, "ann"), Transfer(TRANSFER, "@world", "alice", 1_000, "USD/2")], NOON_US + 1
    )
    assert tuple(partition.blocks) == example()


Words = dict[str, int]
U64 = 2**64 - 1


def _digested(state: State) -> Iterator[tuple[str, Words]]:
    """Every row of every table of a state, as the page names the tables and their words."""
    for number in range(state.count):
        columns = ("posted", "held", "version", "floor", "flags", "row_key")
        yield "account", {name: int(getattr(state, name)[number]) for name in columns} | {"number": number}
    for rows in state.ids.kept():
        for row in rows.tolist():
            yield "remembered id", {"id_a": row[ID_A], "id_b": row[ID_B], "time": row[TIME_US]}
    yield "cut-off, one always", {"refuse_ids_before_us of the header": state.chained.refuse_ids_before_us}
    for home, low in enumerate(state.pending.lows.tolist()):
        if low > 0:
            yield "low of a home, if above 0", {"home partition": home, "low": low}
    for at in range(state.pending.count):
        row = state.pending.rows[at].tolist()
        words = dict(zip(LOGGED_NAMES, (row[column] for column in pending.LOGGED), strict=True))
        words |= {"id_a": row[pending.ID_A], "id_b": row[pending.ID_B], "what": row[pending.WHAT]}
        words |= {"other_a": row[pending.SUBJECT_A], "other_b": row[pending.SUBJECT_B]}
        for leg, told in enumerate(state.pending.legs_of(at).tolist()):
            words |= {f"{name} {leg}": word for name, word in zip(LEG_WORDS, told, strict=True)}
        yield "pending row", words


LEG_WORDS = ("key_a", "key_b", "asset", "amount", "step", "partition", "if_version", "if_available")


def _digest_of_page(state: State) -> bytes:
    """The digest of a state, by the tables and formulas of the page alone."""
    constants = {row["constant"]: int(row["value"], 16) for row in table("constant", "value")}
    rules = {row["row"]: row for row in table("row", "begins with", "absorbs, in order", "ends")}
    lanes = {
        lane: (constants[first], int(shift), int(end), constants[last])
        for lane, first, shift, end, last in re.findall(
            r"absorb_([ab])\(h, word\):  h = \(h xor word\) \* (\w+);  h xor \(h >> (\d+)\) +"
            r"end_\1\(h\):  \(h xor \(h >> (\d+)\)\) \* (\w+)",
            PAGE,
        )
    }
    sums = {"a": 0, "b": 0}
    for name, words in _digested(state):
        rule = rules[name]
        order, _, of_legs = rule["absorbs, in order"].partition("; then of each leg ")
        names = order.split(", ")
        legs = sum(word.startswith("key_a ") for word in words)
        names += [f"{word} {leg}" for leg in range(legs) for word in of_legs.split(", ")]
        each = constants["PENDING"] if name == "pending row" else 0
        for lane, (by, shift, end, by_last) in lanes.items():
            begin = rule["begins with"].strip("`")
            if match := re.search(rf"{lane.upper()}: (\w+)", begin):
                begin = match[1]
            first, _, other = begin.partition(" xor ")
            h = (constants[first] if first in constants else words[first] & U64) ^ constants.get(other, 0)
            for word in names:
                h = ((h ^ each ^ (words[word] & U64)) * by) & U64
                h ^= h >> shift
            sums[lane] += ((h ^ (h >> end)) * by_last) & U64 if rule["ends"] == "yes" else h
    return b"".join((total & U64).to_bytes(8, "little") for total in sums.values())


@pytest.mark.parametrize("paths", VERSION_3, ids=("partition 0", "partition 1"))
def test_the_digest_that_the_page_describes_is_that_of_the_log(paths: list[Path]) -> None:
    replay, sorts = Replay(State(int(paths is VERSION_3[1]))), set()
    for offset, path in enumerate(paths):
        folded = replay.take(Record(offset, path.read_bytes()))
        assert folded is not None
        if replay.state.count < 10 or offset > len(paths) - 12:
            assert _digest_of_page(replay.state) == folded.block.header.digest
        sorts |= {
            pending.What(what & 255) for what in replay.state.pending.rows[: replay.state.pending.count, pending.WHAT]
        }
    assert sorts == ({pending.What.STEP} if paths is VERSION_3[0] else set(pending.What) - {pending.What.STEP})


@njit
def _lanes(row_key, number, posted, held, version, floor, flags, id_a, id_b, time_us):  # type: ignore[no-untyped-def]
    return (
        digests.mix_account(row_key, number, posted, held, version, floor, flags),
        digests.mix_id(id_a, id_b, time_us),
        digests.mix_low(np.int64(1), np.int64(2)),
    )


def test_what_the_digest_of_the_example_is_made_of_is_on_the_page() -> None:
    replay = Replay(State(0))
    for offset, data in enumerate(example()):
        replay.take(Record(offset, data))
    state, (id_a, id_b) = replay.state, np.frombuffer(TRANSFER, "<u8")
    noon_us = NOON_US // 1000 * 1000

    def lanes(number: int) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
        columns = (state.posted, state.held, state.version, state.floor, state.flags)
        row = (column[number] for column in columns)
        found: tuple[tuple[int, int], tuple[int, int], tuple[int, int]] = _lanes(
            state.row_key[number], np.int64(number), *row, id_a, id_b, np.int64(noon_us)
        )
        return found

    def words(*numbers: object) -> str:
        return " ".join(f"{int(number):016X}" for number in numbers)  # type: ignore[call-overload]

    alice, refused_before_us = name_key("alice"), state.chained.refuse_ids_before_us
    expected = {
        "key of `alice`": blake3(b"alice").digest(16).hex(),
        "key_a, key_b of `alice`": words(*alice),
        "partition of `alice` of 2, of 3, of 1,024": " ".join(str(partition_of("alice", n)) for n in (2, 3, 1024)),
        "hash of `USD/2`": words(word_hash("USD/2")),
        "hash of the owner `ann`": words(word_hash("ann")),
        "hash of no owner": words(word_hash("")),
        "row_key of `@world`, `@transit`, `alice`": words(*state.row_key[:3]),
        "lanes of `@world`": words(*lanes(0)[0]),
        "lanes of `@transit`": words(*lanes(1)[0]),
        "lanes of `alice`": words(*lanes(2)[0]),
        f"lanes of the id {format_transfer_id(TRANSFER)}, time {noon_us}": words(*lanes(2)[1]),
        f"lanes of the cut-off {refused_before_us}": words(*cut_off_lanes(refused_before_us)),
        "lanes of the cut-off 0 (all of block 0)": words(*cut_off_lanes(0)),
        "lanes of a low: home 1, low 2": words(*lanes(2)[2]),
    }
    assert {row["what"]: row["value"].strip("`") for row in table("what", "value")} == expected
    total = sum(np.array(lanes(number)[0], np.uint64) for number in range(3))
    total = total + np.array(lanes(2)[1], np.uint64) + cut_off_lanes(refused_before_us)
    assert total.astype("<u8").tobytes() == read_block(example()[1])[0]["digest"]
