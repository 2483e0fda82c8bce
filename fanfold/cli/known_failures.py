"""What the environment refuses, told as a sentence: no traceback reaches a user for what is not a bug."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import typer
from pydantic import ValidationError

from deploy.serving import CannotListen
from fanfold.cli.output import complain
from read_side.wiring import CannotTell, ProjectorStopped
from write_side.wiring import PartitionStopped

STOPPED = 1
"""Exit code: a partition is damaged, or what is made of it is of another log."""
UNREADABLE = 2
_FAILURES = (CannotListen, *PartitionStopped, *ProjectorStopped, *CannotTell, ValueError, OSError)


@contextmanager
def failures_told(exit_code: int) -> Iterator[None]:
    """Print a known failure on standard error and end with `exit_code`; Ctrl-C ends with 130."""
    try:
        yield
    except ValidationError as wrong:
        # Only the name and the rule: a value may be an address with a password in it.
        rules = "; ".join(map(_rule, wrong.errors()))
        complain(f"fanfold: a setting is wrong, and nothing was started. {rules}")
        raise typer.Exit(exit_code) from None
    except _FAILURES as failure:
        complain(f"fanfold: {failure}")
        raise typer.Exit(exit_code) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _rule(error: Mapping[str, Any]) -> str:
    """What is about several settings names them itself."""
    place: Sequence[object] = error["loc"]
    return (
        f"FANFOLD_{str(place[0]).upper()}: {error['msg']}" if place else str(error["msg"]).removeprefix("Value error, ")
    )


class OfPartition(Protocol):
    """What became of a partition. problem: why it does not go on; unread: nothing is wrong, something does not answer."""

    partition: int
    problem: str | None
    unread: bool


def code_of_partitions(found: Iterable[OfPartition]) -> int:
    """The exit code, once what has stopped is told."""
    code = 0
    for each in found:
        if each.problem is not None:
            complain(f"fanfold: partition {each.partition}: {each.problem}")
            code = code if code == STOPPED else UNREADABLE if each.unread else STOPPED
    return code
