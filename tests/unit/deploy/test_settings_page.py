"""The page of settings names what is one, with the default that it has."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic_settings import BaseSettings

from deploy.settings import ProcessSettings
from gateway.settings import GatewaySettings
from read_side.settings import ReadSettings
from write_side.settings import WriteSettings

PAGE = (Path(__file__).parents[3] / "deploy" / "SETTINGS.md").read_text()
CLASSES: tuple[type[BaseSettings], ...] = (WriteSettings, ReadSettings, GatewaySettings, ProcessSettings)
DEFAULTS = {
    f"FANFOLD_{name.upper()}": field.get_default(call_default_factory=True)
    for each in CLASSES
    for name, field in each.model_fields.items()
}
ROWS = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| `")]


def test_every_name_on_the_page_is_a_setting() -> None:
    named = set(re.findall(r"FANFOLD_[A-Z_]+", PAGE))
    assert len(named) > 40
    assert named - DEFAULTS.keys() == set()


def test_a_default_that_is_a_number_is_the_one_it_has() -> None:
    told = {
        name: told
        for first, defaults, *_ in ROWS
        for name, told in zip(re.findall(r"FANFOLD_[A-Z_]+", first), defaults.split(", "), strict=False)
    }
    # None: what is so depends on another setting, or on the log that is there.
    numbers = {
        name: int(default) for name, default in told.items() if default.isdecimal() and DEFAULTS[name] is not None
    }
    assert len(numbers) > 10
    assert numbers == {name: DEFAULTS[name] for name in numbers}
