"""A word, a list of words or a limit that several files keep to stands in one of them: where it stands twice, one is changed."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

ROOT = Path(__file__).parents[2]
SIDES: Final = ("fanfold", "write_side", "read_side", "gateway", "deploy")
LIMIT_MIN: Final = 1_000
"""Below it numbers are alike by chance: seconds, tries, columns."""
CHARACTERS_MIN: Final = 4
ALIKE: Final = {
    "ASIDE": "adapters of one port know nothing of each other",
    "BATCH_BYTES": "of two producers, each for its own reason",
    "RUN_BYTES": "adapters of one port know nothing of each other",
    "TRACEPARENT": "the name that W3C's Trace Context gives a header",
    "WAITING_MAX": "by chance",
}
"""Names that several files have with one value, and why that is no second declaration."""


@cache
def declared() -> dict[str, list[tuple[str, Any]]]:
    """Of each name of a constant the files that give it a value, and the value, where it is written out."""
    found: dict[str, list[tuple[str, Any]]] = defaultdict(list)
    for source in sorted(path for side in SIDES for path in (ROOT / side).rglob("*.py") if "designs" not in path.parts):
        for node in ast.parse(source.read_text()).body:
            match node:
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as given):
                    value = _written_out(given)
                    if value is not None:
                        found[name].append((source.relative_to(ROOT).as_posix(), value))
    return found


def _written_out(node: ast.expr) -> Any:
    """A value that somebody typed; None for one that is made of others, and for what is alike by chance."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "frozenset" and len(node.args) == 1:
        node = node.args[0]
    if any(not isinstance(each, _TYPED) for each in ast.walk(node)):
        return None
    value = eval(compile(ast.Expression(node), "", "eval"), {"__builtins__": {}})
    if isinstance(value, set):
        return frozenset(value)
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str | bytes):
        return value if len(value) >= CHARACTERS_MIN else None
    if isinstance(value, tuple):
        return value if len(value) > 1 else None
    return value if type(value) in (int, float) and abs(value) >= LIMIT_MIN else None


_TYPED: Final = (
    ast.Constant, ast.Tuple, ast.List, ast.Set, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.expr_context
)  # fmt: skip


def test_a_constant_has_its_value_in_one_file() -> None:
    twice = [
        f"{name} in {' and '.join(where)}"
        for name, places in declared().items()
        if name not in ALIKE
        for where in _alike(places)
    ]
    assert twice == [], "let one import it of the other, or say in ALIKE why they are alike"


def test_a_list_of_words_stands_in_one_file() -> None:
    lists = [
        (f"{name} in {where}", tuple(sorted(map(repr, value))))
        for name, places in declared().items()
        for where, value in places
        if isinstance(value, tuple | frozenset) and all(isinstance(each, str) for each in value)
    ]
    assert _alike(lists) == []


def _alike(places: list[tuple[str, Any]]) -> list[list[str]]:
    by_value: dict[Any, list[str]] = defaultdict(list)
    for where, value in places:
        by_value[type(value), value].append(where)
    return [where for where in by_value.values() if len(where) > 1]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('frozenset({"b", "a"})', frozenset({"a", "b"})),
        ("64 * 1024", 65_536),
        ("1 << 20", 1_048_576),
        ('("a", "b")', ("a", "b")),
        ("999", None),
        ('("a",)', None),
        ("OTHER + 1", None),
        ("len('four')", None),
    ],
)
def test_what_is_written_out_is_known_and_what_is_made_of_others_is_not(text: str, value: Any) -> None:
    assert _written_out(ast.parse(text, mode="eval").body) == value


def test_what_is_alike_by_chance_is_still_there() -> None:
    assert all(_alike(declared()[name]) for name in ALIKE)
