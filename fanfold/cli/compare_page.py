"""`fanfold compare --html`: what was found as one page that opens offline and that somebody can teach from. Pure.

Nothing in it has an address outside of it: style and charts are in the page, and it runs no script.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

from fanfold.cli.compare_chart import Span, spans_chart
from fanfold.cli.compare_told import closing_lines, fault_sheet, result_sheet, unlike_promised
from fanfold.cli.sheet import Sheet
from write_side.designs.comparison import Compared
from write_side.designs.wiring import Name

STORY: Final[Mapping[Name, str]] = {
    Name.IN_MEMORY_SHARDING: "Two commands to two Redis nodes, a debit and a credit, and nothing that holds them together: "
    "a service that dies between the two has lost the money.",
    Name.TWO_PHASE_COMMIT: "Both nodes promise (PREPARE TRANSACTION), one decision is written, both commit. Nothing is lost, but "
    "what was promised stays locked for as long as nobody ends it.",
    Name.TRY_CONFIRM_CANCEL: "The payer's money leaves in the try and arrives in the confirm, or comes back in a cancel. No lock "
    "outlives a request; readers see less money in between.",
    Name.SAGA: "A debit, then a credit, or a compensation. The fewest requests of those that lose nothing; readers see less "
    "money in between.",
    Name.EVENT_SOURCING: "One writer a partition decides in order, and a log keeps what came of it: the log is the truth, and "
    "balances are a fold of it, at any past moment too.",
    Name.EVENT_SOURCING_KAFKA: "The same over Kafka: the log is a topic of a real broker.",
}
_STYLE: Final = """
:root { color-scheme: light dark; --ground: #f5f6f8; --surface: #fff; --ink: #14181f; --soft: #5b6472; --line: #dfe3e9;
  --accent: #2459c9; --good: #12784a; --bad: #b3261e; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
@media (prefers-color-scheme: dark) { :root { --ground: #101317; --surface: #191e25; --ink: #e8ebf0; --soft: #9aa4b2;
  --line: #2c343f; --accent: #7aa5ff; --good: #5fd39b; --bad: #ff8f85; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.25rem 1rem 3rem; background: var(--ground); color: var(--ink); }
h1 { font-size: 1.35rem; line-height: 1.25; margin: 0 0 .5rem; } h2 { font-size: 1.05rem; margin: 0 0 .4rem; }
h3 { font-size: .95rem; margin: 1rem 0 .2rem; overflow-wrap: anywhere; }
p { margin: 0 0 .6rem; max-width: 48rem; } .soft { color: var(--soft); font-size: .875rem; }
section { background: var(--surface); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.1rem; margin: 1rem 0; }
.wrong { border-color: var(--bad); } .wrong h2 { color: var(--bad); }
.pair { display: grid; gap: 1rem; } .pair section { margin: 0; }
@media (min-width: 60rem) { .pair { grid-template-columns: 1fr 1fr; } }
.chart { display: block; font-size: 13px; } .chart text { fill: var(--ink); } .chart .told, .chart .axis { fill: var(--soft); }
.chart .axis { font-size: 12px; } .grid { stroke: var(--line); } .dot { fill: var(--accent); }
.span { stroke: var(--accent); stroke-width: 2; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 500; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid var(--line); }
.right { text-align: right; } .lost { color: var(--bad); font-weight: 600; } .kept { color: var(--good); }
dl { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: .2rem 1rem; margin: 0; font-size: .875rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 48rem) {
  thead { display: none; } tr { display: block; padding: .45rem 0; border-bottom: 1px solid var(--line); }
  td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .1rem 0; text-align: right;
    overflow-wrap: anywhere; }
  td::before { content: attr(data-name); color: var(--soft); text-align: left; } td:empty { display: none; }
  td:first-child { font-weight: 600; } }
"""


def page(compared: Sequence[Compared], settings: Mapping[str, str], cross: float, dead_s: float) -> str:
    """The whole document. settings: of the run, in words. cross, dead_s: as `closing_lines`."""
    return "\n".join(_lines(compared, settings, cross, dead_s)) + "\n"


def _lines(compared: Sequence[Compared], settings: Mapping[str, str], cross: float, dead_s: float) -> Iterator[str]:
    how, *ratios = closing_lines(compared, cross, dead_s)
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<link rel="icon" href="data:,">'
    yield f"<title>fanfold compare</title>\n<style>{_STYLE}</style>\n</head>\n<body>"
    yield "<h1>Money between two nodes: the designs side by side</h1>"
    yield "<p>The same load, the same faults, and one judge of the money who knows none of the designs.</p>"
    wrong = [line for each in compared for line in unlike_promised(each)]
    if wrong:
        yield '<section class="wrong"><h2>Not as a design says of itself</h2>'
        yield from (f"<p>{escape(line)}</p>" for line in wrong)
        yield "</section>"
    yield '<div class="pair">'
    yield from _chart("Latency", "From the median to the slowest of a hundred (p50 to p99), one transfer a request.",
                      latencies(compared), "ms")  # fmt: skip
    yield from _chart(
        "Transfers a second", "One transfer a request, to as many as a request takes.", rates(compared), "/s"
    )
    yield "</div>"
    yield "<section><h2>Under load</h2>"
    yield from _table(result_sheet(compared))
    yield f'<p class="soft">{escape(how)}</p>'
    yield from (f"<p>{escape(line)}</p>" for line in ratios)
    yield "</section>"
    yield "<section><h2>What each design loses, locks and shows when something dies</h2>"
    for each in compared:
        yield f"<h3>{each.name}</h3><p>{escape(STORY[each.name])}</p>"
        if each.harms:
            yield from _table(_without_design(fault_sheet([each])))
    yield "</section>"
    yield "<section><h2>Settings of this run</h2><dl>"
    yield from (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in settings.items())
    yield "</dl></section>\n</body>\n</html>"


def latencies(compared: Sequence[Compared]) -> list[Span]:
    """Of each design that answered at all, ms."""
    found = []
    for each in compared:
        p50, p99 = each.one_by_one.percentile_ms(50), each.one_by_one.percentile_ms(99)
        if p50 is not None and p99 is not None:
            found.append(Span(each.name, p50, p99, f"{p50:,.1f} to {p99:,.1f} ms"))
    return found


def rates(compared: Sequence[Compared]) -> list[Span]:
    """Of each design that did any, transfers a second."""
    found = []
    for each in compared:
        one, best = each.one_by_one.rate, each.best.rate
        if one and best:
            told = f"{one:,.0f}/s" if each.in_batches is None else f"{one:,.0f}/s, {best:,.0f}/s in batches"
            found.append(Span(each.name, min(one, best), max(one, best), told))
    return found


def _chart(heading: str, about: str, spans: Sequence[Span], unit: str) -> Iterator[str]:
    yield f'<section><h2>{heading}</h2><p class="soft">{about}</p>'
    told = f"{heading}. " + "; ".join(f"{span.name}: {span.told}" for span in spans)
    yield spans_chart(spans, unit, told) or "<p>Nothing was answered.</p>"
    yield "</section>"


def _without_design(sheet: Sheet) -> Sheet:
    return Sheet(sheet.columns[1:], [row[1:] for row in sheet.rows])


def _table(sheet: Sheet) -> Iterator[str]:
    """Where it is narrow, a row is a block of lines: each cell knows the name of its column."""
    sides = [' class="right"' if column.right else "" for column in sheet.columns]
    yield "<table><thead><tr>"
    yield from (f"<th{side}>{escape(column.name)}</th>" for side, column in zip(sides, sheet.columns, strict=True))
    yield "</tr></thead><tbody>"
    for row in sheet.rows:
        yield "<tr>"
        for cell, side, column in zip(row, sides, sheet.columns, strict=True):
            yield f'<td{side} data-name="{escape(column.name)}">{_cell(column.name, cell)}</td>'
        yield "</tr>"
    yield "</tbody></table>"


def _cell(column: str, cell: str) -> str:
    if column in MONEY_COLUMNS:
        return f'<span class="{"kept" if cell == "right" else "lost"}">{escape(cell)}</span>'
    return escape(cell)


MONEY_COLUMNS: Final = ("money after load", "at the end", "money")
