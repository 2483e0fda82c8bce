"""What is written down of who may do what, beside tokens: grants by subject, who is shut out, and the keys of machines. Pure:
from the bytes of a file to values, and back.

A key of a machine is 32 bytes of chance. Only its SHA-256 is kept, unsalted and not slowed down: what slow hashes are for is
guessing what people chose, and nobody guesses 256 bits. Who reads the file can ask for nothing with it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.identity.grants import KEY_NAMES, BadGrants, Grant, Principal, check_name, documents_of, grants_of

KEY_PREFIX: Final = "fanfold_"
"""So that a key that was left somewhere is known for what it is, and is told from a token (which has dots)."""

KEY_BYTES: Final = 32
_KEY: Final = re.compile(rf"{KEY_PREFIX}[A-Za-z0-9_-]{{43}}\Z", re.ASCII)
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)


class BadFile(ValueError):
    """A file that is not what it should be. The message says why, as what follows its name in a sentence."""


@dataclass(frozen=True)
class Access:
    """granted: grants by subject; they count instead of those in tokens. None: there is no such file. names, tokens: shut out."""

    granted: Mapping[str, tuple[Grant, ...]] | None = None
    names: frozenset[str] = frozenset()
    tokens: frozenset[str] = frozenset()

    def shuts_out(self, principal: Principal) -> bool:
        return principal.name in self.names or (bool(principal.token) and principal.token in self.tokens)


@dataclass(frozen=True)
class MachineKey:
    """digest: SHA-256 of the key, hexadecimal. created, revoked: times as they are told to people; revoked: "" while it
    counts."""

    name: str
    digest: str
    grants: tuple[Grant, ...]
    created: str
    revoked: str = ""

    @property
    def principal(self) -> Principal:
        return Principal(KEY_NAMES + self.name, self.grants, token=self.digest)

    def document(self) -> dict[str, Any]:
        told = {"name": self.name, "sha256": self.digest, "grants": documents_of(self.grants), "created": self.created}
        return told | ({"revoked": self.revoked} if self.revoked else {})


@dataclass(frozen=True)
class MachineKeys:
    """All of a file, in its order; each name is there once among those that count."""

    keys: tuple[MachineKey, ...] = ()
    _counting: dict[str, MachineKey] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_counting", {key.digest: key for key in self.keys if not key.revoked})

    def of(self, presented: str) -> Principal | None:
        """Who presents this key; None for nobody. How long it takes tells nothing: it is found by its hash."""
        key = self._counting.get(digest_of(presented))
        return None if key is None else key.principal

    def named(self, name: str) -> MachineKey | None:
        return next((key for key in self.keys if key.name == name and not key.revoked), None)

    def with_one(self, key: MachineKey) -> MachineKeys:
        """Raises BadFile."""
        if not _KEY_NAME.match(key.name):
            raise BadFile("a key's name must be 1 to 64 letters, digits, `_`, `.` and `-`")
        if self.named(key.name) is not None:
            raise BadFile("has a key of that name: revoke it first, or choose another name")
        return MachineKeys((*self.keys, key))

    def without(self, name: str, now: str) -> MachineKeys:
        """Raises BadFile."""
        if self.named(name) is None:
            raise BadFile("has no key of that name that counts")
        return MachineKeys(
            tuple(
                MachineKey(key.name, key.digest, key.grants, key.created, now)
                if key.name == name and not key.revoked
                else key
                for key in self.keys
            )
        )

    def encode(self) -> bytes:
        return json.dumps({"keys": [key.document() for key in self.keys]}, indent=1).encode() + b"\n"


def new_key(chance: Callable[[int], bytes]) -> str:
    """chance: so many bytes of it, for keeps secret (`secrets.token_bytes`)."""
    return KEY_PREFIX + base64.urlsafe_b64encode(chance(KEY_BYTES)).rstrip(b"=").decode()


def is_key(presented: str) -> bool:
    """Whether it has the form of a machine's key, and is no token."""
    return _KEY.match(presented) is not None


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def machine_keys_of(data: bytes) -> MachineKeys:
    """Raises BadFile."""
    keys = _object(data, {"keys"}).get("keys", [])
    if not isinstance(keys, list):
        raise BadFile("must have a list of keys")
    found = [_machine_key(each) for each in keys]
    counting = [key for key in found if not key.revoked]
    if len({key.name for key in counting}) < len(counting) or len({key.digest for key in found}) < len(found):
        raise BadFile("has a name or a key twice")
    return MachineKeys(tuple(found))


def _machine_key(document: object) -> MachineKey:
    if not isinstance(document, dict) or document.keys() - {"name", "sha256", "grants", "created", "revoked"}:
        raise BadFile("has a key with a member that is not known")
    texts = [document.get(name, "") for name in ("name", "sha256", "created", "revoked")]
    if not all(isinstance(text, str) for text in texts):
        raise BadFile("has a key with a member that is no text")
    name, digest, created, revoked = texts
    if not _KEY_NAME.match(name) or not _DIGEST.match(digest):
        raise BadFile("has a key without a name or without its sha256")
    return MachineKey(name, digest, _grants(document.get("grants")), created, revoked)


def access_of(data: bytes) -> Access:
    """`{"grants": {"alice": [...]}, "revoked": {"names": ["bob", "key:shop"], "tokens": ["..."]}}`, either part alone too. Raises
    BadFile."""
    document = _object(data, {"grants", "revoked"})
    granted, revoked = document.get("grants"), document.get("revoked", {})
    if not isinstance(revoked, dict) or revoked.keys() - {"names", "tokens"}:
        raise BadFile('"revoked" must have lists of "names" and "tokens"')
    if granted is not None and not isinstance(granted, dict):
        raise BadFile('"grants" must have the grants of each subject')
    try:
        found = None if granted is None else {check_name(name): _grants(each) for name, each in granted.items()}
    except BadGrants as bad:
        raise BadFile(f"has a subject that no token can have: {bad}") from None
    return Access(found, _texts(revoked.get("names", [])), _texts(revoked.get("tokens", [])))


def _texts(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise BadFile("has something in a list of names or tokens that is no text")
    return frozenset(value)


def _grants(document: object) -> tuple[Grant, ...]:
    try:
        return grants_of(document)
    except BadGrants as bad:
        raise BadFile(f"has grants that mean nothing: {bad}") from None


def _object(data: bytes, members: set[str]) -> dict[str, Any]:
    def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise BadFile("has a name twice in one object")
        return found

    try:
        document = json.loads(data, object_pairs_hook=once)
    except BadFile:
        raise
    except (ValueError, RecursionError):
        raise BadFile("is no JSON") from None
    if not isinstance(document, dict) or document.keys() - members:
        raise BadFile(f"must be one JSON object with {' and '.join(sorted(members))}")
    return document
