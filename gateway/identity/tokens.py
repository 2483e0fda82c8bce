"""A bearer token: a signed statement of who asks (RFC 7519), checked in full before anything of it is believed. Pure: keys
and the time are arguments.

The order: size, form, header, key, signature, and only then the claims. What is checked follows RFC 8725 (JWT best practices):
algorithms are pinned and each belongs to its key (3.1), issuer, audience and subject are required (3.8, 3.9), `none` is no
algorithm."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from jwt.algorithms import get_default_algorithms

from gateway.identity.grants import KEY_NAMES, BadGrants, Grant, Principal, check_name, grants_of
from gateway.identity.key_set import KeySet, VerificationKey

_VERIFIERS: Final = get_default_algorithms()
_HEADER_MEMBERS: Final = frozenset({"alg", "kid", "typ", "cty", "x5t", "x5t#S256"})
"""What a header may say. Of all that could bring a key along (`jwk`, `jku`, `x5u`, `x5c`), change the form (`b64`, `zip`) or
must be understood (`crit`) nothing is taken; what is unknown could be such a thing."""
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})


class TokenRefused(Exception):
    """Why a token is not accepted, as what follows "it" in a sentence. Never anything that stands in it."""


class KeyUnknown(TokenRefused):
    """It is signed with a key that is not known (yet): the issuer may have a new one."""


@dataclass(frozen=True)
class TokenTerms:
    """What a token must say. issuer, audience: exactly these. leeway_s: how far the issuer's clock may be off.

    grants_claim: the claim that has the grants.
    """

    issuer: str
    audience: str
    algorithms: frozenset[str]
    leeway_s: int
    bytes_max: int
    grants_claim: str


def verify(
    token: str, keys: KeySet, terms: TokenTerms, now_s: float, granted: Mapping[str, tuple[Grant, ...]] | None = None
) -> Principal:
    """Who the token says that asks. granted: grants by subject, which count instead of the token's own; None: its own count.

    Raises TokenRefused, KeyUnknown.
    """
    if len(token) > terms.bytes_max:
        raise TokenRefused(f"is longer than {terms.bytes_max} bytes")
    payload, key = signed_payload(token, keys, terms.algorithms)
    return replace(_principal(_members(payload), terms, now_s, granted), signed_with=key.fingerprint)


def signed_payload(token: str, keys: KeySet, algorithms: Collection[str]) -> tuple[bytes, VerificationKey]:
    """What is signed, whatever it is, and with which of the keys (RFC 7515, 5.2). Raises TokenRefused, KeyUnknown."""
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenRefused("is no signed token in the compact form of a JWT")
    header, payload, signature = (_bytes_of(part) for part in parts)
    algorithm, key_id = _header(_members(header), algorithms)
    key = keys.find(key_id, algorithm)
    if key is None:
        raise KeyUnknown("is signed with a key that is not known here")
    signed = f"{parts[0]}.{parts[1]}".encode("ascii")
    if not _VERIFIERS[key.algorithm].verify(signed, key.key, signature):
        raise TokenRefused("has a signature that is not right")
    return payload, key


def _bytes_of(part: str) -> bytes:
    """Of base64url without padding, in the one way in which bytes are written in it (RFC 4648, 3.5): a token has one spelling."""
    try:
        found = base64.b64decode(part.encode("ascii") + b"=" * (-len(part) % 4), b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise TokenRefused("is not written as a token is") from None
    if base64.urlsafe_b64encode(found).rstrip(b"=").decode() != part:
        raise TokenRefused("is not written as a token is")
    return found


def _members(data: bytes) -> dict[str, Any]:
    try:
        members = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise TokenRefused("is not made of JSON objects without names that come twice") from None
    if not isinstance(members, dict):
        raise TokenRefused("is not made of JSON objects")
    return members


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _no_constant(_: str) -> None:
    raise ValueError


def _header(header: Mapping[str, Any], algorithms: Collection[str]) -> tuple[str, str | None]:
    """The algorithm and the `kid`."""
    if header.keys() - _HEADER_MEMBERS:
        raise TokenRefused("asks in its header for what is not done here")
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise TokenRefused(f"is not signed by one of {', '.join(sorted(algorithms))}")
    if key_id is not None and not isinstance(key_id, str):
        raise TokenRefused("has a kid that is no text")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenRefused("is of another type than JWT")
    return algorithm, key_id


def _principal(
    claims: Mapping[str, Any], terms: TokenTerms, now_s: float, granted: Mapping[str, tuple[Grant, ...]] | None
) -> Principal:
    expires_at_s = _check_times(claims, terms.leeway_s, now_s)
    if claims.get("iss") != terms.issuer:
        raise TokenRefused("is of another issuer")
    audience = claims.get("aud")
    if terms.audience not in (audience if isinstance(audience, list) else [audience]):
        raise TokenRefused("is for another service (aud)")
    try:
        name = check_name(claims.get("sub"))
        if name.startswith(KEY_NAMES):
            raise BadGrants(f"the subject begins with {KEY_NAMES}, as keys do")
        grants = granted.get(name, ()) if granted is not None else grants_of(claims.get(terms.grants_claim, []))
    except BadGrants as bad:
        raise TokenRefused(f"says nothing that is understood: {bad}") from None
    token_id = claims.get("jti", "")
    if not isinstance(token_id, str):
        raise TokenRefused("has a jti that is no text")
    return Principal(name, grants, expires_at_s, token_id)


def _check_times(claims: Mapping[str, Any], leeway_s: int, now_s: float) -> int:
    """When it ends, Unix time, the leeway included."""
    expires, issued, begins = _time(claims, "exp"), _time(claims, "iat"), claims.get("nbf")
    if now_s >= expires + leeway_s:
        raise TokenRefused("has expired")
    if issued > now_s + leeway_s:
        raise TokenRefused("is from the future (iat)")
    if begins is not None and _time(claims, "nbf") > now_s + leeway_s:
        raise TokenRefused("does not count yet (nbf)")
    return int(expires) + leeway_s


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefused(f"has no {name} that is a time")
    if not math.isfinite(value) or not 0 <= value < 1e12:
        raise TokenRefused(f"has no {name} that is a time")
    return float(value)
