"""A dataclass in a command's signature stands for the options that are its fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from fanfold.cli.option_groups import flat


@dataclass(frozen=True)
class Colours:
    red: Annotated[int, typer.Option(help="how red")] = 1
    green: Annotated[bool, typer.Option("--green", help="whether green")] = False


@dataclass(frozen=True)
class MoreColours:
    red: int = 2


def test_a_group_is_given_by_its_options_and_has_its_defaults() -> None:
    called: list[tuple[str, Colours, int]] = []

    def paint(what: str, *, colours: Colours, times: int = 3) -> None:
        called.append((what, colours, times))

    app = typer.Typer()
    app.command()(flat(paint))
    for arguments in (["door"], ["--red", "5", "door", "--green", "--times", "4"]):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    assert called == [("door", Colours(), 3), ("door", Colours(5, True), 4)]


def test_two_groups_with_an_option_of_one_name_are_refused_before_anything_runs() -> None:
    def paint(*, colours: Colours, more: MoreColours) -> None: ...

    with pytest.raises(ValueError, match="red"):
        flat(paint)
