"""A part of a file as memory of one's own: its bytes lie where the system has them already, and only what is changed is copied.

The ids of a partition are most of its state and next to none of them is ever changed. Read into arrays, they cost their memory
once a fold, and fresh memory costs more than all that is done with it at a start.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import weakref
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_FIXED: Final = 0x10
_NO_RESERVE: Final = 0x4000
"""What Linux calls them on these machines; Python has no names for the two."""
_MACHINES: Final = ("x86_64", "aarch64")


class _Memory:
    """Addresses that are given back when no array is left that lies there."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.address = _mapped(None, length, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE, -1, 0)
        end = weakref.finalize(self, _libc().munmap, ctypes.c_void_p(self.address), ctypes.c_size_t(length))
        end.atexit = False  # threads may still be reading while the interpreter ends

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {"shape": (self.length,), "typestr": "|u1", "data": (self.address, False), "version": 3}


def memory_of(descriptor: int, start: int, length: int, room: int) -> npt.NDArray[np.uint8] | None:
    """uint8[room], which begins with these bytes of the file; behind them it is as unwritten as fresh memory. Whoever has it may
    write anywhere: nobody else sees that, nor the file. None where the system is another than it is known for.

    The file must stay as it is for as long as the array lives, on a disk of this machine: a read that fails later ends the
    process. To remove its name is no harm. Raises MemoryError, OSError.
    """
    if sys.platform != "linux" or os.uname().machine not in _MACHINES:
        return None
    slack = start % mmap.PAGESIZE
    of_file = _pages(slack + length)
    memory = _Memory(max(of_file, _pages(slack + room)))
    try:
        _mapped(memory.address, of_file, mmap.MAP_PRIVATE | _FIXED, descriptor, start - slack)
    except MemoryError as failure:
        raise OSError("it cannot be mapped into memory") from failure
    rest = memory.length - of_file
    if rest:  # as numpy has it for large arrays
        _libc().madvise(
            ctypes.c_void_p(memory.address + of_file), ctypes.c_size_t(rest), ctypes.c_int(mmap.MADV_HUGEPAGE)
        )
    octets: npt.NDArray[np.uint8] = np.asarray(memory)
    return octets[slack : slack + room]


def _pages(length: int) -> int:
    return -(-length // mmap.PAGESIZE) * mmap.PAGESIZE


def _mapped(address: int | None, length: int, flags: int, descriptor: int, start: int) -> int:
    """Raises MemoryError."""
    function = _libc().mmap
    function.restype = ctypes.c_void_p
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long)
    found = function(address, length, mmap.PROT_READ | mmap.PROT_WRITE, flags, descriptor, start)
    if found is None or found == ctypes.c_void_p(-1).value:
        raise MemoryError(f"no addresses for {length} bytes ({os.strerror(ctypes.get_errno())})")
    return int(found)


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
