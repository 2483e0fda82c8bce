"""Who names a compiled function without a way in from Python (`contract/compiled/compiled.py`): only compiled code may.

numba would not refuse a call from Python: it ends the process.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

NO_WAY_IN = frozenset({"njit_inner", "njit_inlined"})
COMPILED = NO_WAY_IN | {"njit", "njit_borrowing", "intrinsic"}


def uses_from_python(sources: Mapping[str, str]) -> list[str]:
    """`path:line name` of every use of a function without a way in that stands outside compiled code. sources: path to text."""
    trees = {path: ast.parse(text) for path, text in sources.items()}
    inner = {
        (_module(path), node.name)
        for path, tree in trees.items()
        for node in _functions(tree)
        if _decorators(node) & NO_WAY_IN
    }
    return [f"{path}:{use}" for path, tree in trees.items() for use in _uses(_module(path), tree, inner)]


def _module(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def _decorators(function: ast.FunctionDef) -> set[str]:
    """Names of decorators, called or not: `@njit` and `@njit(cache=True)`."""
    named = (each.func if isinstance(each, ast.Call) else each for each in function.decorator_list)
    return {each.id for each in named if isinstance(each, ast.Name)}


def _uses(module: str, tree: ast.Module, inner: set[tuple[str, str]]) -> Iterator[str]:
    known = {name for place, name in inner if place == module}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            known |= {alias.asname or alias.name for alias in node.names if (node.module or "", alias.name) in inner}
    compiled = {
        id(node) for function in _functions(tree) if _decorators(function) & COMPILED for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if id(node) in compiled:
            continue
        if isinstance(node, ast.Name) and node.id in known:
            yield f"{node.lineno} {node.id}"
        elif isinstance(node, ast.Attribute) and any(
            name == node.attr and place.rpartition(".")[2] == ast.unparse(node.value) for place, name in inner
        ):
            yield f"{node.lineno} {node.attr}"
