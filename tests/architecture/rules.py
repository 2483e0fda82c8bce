"""The import rules of the design, as functions from source text to a list of violations.

They read the syntax tree and run nothing, so they work on made-up sources too: that is how test_imports.py proves that
each of them can fail.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Final

SIDES: Final = ("write_side", "read_side", "gateway")
OURS: Final = (*SIDES, "fanfold", "deploy", "tests")

# What each folder may import of ours beside itself; the first entry whose folder holds the file decides.
# A side's contract is what others may know of it; wiring is how the command line and deploy/ put it together.
CONTRACTS: Final = tuple(f"{side}.contract" for side in SIDES)
WIRINGS: Final = tuple(f"{side}.wiring" for side in SIDES)
PUBLIC: Final = "fanfold.api"
"""What everybody may import, and what imports nothing of ours."""
DOORS: Final = "fanfold.doors"
"""What the HTTP doors of all sides do alike."""
DESIGNS: Final = "write_side.designs"
"""For comparison only: nothing of the product imports it."""
ASKS_DESIGNS: Final = ("write_side/designs/", "fanfold/cli/compare", "tests/")
MAY_IMPORT: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("fanfold/api/", (PUBLIC,)),
    ("fanfold/doors/", (PUBLIC, DOORS)),
    ("write_side/contract/", ("write_side", PUBLIC)),
    ("write_side/ledger/", ("write_side", PUBLIC)),
    # The chapter's other designs stand outside: they know nothing of ours, which is asked there through the same port.
    ("write_side/designs/event_sourcing", ("write_side", PUBLIC)),
    ("write_side/designs/wiring", ("write_side", PUBLIC)),
    ("write_side/designs/", (DESIGNS, "write_side.contract")),
    ("write_side/", ("write_side", PUBLIC, DOORS)),
    ("read_side/contract/", ("read_side", "write_side.contract", PUBLIC)),
    ("read_side/", ("read_side", "write_side.contract", PUBLIC, DOORS)),
    ("gateway/", ("gateway", "read_side.contract", "write_side.contract", PUBLIC, DOORS)),
    # The benchmarks live with the tests, and one of them starts a broker: only the bench command reaches there.
    ("fanfold/cli/bench", ("fanfold", "deploy", *WIRINGS, *CONTRACTS, "tests.benchmarks", "tests.servers")),
    # So do the other designs: they are told side by side, over servers that are started for it.
    ("fanfold/cli/compare", ("fanfold", DESIGNS, "tests.servers")),
    # Contracts are values and pure functions: printing a position or decoding a block needs no wiring.
    ("fanfold/cli/", ("fanfold", "deploy", *WIRINGS, *CONTRACTS)),
    ("fanfold/", ("fanfold",)),
    ("deploy/", ("deploy", "fanfold", *SIDES)),
    ("tests/", OURS),
)

MAY_NOT_IMPORT: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("write_side/contract/words/", tuple(f"fanfold.api.{http}" for http in ("routes", "problems", "openapi"))),
    ("write_side/ledger/", tuple(f"write_side.contract.{room}" for room in ("archive", "snapshots"))),
    ("gateway/protocol/", tuple(f"gateway.{shell}" for shell in ("metrics", "settings"))),
    *((f"{side}/", (f"{side}.wiring",)) for side in SIDES),
    ("fanfold/", ("fanfold.cli", "fanfold.doors")),
)
"""Of what stands in a room, or beside the rooms, what else is not for it: words know nothing of HTTP, rules do no I/O, what is
put together knows nothing of who puts it together, and the client is no program."""

ROOMS: Final[dict[str, tuple[str, ...]]] = {
    "write_side": ("doors", "intake", "owner", "id_runs", "queue", "ledger", "contract"),
    "write_side/ledger": ("again", "deciding", "across", "rules", "commands"),
    "write_side/contract": ("tell", "archive", "snapshots", "state", "log", "block", "words", "compiled"),
    "read_side": (
        "doors",
        "ask",
        "projections",
        "webhooks",
        "whole_log",
        "follow",
        "history",
        "tell",
        "fold",
        "feed",
        "views",
        "contract",
    ),
    "gateway": ("doors", "streams", "proxy", "protocol", "identity", "arrivals", "limits"),
    "fanfold": ("cli", "doors", "api"),
}
"""Of a folder its rooms from top to bottom: imports run down only."""
ONLY_IO_OF_A_CONTRACT: Final = (
    "write_side/contract/log/",
    "write_side/contract/snapshots/",
    "write_side/contract/archive/",
)
"""The log is what all sides read, and its archive where it was trimmed; a start of any of them begins at a snapshot, and one
takes them for all."""

PURE_FOLDERS: Final = (
    "write_side/contract/",
    "write_side/ledger/",
    "read_side/contract/",
    "read_side/fold/",
    "read_side/tell/",
    *(f"read_side/webhooks/{pure}.py" for pure in ("batches", "delivery", "hooks", "signing")),
    "gateway/protocol/",
    "gateway/limits/",
    *(f"gateway/arrivals/{pure}.py" for pure in ("access_line", "forwarded", "trace")),
    *(
        f"gateway/identity/{pure}.py"
        for pure in ("access", "commands_allowed", "grants", "hidden", "key_set", "requests_allowed", "shown", "tokens")
    ),
)

# How the loops are compiled: it must name numba's cache folder before numba is imported, and computes nothing.
COMPILER: Final = "write_side/contract/compiled/compiled.py"

# An adapter is named <port>_<technology>.py, a further file of it <port>_<technology>_<part>.py; in a folder of
# adapters <technology>.py will do.
TECHNOLOGIES: Final = ("file", "kafka", "memory", "redis", "sqlite", "in_process", "http", "s3", "hdfs")
_ADAPTER: Final = re.compile(r"^(?:[a-z0-9_]+_(?P<part>T)(?:_.*)?|(?P<whole>T))$".replace("T", "|".join(TECHNOLOGIES)))

# I/O, clocks, event loops, chance. `threading` is not here: a lock does nothing of that, it guards memory.
IMPURE_MODULES: Final = frozenset(
    [
        "aiohttp",
        "aiokafka",
        "anyio",
        "asyncio",
        "concurrent",
        "dotenv",
        "fastapi",
        "fcntl",
        "fileinput",
        "ftplib",
        "getpass",
        "glob",
        "http",
        "httpx",
        "io",
        "logging",
        "mmap",
        "multiprocessing",
        "os",
        "pathlib",
        "prometheus_client",
        "pydantic_settings",
        "queue",
        "random",
        "redis",
        "requests",
        "rich",
        "sched",
        "select",
        "selectors",
        "shutil",
        "signal",
        "smtplib",
        "socket",
        "socketserver",
        "sqlite3",
        "ssl",
        "starlette",
        "structlog",
        "subprocess",
        "tempfile",
        "time",
        "trio",
        "typer",
        "urllib",
        "uvicorn",
        "uvloop",
        "watchfiles",
        "websockets.asyncio",
        "websockets.legacy",
        "websockets.sync",
    ]
)
# Pure modules with an impure function in them.
IMPURE_CALLS: Final = frozenset(
    {
        "open",
        "print",
        "input",
        "breakpoint",
        "uuid.uuid1",
        "uuid.uuid4",
        "uuid.uuid6",
        "uuid.uuid7",
        "datetime.now",
        "datetime.utcnow",
        "datetime.today",
        "date.today",
        "datetime.datetime.now",
        "datetime.datetime.utcnow",
        "datetime.datetime.today",
        "datetime.date.today",
    }
)

NAMES_WITHOUT_A_CONCEPT: Final = frozenset({"util", "utils", "common", "base", "helper", "helpers", "manager", "misc"})

# In two parts, because this file must not hold what it forbids.
_REGISTRY_HOSTS: Final = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("repo1", "maven", "org"),
        ("repo", "maven", "apache", "org"),
        ("debian", "org"),
        ("crates", "io"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("proxy", "golang", "org"),
        ("docker", "io"),
    )
)
_REGISTRY: Final = re.compile(
    "|".join(rf"(?<![\w-]){re.escape(host)}(?![\w-])" for host in _REGISTRY_HOSTS)
    + r"|--(?:extra-)?index"
    + r"-url[ =]+\S*://",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Violation:
    place: str
    """`path:line`, or a path."""
    rule: str

    def __str__(self) -> str:
        return f"{self.place}: {self.rule}"


@dataclass(frozen=True)
class _Import:
    target: str
    """Dotted, with the imported name: `from a.b import c` is `a.b.c`, whether c is a module or not."""
    line: int
    for_types_only: bool


def check_source(path: str, source: str) -> list[Violation]:
    """All rules on one Python file; `path` is relative to the repository, with slashes. SyntaxError if not Python."""
    tree = ast.parse(source, filename=path)
    imports = list(_imports(tree, path))
    return [
        *_other_folders(path, imports),
        *_rooms_above(path, imports),
        *_not_for_it(path, imports),
        *_concrete_adapters(path, imports),
        *_impure_code(path, tree, imports),
    ]


def _rooms_above(path: str, imports: list[_Import]) -> Iterator[Violation]:
    for folder, rooms in ROOMS.items():
        own = _room(path, folder, rooms)
        if own is None:
            continue
        for each in imports:
            other = _room(each.target.replace(".", "/"), folder, rooms)
            if other is not None and rooms.index(other) < rooms.index(own):
                yield Violation(
                    f"{path}:{each.line}", f"{folder}/{own} may not import {each.target}: {other} is above it"
                )


def _not_for_it(path: str, imports: list[_Import]) -> Iterator[Violation]:
    if path.startswith(("fanfold/cli/", "fanfold/doors/", "write_side/designs/")) or path == "fanfold/__main__.py":
        return
    for folder, packages in MAY_NOT_IMPORT:
        for each in imports if path.startswith(folder) else ():
            if any(_within(each.target, package) for package in packages):
                yield Violation(f"{path}:{each.line}", f"{folder} may not import {each.target}")


def _room(path: str, folder: str, rooms: tuple[str, ...]) -> str | None:
    if not path.startswith(f"{folder}/"):
        return None
    name = path[len(folder) + 1 :].partition("/")[0]
    return name if name in rooms else None


def check_circles(sources: Mapping[str, str]) -> list[Violation]:
    """Files that import each other, for types or not. sources: path to text."""
    modules = {path.removesuffix(".py").replace("/", "."): path for path in sources}
    arrows: dict[str, list[str]] = {}
    for module, path in modules.items():
        found = []
        for each in _imports(ast.parse(sources[path]), path):
            target = each.target if each.target in modules else each.target.rpartition(".")[0]
            if target in modules and target != module:
                found.append(target)
        arrows[module] = found
    sorter = TopologicalSorter(arrows)
    try:
        sorter.prepare()
    except CycleError as circle:
        return [Violation(modules[circle.args[1][0]], "imports run in a circle: " + " -> ".join(circle.args[1]))]
    return []


def check_name(path: str) -> list[Violation]:
    """No file or folder of a name that hides what it holds."""
    parts = PurePosixPath(path).parts
    stems = [*parts[:-1], parts[-1].partition(".")[0]]
    return [
        Violation(path, f"the name {stem!r} hides a concept")
        for stem in stems
        if NAMES_WITHOUT_A_CONCEPT & set(re.split(r"[_-]", stem.lower()))
    ]


def check_addresses(path: str, text: str) -> list[Violation]:
    """No address of a package registry: which one is used is the machine's choice."""
    return [
        Violation(f"{path}:{number}", f"names a package registry: {found.group()}")
        for number, line in enumerate(text.splitlines(), start=1)
        if (found := _REGISTRY.search(line)) is not None
    ]


def technology(module: str) -> str | None:
    """The technology whose adapter (or a file of it) a module's own name says it is; None for every other module."""
    found = _ADAPTER.match(module)
    return found and (found["part"] or found["whole"])


def _within(target: str, package: str) -> bool:
    return target == package or target.startswith(package + ".")


def _other_folders(path: str, imports: list[_Import]) -> Iterator[Violation]:
    # A type is a dependency too, so imports for types only count here.
    allowed = next((packages for folder, packages in MAY_IMPORT if path.startswith(folder)), OURS)
    for found in imports:
        if _within(found.target, DESIGNS) and not path.startswith(ASKS_DESIGNS):
            yield Violation(f"{path}:{found.line}", f"is of the product, which may not import {found.target}")
        ours = found.target.partition(".")[0] in OURS
        if ours and not any(_within(found.target, package) for package in allowed):
            yield Violation(f"{path}:{found.line}", f"may not import {found.target}, only {', '.join(allowed)}")


def _concrete_adapters(path: str, imports: list[_Import]) -> Iterator[Violation]:
    name = PurePosixPath(path)
    if path.startswith(("deploy/", "tests/")) or name.name == "wiring.py":
        return
    for found in imports:
        parts = found.target.split(".")
        if parts[0] not in SIDES or "wiring" in parts:  # what wiring offers may be called open_log_file
            continue
        # Only lower-case parts after the side can be modules: a class FileLog is not one.
        adapters = {technology(part) for part in parts[1:] if part.islower()} - {None}
        # One adapter may be spread over files of the same technology, side by side.
        if adapters - {technology(name.stem)}:
            yield Violation(f"{path}:{found.line}", f"only wiring.py and deploy/ name an adapter: {found.target}")


def _impure_code(path: str, tree: ast.Module, imports: list[_Import]) -> Iterator[Violation]:
    if not path.startswith(PURE_FOLDERS) or path.startswith(ONLY_IO_OF_A_CONTRACT) or path == COMPILER:
        return
    for found in imports:
        if not found.for_types_only and any(_within(found.target, module) for module in IMPURE_MODULES):
            yield Violation(f"{path}:{found.line}", f"a pure folder may not import {found.target}")
    full_names = {found.target.rpartition(".")[2]: found.target for found in imports}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            first, dot, rest = called.partition(".")
            # `from uuid import uuid4` calls it by its last name.
            if called in IMPURE_CALLS or full_names.get(first, first) + dot + rest in IMPURE_CALLS:
                yield Violation(f"{path}:{node.lineno}", f"a pure folder may not call {called}()")


def _imports(tree: ast.Module, path: str) -> Iterator[_Import]:
    typing_only = {
        id(inside)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
        for statement in node.body
        for inside in ast.walk(statement)
    }
    for node in ast.walk(tree):
        for target in _targets(node, path):
            yield _Import(target, getattr(node, "lineno", 0), id(node) in typing_only)


def _targets(node: ast.AST, path: str) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names, level=level):
            package = PurePosixPath(path).parts[:-level] if level else ()
            origin = ".".join([*package, *([module] if module else [])])
            return [f"{origin}.{alias.name}" if alias.name != "*" else origin for alias in names]
        case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]) if ast.unparse(function).rpartition(".")[
            2
        ] in {"import_module", "__import__"}:
            return [name]  # an import by name is an import
        case _:
            return []


# -- the tree -----------------------------------------------------------------------------------------------------

_SKIPPED_FOLDERS: Final = frozenset({".git", ".venv", "__pycache__", "build", "dist", "node_modules", ".hypothesis"})
_LARGEST_TEXT: Final = 4 << 20  # bytes; above it is data


def files(root: Path) -> Iterator[str]:
    """Every file of the checkout, relative with slashes; not environments, caches, and what a running fanfold wrote."""
    for entry in sorted(root.iterdir()):
        skipped = entry.name in _SKIPPED_FOLDERS or entry.name.endswith(("_cache", ".egg-info")) or entry.is_symlink()
        if skipped or entry.name == "data":
            continue
        yield from _below(entry, root)


def _below(entry: Path, root: Path) -> Iterator[str]:
    if entry.is_file():
        yield entry.relative_to(root).as_posix()
    elif entry.is_dir() and entry.name not in _SKIPPED_FOLDERS:
        for inner in sorted(entry.iterdir()):
            yield from _below(inner, root)


def check_tree(root: Path) -> list[Violation]:
    """Every rule on every file below `root`; an empty tree has none."""
    found: list[Violation] = []
    for path in files(root):
        found += check_name(path)
        content = root / path
        if content.stat().st_size > _LARGEST_TEXT:
            continue
        text = content.read_bytes().decode("utf-8", errors="replace")
        found += check_addresses(path, text)
        if path.endswith(".py"):
            found += check_source(path, text)
    return found
