"""The projection that a person has named: a module, and a name in it."""

from __future__ import annotations

import importlib
import os
import sys

from read_side.projections.projection import Declared, NoProjection, declared


def named(text: str) -> Declared:
    """`my_module:Totals`, also of the folder in which the process was started. Raises NoProjection, whose message says why."""
    module, colon, name = text.partition(":")
    if not module or not colon or not name.isidentifier():
        raise NoProjection(f"{text!r} names no projection: a module and a name in it, such as my_module:Totals")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        return declared(getattr(importlib.import_module(module), name))
    except NoProjection as missing:
        raise NoProjection(f"{text} is no projection: {missing}") from None
    except AttributeError as missing:
        raise NoProjection(f"{text} cannot be had: {missing}") from None
    except (Exception, SystemExit) as wrong:  # whatever that module does when it is read
        raise NoProjection(f"{module} cannot be imported from {here}: {type(wrong).__name__}: {wrong}") from None
