"""A part of a file as memory of one's own: its bytes lie where the system has them already, and only what is changed is copied.

The ids of a partition are most of its state and next to none of them is ever changed. Read into arrays, they cost their memory
once a fold, and fresh memory costs more than all that is done with it at a start.
"""

from __future__ import annotations

import ctypes
import errno
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
    """Addresses that begin with bytes of a file, given back when no array is left that lies there. Raises MemoryError,
    OSError."""

    def __init__(self, descriptor: int, start: int, of_file: int, length: int) -> None:
        self.length = length
        # The file over all of it first: where that fails, nothing is there that would have to be given back.
        self.address = _mapped(None, length, mmap.MAP_PRIVATE | _NO_RESERVE, descriptor, start)
        fresh = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE | _FIXED
        try:
            if length > of_file:
                _mapped(self.address + of_file, length - of_file, fresh, -1, 0)
        except (MemoryError, OSError):
            # What lay there may be gone, and another thread's memory by now: only what is surely ours is given back.
            _libc().munmap(ctypes.c_void_p(self.address), ctypes.c_size_t(of_file))
            raise
        end = weakref.finalize(self, _libc().munmap, ctypes.c_void_p(self.address), ctypes.c_size_t(length))
        end.atexit = False  # threads may still be reading while the interpreter ends

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {"shape": (self.length,), "typestr": "|u1", "data": (self.address, False), "version": 3}


def memory_of(descriptor: int, start: int, length: int, room: int) -> npt.NDArray[np.uint8] | None:
    """uint8[room], which begins with these bytes of the file; behind them it is as unwritten as fresh memory. Whoever has it may
    write anywhere: nobody else sees that, nor the file. None where the system is another than it is known for, or does not map
    this file (not every file system can).

    The file must stay as it is for as long as the array lives, on a disk of this machine: a read that fails later ends the
    process. To remove its name is no harm. Raises MemoryError.
    """
    if sys.platform != "linux" or os.uname().machine not in _MACHINES:
        return None
    slack = start % mmap.PAGESIZE
    of_file = _pages(slack + length)
    try:
        memory = _Memory(descriptor, start - slack, of_file, max(of_file, _pages(slack + room)))
    except OSError:
        return None
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
    """Raises MemoryError, OSError."""
    function = _libc().mmap
    function.restype = ctypes.c_void_p
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_long)
    found = function(address, length, mmap.PROT_READ | mmap.PROT_WRITE, flags, descriptor, start)
    if found is None or found == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        if number == errno.ENOMEM:
            raise MemoryError(f"no addresses for {length} bytes")
        raise OSError(number, os.strerror(number))
    return int(found)


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
