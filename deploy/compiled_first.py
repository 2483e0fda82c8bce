"""The loops are compiled by a process of their own, once a version: a service loads what that one leaves in the cache.

Compiling takes 400 MB that no process ever gives back, and keeps the interpreter from everybody who asks meanwhile. Whatever
becomes of that process, the service starts: what is missing then it compiles itself.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from deploy.all_compiled import all_compiled, is_all_compiled
from write_side.contract.compiled.compiled import DISABLED
from write_side.contract.compiled.compiling import Compiling, compiling
from write_side.wiring import compile_loops

_COMMAND: Final = (sys.executable, "-m", "deploy.compiled_first")


def compile_all() -> None:
    """Compile, or load, whatever a service runs, and say so for those that start later."""
    compile_loops()
    if not DISABLED:
        with suppress(OSError):
            all_compiled().touch()


async def compiled_first(is_done: Path | None = None, command: Sequence[str] = _COMMAND) -> None:
    """Until everything is compiled, as far as another process can do that. Meanwhile the doors say so."""
    if DISABLED or (is_done or all_compiled()).exists():
        return
    telling, pipe = compiling(), asyncio.subprocess.PIPE
    telling.elsewhere = 0
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                telling.elsewhere = int(line)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    except (OSError, ValueError):
        pass
    finally:
        telling.elsewhere = None


async def loaded_beside() -> None:
    """Load what is compiled already, beside the opening of the log; nothing where something is still to be compiled. What fails
    here is tried again by whoever needs it, and told then."""
    if is_all_compiled():
        with suppress(Exception):
            await asyncio.to_thread(compile_loops)


class _Told(Compiling):
    """Writes after each function how many there are."""

    def on_end(self, _event: object) -> None:
        super().on_end(_event)
        with suppress(OSError):
            os.write(1, b"%d\n" % self.functions)


def _end_with_who_asked() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _main() -> None:
    from numba.core import event

    threading.Thread(target=_end_with_who_asked, daemon=True).start()
    event.register("numba:compile", _Told())  # type: ignore[no-untyped-call]
    compile_all()
    os._exit(0)


if __name__ == "__main__":
    _main()
