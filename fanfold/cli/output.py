"""What a command says on standard output, once what it did is done: written whole, at once, and never as a refusal.

Nothing that can happen to the output (a closed pipe, a full disk, a closed descriptor, an encoding that lacks a character) says
anything about the money. So it never ends a command with a traceback, or with the exit code of a refusal.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from contextlib import suppress
from typing import Final, NoReturn

import typer

from fanfold.cli.sheet import Sheet

NOT_TOLD: Final = 4
"""Exit code: what was asked is done, and standard output could not be told so; it stands on standard error."""


def say(text: str, *, changed: bool = False, code: int = NOT_TOLD) -> None:
    """Print lines. Where that cannot be, end the command with `code`.

    changed: it tells of something that was changed, so it is said on standard error instead, with the ids in it.
    """
    trouble = write(text)
    if trouble is not None:
        done = "It is done, but s" if changed else "S"
        complain(
            f"{done}tandard output cannot be written ({trouble.strerror}).{' This was to be told:' if changed else ''}"
        )
        if changed:
            complain(text)
        raise typer.Exit(code)


def fail_untold(trouble: OSError) -> NoReturn:
    """End the command, where something else than `say` could not write."""
    complain(f"Standard output cannot be written ({trouble.strerror}).")
    _drop_the_rest()
    raise typer.Exit(NOT_TOLD)


def say_next(text: str) -> None:
    """Lines of a stream without an end: who closes the pipe has enough, and the command ends with 0."""
    trouble = write(text)
    if trouble is not None:
        if trouble.errno != errno.EPIPE:
            complain(f"Standard output cannot be written ({trouble.strerror}).")
        raise typer.Exit(0 if trouble.errno == errno.EPIPE else NOT_TOLD)


def laid_out(sheet: Sheet) -> str:
    """A table for the terminal as wide as it is; plain lines for anything else."""
    return "\n".join(sheet.lines(shutil.get_terminal_size().columns if is_terminal() else None))


def is_terminal() -> bool:
    try:
        return sys.stdout is not None and sys.stdout.isatty()
    except ValueError:  # closed
        return False


def write(text: str) -> OSError | None:
    """Print lines at once; what went wrong, or None. Characters that the output's encoding lacks are written as escapes."""
    stream = sys.stdout
    if stream is None:  # closed before we began
        return OSError(errno.EBADF, "it is closed")
    try:
        stream.write(_sayable(text, stream.encoding or "ascii") + "\n")
        stream.flush()
    except OSError as error:
        _drop_the_rest()
        return error
    except ValueError:
        return OSError(errno.EBADF, "it is closed")
    except KeyboardInterrupt:  # who reads us has stopped, and the person has had enough: it is done all the same
        _drop_the_rest()
        return OSError(errno.EINTR, "interrupted")
    return None


def complain(text: str) -> None:
    """Print lines on standard error, if that can be."""
    stream = sys.stderr
    if stream is None:
        return
    with suppress(OSError, ValueError):
        stream.write(_sayable(text, stream.encoding or "ascii") + "\n")
        stream.flush()


def _sayable(text: str, encoding: str) -> str:
    """With escapes for what has no place in `encoding`, and for what would steer a terminal."""
    return printable(text, besides="\n\t").encode(encoding, "backslashreplace").decode(encoding)


def printable(text: str, *, besides: str = "") -> str:
    """With escapes for what would steer a terminal: what comes from elsewhere may hold anything."""
    return "".join(c if c.isprintable() or c in besides else c.encode("unicode_escape").decode() for c in text)


def _drop_the_rest() -> None:
    """What stays in the buffer must not fail once more when Python ends, which would change the exit code."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
