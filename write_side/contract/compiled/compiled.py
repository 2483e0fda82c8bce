"""numba's `njit`, with its cache in a folder named by what was compiled.

numba looks only at the file of the cached function: it does not see edits of functions and constants imported from elsewhere,
and would go on running the old rules. So the cache folder's name is a hash of the sources of what is compiled and of
numba's version, and it is set before numba is imported; every compiled module imports `njit` from here. (The one piece of
work at import there is.)

With NUMBA_DISABLE_JIT=1 the same loops run uncompiled: the specification.
"""

from __future__ import annotations

import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from blake3 import blake3


def _cache_folder() -> str:
    root = Path(__file__).resolve().parents[2]
    digest = blake3(version("numba").encode())
    for folder in ("contract", "ledger", "id_runs"):  # nothing else is compiled
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder_path = Path(home) / "fanfold" / "numba" / digest.hexdigest(8)
    try:
        folder_path.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only home: compile again in each life rather than not at all
        return tempfile.mkdtemp(prefix="fanfold-numba-")
    return str(folder_path)


os.environ.setdefault("NUMBA_CACHE_DIR", _cache_folder())

from numba import config, njit  # noqa: E402

DISABLED: bool = bool(getattr(config, "DISABLE_JIT"))  # noqa: B009 -- numba makes the attribute at run time
"""Whether the loops run as plain Python."""


def _borrowing(function: Any, **options: Any) -> Any:
    uncounted: Any = {"_nrt": False}  # an option that numba has and its types do not name
    return njit(cache=True, nogil=True, **options, **uncounted)(function)


def njit_borrowing(function: Any) -> Any:
    """`njit` for functions that only use the arrays they are given and make none: nothing counts references to them.

    Each of the tuples of arrays that the rules hand on would otherwise be counted up and down, array by array with locked
    instructions, in every call: about half of the time of a transfer across partitions.
    """
    return _borrowing(function)


def njit_inner(function: Any) -> Any:
    """As `njit_borrowing`, for functions that only compiled ones call: without the way in from Python, which for tuples of arrays
    takes longer to compile than most of the functions themselves."""
    return _borrowing(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def njit_inlined(function: Any) -> Any:
    """As `njit_inner`, and LLVM puts the body in the place of the call.

    numba's own `inline="always"` types the body again at every call, which compiles longer.
    """
    return _borrowing(function, no_cpython_wrapper=True, no_cfunc_wrapper=True, forceinline=True)


__all__ = ["DISABLED", "njit", "njit_borrowing", "njit_inlined", "njit_inner"]
