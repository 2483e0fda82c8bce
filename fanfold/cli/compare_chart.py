"""A chart of spans on a logarithmic scale, as inline SVG: pure.

Places are shares of the width, so that letters keep their size on any screen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

ROW_PX: Final = 46
HEAD_PX: Final = 8
AXIS_PX: Final = 26
LEFT: Final = 2.0
RIGHT: Final = 98.0
"""Shares of the width, in percent: what lies at the ends of the scale is still whole."""


class Span(NamedTuple):
    """From the smaller to the larger of two figures, both above 0; equal ones are one dot. told: the figures in words."""

    name: str
    low: float
    high: float
    told: str


def spans_chart(spans: Sequence[Span], unit: str, about: str) -> str:
    """unit: of the scale. about: what a screen reader says first. Empty where there is nothing to draw."""
    return "\n".join(_lines(spans, unit, about)) if spans else ""


def _lines(spans: Sequence[Span], unit: str, about: str) -> Iterator[str]:
    low = math.floor(math.log10(min(span.low for span in spans)))
    high = max(math.ceil(math.log10(max(span.high for span in spans))), low + 1)
    foot = HEAD_PX + ROW_PX * len(spans)

    def at(value: float) -> float:
        return LEFT + (RIGHT - LEFT) * (math.log10(value) - low) / (high - low)

    yield f'<svg class="chart" width="100%" height="{foot + AXIS_PX}" role="img" aria-label="{escape(about)}">'
    for decade in range(low, high + 1):
        place = at(10.0**decade)
        anchor = "start" if decade == low else "end" if decade == high else "middle"
        label = f"{10.0**decade:,.10g}" + (f" {unit}" if decade == high else "")
        yield f'<line class="grid" x1="{place:.2f}%" x2="{place:.2f}%" y1="{HEAD_PX}" y2="{foot}"/>'
        yield f'<text class="axis" x="{place:.2f}%" y="{foot + 17}" text-anchor="{anchor}">{label}</text>'
    for row, span in enumerate(spans):
        yield from _row(span, at(span.low), at(span.high), HEAD_PX + ROW_PX * row)
    yield "</svg>"


def _row(span: Span, low: float, high: float, top: int) -> Iterator[str]:
    middle = top + 32
    yield f"<g><title>{escape(span.name)}: {escape(span.told)}</title>"
    yield (
        f'<text class="of" x="{LEFT}%" y="{top + 16}">{escape(span.name)}'
        f'<tspan class="told" dx="8">{escape(span.told)}</tspan></text>'
    )
    yield f'<line class="span" x1="{low:.2f}%" x2="{high:.2f}%" y1="{middle}" y2="{middle}"/>'
    for place in dict.fromkeys((f"{low:.2f}", f"{high:.2f}")):
        yield f'<circle class="dot" cx="{place}%" cy="{middle}" r="5"/>'
    yield "</g>"
