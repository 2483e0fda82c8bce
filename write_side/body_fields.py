"""Fields that several bodies share, each with its rule. Every function raises `Malformed` and names the field."""

from __future__ import annotations

import datetime
import json
import re
import uuid
from collections.abc import Mapping
from typing import Final

from write_side.contract.atoms import Malformed, parse_transfer_id
from write_side.ledger.commands import Note, Protocol

Members = Mapping[str, object]

PRINCIPAL: Final = "anonymous"
"""Who asks, until callers have names: all share one space of Idempotency-Keys."""

KEY_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:fanfold:idempotency-key")
"""Never changes: the same key must make the same id for ever."""

METADATA_MEMBERS_MAX: Final = 16
METADATA_NAME_MAX: Final = 64
METADATA_TEXT_MAX: Final = 256
"""Characters. Metadata is kept in the log with its outcome: room for keys into other systems, not for documents."""

NOTE: Final = frozenset({"reference", "metadata"})

_KEY: Final = re.compile(r"[ -~]{1,255}\Z", re.ASCII)
_UUID_KEY: Final = re.compile(
    r"(?:urn:uuid:(?!\{)|(\{)|)([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?(1)\})\Z",
    re.ASCII | re.IGNORECASE,
)
_REFERENCE: Final = re.compile(r"[ -~]{1,128}\Z", re.ASCII)
_MOMENT: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?Z\Z", re.ASCII)
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_PROTOCOLS: Final = {"saga": Protocol.SAGA, "tcc": Protocol.TCC}


def check_names(members: Members, names: frozenset[str], detail: str = "unknown") -> None:
    if not members.keys() <= names:
        # The name of the field is the client's own text, so only the names that would do are said.
        raise Malformed(
            "field_unknown", "body", f"has a field that is {detail}; known here: {', '.join(sorted(names))}"
        )


def given(members: Members, name: str, field: str | None = None) -> object:
    try:
        return members[name]
    except KeyError:
        raise Malformed("field_missing", field or name, "is needed") from None


def command_id(members: Members, key: str | None) -> bytes:
    """The command's own id: `id`, or what the Idempotency-Key header stands for."""
    if "id" not in members:
        if key is None:
            raise Malformed("field_missing", "id", "is needed, in the body or as an Idempotency-Key header")
        return id_of_key(key)
    id = parse_transfer_id(members["id"])
    # A client may repeat the id itself as the key, for proxies that look at the header.
    if key is not None and id_of_key(key) != id:
        raise Malformed("ids_differ", "id", "must be the same as the Idempotency-Key when both are given")
    return id


def id_of_key(key: str) -> bytes:
    """The transfer id that an Idempotency-Key stands for: the UUID that it is, in whichever of the usual spellings, else UUIDv5
    of principal and key. Blanks around it are no part of it (RFC 9110, 5.5)."""
    key = key.strip(" \t")
    if not _KEY.match(key):
        raise Malformed("idempotency_key_malformed", "Idempotency-Key", "must be 1 to 255 printable ASCII characters")
    if found := _UUID_KEY.match(key):
        try:
            return parse_transfer_id(found[2])
        except Malformed as refusal:
            raise Malformed("idempotency_key_malformed", "Idempotency-Key", refusal.detail) from None
    return uuid.uuid5(KEY_NAMESPACE, f"{PRINCIPAL}\n{key}").bytes


def protocol(members: Members) -> Protocol:
    if "protocol" not in members:
        return Protocol.SAGA
    word = members["protocol"]
    if not isinstance(word, str) or word not in _PROTOCOLS:
        raise Malformed("protocol_malformed", "protocol", 'must be "saga" or "tcc"')
    return _PROTOCOLS[word]


def note(members: Members) -> Note:
    """Reference and metadata; an empty object says as much as none."""
    return Note(
        _reference(members["reference"]) if "reference" in members else "",
        _metadata(members["metadata"]) if "metadata" in members else "",
    )


def deadline_us(members: Members) -> int:
    """Microseconds UTC of the field `deadline`, 0 when there is none."""
    if "deadline" not in members:
        return 0
    text = members["deadline"]
    found = _MOMENT.match(text) if isinstance(text, str) else None
    if found is not None:
        *fields, fraction = found.groups(default="")
        try:
            moment = datetime.datetime(*map(int, fields), int(fraction.ljust(6, "0")), tzinfo=datetime.UTC)  # type: ignore[arg-type,misc]
        except ValueError:  # such as the 30th of February
            pass
        else:
            at_us = (moment - _EPOCH) // datetime.timedelta(microseconds=1)
            if at_us > 0:
                return at_us
    raise Malformed(
        "deadline_malformed", "deadline", "must be a moment in UTC such as 2026-01-01T00:00:00Z, after 1970"
    )


def choice(members: Members, name: str) -> bool:
    """A field that is true or false, false when it is left out."""
    value = members.get(name, False)
    if not isinstance(value, bool):
        raise Malformed("body_malformed", name, "must be true or false")
    return value


def _reference(text: object) -> str:
    if isinstance(text, str) and _REFERENCE.match(text):
        return text
    raise Malformed("reference_malformed", "reference", "must be 1 to 128 printable ASCII characters")


def _metadata(value: object) -> str:
    """Canonical: sorted names and no spaces, so that the same metadata is the same text, however it was written."""
    if not isinstance(value, dict) or len(value) > METADATA_MEMBERS_MAX:
        raise Malformed("metadata_malformed", "metadata", f"must be an object of at most {METADATA_MEMBERS_MAX} texts")
    for name, text in value.items():
        if not _is_text(name, METADATA_NAME_MAX) or not name:
            raise Malformed("metadata_malformed", "metadata", f"must have names of 1 to {METADATA_NAME_MAX} characters")
        if not _is_text(text, METADATA_TEXT_MAX):
            raise Malformed(
                "metadata_malformed", "metadata", f"must have texts of up to {METADATA_TEXT_MAX} characters"
            )
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")) if value else ""


def _is_text(value: object, characters_max: int) -> bool:
    return isinstance(value, str) and len(value) <= characters_max and not _LONE_SURROGATE.search(value)
