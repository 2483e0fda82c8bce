"""The page of `fanfold compare --html` tells what the tables tell, and needs nothing from outside of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fanfold.cli.compare_chart import Span, spans_chart
from fanfold.cli.compare_page import STORY, latencies, page
from fanfold.cli.compare_run import _write_page
from fanfold.cli.main import app
from tests.unit.fanfold.test_compare_told import LOCKED, LOST, compared
from write_side.designs.load import Measured
from write_side.designs.wiring import Name

SETTINGS = {"accounts": "8 on 2 nodes", "addresses": "<given>"}
RIGHT = [compared(harms=(LOST, LOCKED)), compared(Name.EVENT_SOURCING, 200)]


def test_every_design_has_a_sentence() -> None:
    assert set(STORY) == set(Name)


def test_the_page_has_what_was_found_and_the_settings() -> None:
    text = page(RIGHT, SETTINGS, 0.1, 5.0)
    for told in (
        "saga",
        "debited",
        "-5",
        "2.0 s",
        "2.0 times one by one",
        "8 on 2 nodes",
        "2.0 to 3.0 ms",
        "10,000/s in batches",
    ):
        assert told in text, told
    assert "Not as a design says" not in text


def test_what_is_not_as_promised_comes_first() -> None:
    text = page([compared(made=-1)], SETTINGS, 0.1, 5.0)
    assert 0 < text.index("Not as a design says") < text.index("Latency")


def test_nothing_of_it_lies_elsewhere_and_nothing_runs() -> None:
    text = page(RIGHT, SETTINGS, 0.1, 5.0)
    assert not re.search(r"https?:|//|@import|url\(|<script|<link rel=\"style| on\w+=", text)
    assert "&lt;given&gt;" in text


def test_a_design_that_answered_nothing_is_in_no_chart() -> None:
    nothing = compared()._replace(one_by_one=Measured(0, 0, 9, 1.0, np.array([])))
    assert latencies([nothing]) == []
    assert "Nothing was answered" in page([nothing], SETTINGS, 0.1, 5.0)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (0.02, 4_000.0), (10.0, 10.0)])
def test_every_place_of_a_chart_lies_inside_of_it(low: float, high: float) -> None:
    chart = spans_chart([Span("one", low, high, "told"), Span("other", low, low, "told")], "ms", "about")
    places = [float(place) for place in re.findall(r'(?:x|x1|x2|cx)="([\d.]+)%"', chart)]
    assert len(places) > 8
    assert all(0 <= place <= 100 for place in places)


def test_a_page_that_cannot_be_written_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(typer.Exit):
        _write_page(tmp_path / "file", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_place_that_is_none_is_told_before_anything_runs(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["compare", "--html", str(tmp_path / "none" / "file.html")])
    assert result.exit_code == 2
    assert "--html" in result.output
