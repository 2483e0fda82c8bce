"""The file of the keys of machines, as commands change it: whole, one at a time, and readable by nobody else."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_bytes
from typing import Any

from gateway.identity.access import BadFile, MachineKey, MachineKeys, digest_of, machine_keys_of, new_key
from gateway.identity.grants import grant_of_text, text_of_grant

_MODE = 0o600


def add_key(path: Path, name: str, grants: Sequence[str]) -> str:
    """A new key of this name. It is nowhere but in what is returned: the file has its hash. grants: such as `team1.*=read,debit`.
    Raises ValueError, OSError."""
    key = new_key(token_bytes)
    made = MachineKey(name, digest_of(key), tuple(map(grant_of_text, grants)), _now())
    with _alone(path):
        _write(path, _told(path, lambda: keys_in(path).with_one(made)))
    return key


def revoke_key(path: Path, name: str) -> None:
    """Gateways that read the file refuse it, and end its streams, within a second or so. Raises ValueError, OSError."""
    with _alone(path):
        _write(path, _told(path, lambda: keys_in(path).without(name, _now())))


def keys_in(path: Path) -> MachineKeys:
    """Raises BadFile, OSError."""
    try:
        return machine_keys_of(path.read_bytes())
    except FileNotFoundError:
        return MachineKeys()


def grants_told(documents: Iterable[Mapping[str, Any]]) -> str:
    """The grants of a key in its file, for a person."""
    return " ".join(map(text_of_grant, documents))


def _told(path: Path, change: Callable[[], MachineKeys]) -> MachineKeys:
    try:
        return change()
    except BadFile as bad:
        raise BadFile(f"{path} {bad}. Nothing was changed.") from None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two commands at once would lose what one of them writes."""
    lock = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, _MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(path: Path, keys: MachineKeys) -> None:
    """In the place of the old one at once, so that a gateway never reads half of it."""
    beside = path.with_name(path.name + ".new")
    file = os.open(beside, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, _MODE)
    try:
        os.write(file, keys.encode())
        os.fsync(file)
    finally:
        os.close(file)
    os.replace(beside, path)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
