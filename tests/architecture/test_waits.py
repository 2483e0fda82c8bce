"""How the product waits: so that who is cancelled hears it."""

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
