"""One heap of the C library for all threads of a service, and for Arrow.

Threads that fold would each get a heap of their own, and keep 10 to 20 MiB of it when they are done. A heap that is there
already is given to later threads all the same: numpy and Arrow have a thread from their import on, so `for_all_threads` is to
be called before. Arrow's own allocator keeps a heap for each thread, too, of at least a large page.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final

_ARENAS_MAX: Final = -8
"""glibc's number of what `mallopt` is to set."""


def for_all_threads() -> None:
    """From now on no thread gets another heap, nor Arrow one of its own, if that is not imported yet and nobody chose another."""
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if (tune := _of_glibc("mallopt")) is not None:
        tune(_ARENAS_MAX, 1)


def give_back() -> None:
    """Give what was freed back to the system: the C library keeps pieces of up to 32 MiB for itself."""
    if (trim := _of_glibc("malloc_trim")) is not None:
        trim(0)


def _of_glibc(name: str) -> Any:
    """A function that other C libraries need not have; None there."""
    return getattr(ctypes.CDLL(None), name, None)
