"""How `top` looks: figures as lines, for a terminal of any width and height, or plain. Pure.

No figure is cut. Columns that have no room stand in a further table below, under the same first column, while there are lines
for it; what has none is counted. A wider terminal shows more side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from fanfold.cli.sheet import FOLDED_MIN, GAP, Column, Sheet
from fanfold.cli.status import WELL
from fanfold.cli.top_figures import Figures, GatewayFigures, PartitionFigures, ProcessFigures

PARTITIONS: Final = (
    Column("partition", right=True),
    Column("position"),
    *(Column(name, right=True) for name in ("blocks/s", "transfers/s", "lag", "in flight", "refused/s")),
    Column("state", folds=True),
    *(Column(name, right=True) for name in ("open holds", "under way", "ids kept")),
)
GATEWAYS: Final = (
    Column("gateway", folds=True),
    *(Column(name, right=True) for name in ("streams", "subscriptions", "pushes/s", "p50", "p99")),
    *(Column(name, right=True) for name in ("coalesced/s", "repaired/s", "rate-limited/s")),
)
PROCESSES: Final = (
    Column("process", folds=True),
    Column("memory", right=True),
    Column("cpu", right=True),
    Column("readiness"),
)
REASONS_MAX: Final = 5
UNKNOWN: Final = "-"

GOOD: Final = ""
CARE: Final = "yellow"
BAD: Final = "bold red"
_LOOKS: Final = {"degraded": CARE, "not ready": BAD, "away": BAD, "does not say": CARE}


class Line(NamedTuple):
    """look: a style of rich, GOOD for none."""

    text: str
    look: str = GOOD


def plain(figures: Figures) -> list[str]:
    """Tabs between cells, the heading first, a blank line between tables; a note a line."""
    lines: list[str] = []
    for sheet, _ in _sheets(figures, figures.partitions):
        lines += [*sheet.lines(None), ""]
    return [*lines, *_refused(figures), *figures.notes] or ["nothing is told"]


def drawing(figures: Figures, width: int, height: int) -> list[Line]:
    """At most `height` lines wherever one partition has room. Of partitions those that do not get on come first."""
    notes = [*(Line(text) for text in _refused(figures)), *(Line(text, CARE) for text in figures.notes)]
    first = sorted(figures.partitions, key=lambda each: each.state == WELL)
    found: list[Line] = []
    for whole in (True, False):
        for shown in range(len(first), 0 if first else -1, -1):
            left = first[shown:]
            more = [Line(_more(left), BAD if any(each.state != WELL for each in left) else GOOD)] if left else []
            rows = sorted(first[:shown], key=lambda each: each.partition)
            found = [*_tables(figures, rows, width, whole=whole), *more, *notes]
            if sum(max(1, -(-len(line.text) // width)) for line in found) < height:
                return found
            if whole and shown <= len(first):
                break  # rather all partitions with fewer columns
    return found


def _more(left: Sequence[PartitionFigures]) -> str:
    held = sum(each.state != WELL for each in left)
    return f"and {len(left)} more partitions, {held} of them not well: make the window taller"


def _tables(figures: Figures, partitions: Sequence[PartitionFigures], width: int, *, whole: bool) -> list[Line]:
    lines: list[Line] = []
    for sheet, looks in _sheets(figures, partitions):
        parts = side_by_side(sheet, width)
        for part in parts if whole else parts[:1]:
            heading, _, *rows = part.lines(width)  # without the rule: lines are few
            lines.append(Line(heading, "bold"))
            # A row that is folded has several lines; then none is coloured rather than the wrong one.
            lines += map(Line, rows, looks if len(rows) == len(looks) else [GOOD] * len(rows))
    return lines


def side_by_side(sheet: Sheet, width: int) -> list[Sheet]:
    """The columns in as few tables as have room, each with the first column."""
    needs = [
        min(widest, FOLDED_MIN) if column.folds else widest
        for column, widest in zip(
            sheet.columns,
            (max(map(len, cells)) for cells in zip([c.name for c in sheet.columns], *sheet.rows, strict=True)),
            strict=True,
        )
    ]
    groups: list[list[int]] = [[0]]
    used = needs[0]
    for at in range(1, len(needs)):
        if used + len(GAP) + needs[at] > width and len(groups[-1]) > 1:
            groups.append([0])
            used = needs[0]
        groups[-1].append(at)
        used += len(GAP) + needs[at]
    return [
        Sheet([sheet.columns[at] for at in group], [[row[at] for at in group] for row in sheet.rows])
        for group in groups
    ]


def _sheets(figures: Figures, partitions: Sequence[PartitionFigures]) -> list[tuple[Sheet, list[str]]]:
    """Those that have rows, and how each row looks."""
    tables = [
        (Sheet(PARTITIONS, [_partition(each) for each in partitions]), [_look_of(each) for each in partitions]),
        (Sheet(GATEWAYS, [_gateway(each) for each in figures.gateways]), [GOOD for _ in figures.gateways]),
        (
            Sheet(PROCESSES, [_process(each) for each in figures.processes]),
            [_LOOKS.get(each.state, GOOD) for each in figures.processes],
        ),
    ]
    return [(sheet, looks) for sheet, looks in tables if sheet.rows]


def _look_of(each: PartitionFigures) -> str:
    return GOOD if each.state == WELL else CARE if each.state.startswith("its history") else BAD


def _refused(figures: Figures) -> list[str]:
    if not figures.refused:
        return []
    most = [f"{code} {_rate(rate)}" for code, rate in list(figures.refused.items())[:REASONS_MAX]]
    more = len(figures.refused) - len(most)
    return [f"refused/s: {', '.join(most)}{f', and {more} other reasons' if more else ''}"]


def _partition(each: PartitionFigures) -> tuple[str, ...]:
    return (
        str(each.partition),
        each.position or UNKNOWN,
        _rate(each.blocks),
        _rate(each.transfers),
        _time(each.lag_s),
        _count(each.in_flight),
        _rate(each.refused),
        each.state,
        _count(each.holds),
        _count(each.processes),
        _window(each.id_window_s),
    )


def _gateway(each: GatewayFigures) -> tuple[str, ...]:
    rates = (each.coalesced, each.repaired, each.limited)
    times = (_time(each.p50_s), _time(each.p99_s))
    counts = (_count(each.streams), _count(each.subscriptions))
    return (each.address, *counts, _rate(each.pushes), *times, *map(_rate, rates))


def _process(each: ProcessFigures) -> tuple[str, ...]:
    memory = UNKNOWN if each.memory_bytes is None else f"{each.memory_bytes / 1e6:.0f} MB"
    cpu = UNKNOWN if each.cpu is None else f"{each.cpu * 100:.0f} %"
    return each.address, memory, cpu, each.state


def _rate(rate: float | None) -> str:
    if rate is None:
        return UNKNOWN
    return f"{rate:.0f}" if rate >= 9.95 or rate == 0 else f"{rate:.1f}" if rate >= 0.05 else "<0.1"


def _count(count: int | None) -> str:
    return UNKNOWN if count is None else str(count)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    return (
        f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s" if seconds < 60 else f"{seconds:.0f} s"
    )


def _window(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
