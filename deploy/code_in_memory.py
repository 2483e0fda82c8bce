"""Code that only a start runs, taken out of memory again: the compiler's, 50 MB, which loads what was compiled before.

The pages are clean and lie in a file, so the system maps them again where somebody calls them after all.
"""

from __future__ import annotations

import ctypes
import mmap
import re
from pathlib import Path
from typing import Final

_MAPS: Final = Path("/proc/self/maps")
_CODE: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r-xp [0-9a-f]+ \S+ [0-9]+ +(\S+)")
COMPILER: Final = "libllvmlite.so"


def give_back_code_of(library: str) -> None:
    """Of a library of this process, by its file's name; nothing happens where the system has no such list or no such call."""
    libc = ctypes.CDLL(None)
    if not _MAPS.exists() or not hasattr(libc, "madvise"):
        return
    for line in _MAPS.read_text().splitlines():
        found = _CODE.fullmatch(line)
        # Code alone: it is never written to. What was relocated when the library was loaded is in memory only.
        if found is not None and Path(found[3]).name == library:
            first, end = int(found[1], 16), int(found[2], 16)
            libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), mmap.MADV_DONTNEED)
