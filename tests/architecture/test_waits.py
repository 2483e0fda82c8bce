"""How the product waits: so that who is cancelled hears it, and what failed is tried again by the one loop that has a bound."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("fanfold", "write_side", "read_side", "gateway", "deploy")


def test_nobody_waits_by_what_passes_over_a_cancel() -> None:
    """`asyncio.wait_for` does before Python 3.12, once what it waits for is there: `asyncio.timeout` hears it."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in PRODUCT
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "wait_for" and ast.unparse(node.value) == "asyncio"
    ]
    assert found == []


def test_what_failed_is_tried_again_by_the_one_loop_for_it() -> None:
    """`fanfold/api/retry.py`: a wait where a failure was caught is that loop made again by hand, most often without a bound."""
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for folder in PRODUCT
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and _sleeps(call)
    ]
    assert found == []


def _sleeps(call: ast.Call) -> bool:
    """Of no time is no wait: others have their turn."""
    return ast.unparse(call.func).rpartition(".")[2].lstrip("_") == "sleep" and ast.unparse(call.args[0]) != "0"
