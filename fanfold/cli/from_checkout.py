"""Modules of commands that run from a checkout only: they use servers of the tests, and packages of the extra `compare`."""

from __future__ import annotations

import importlib
from types import ModuleType

import typer


def from_checkout(name: str) -> ModuleType:
    """Raises typer.BadParameter, which says what is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("tests"):
            raise typer.BadParameter("it runs from a checkout of the repository, in its top folder") from None
        raise typer.BadParameter(f"{missing.name} is not installed: pip install 'fanfold[compare]'") from None
