"""Tokens made with a key of one's own, for tests and small set-ups that have no issuer."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.identity.grants import KEY_NAMES, BadGrants, check_name, documents_of, grant_of_text
from gateway.identity.key_set import BadKeys, algorithm_of_key, key_set_of


def make_token(
    key: Path, subject: str, grants: Sequence[str], minutes: int, issuer: str, audience: str, kid: str | None
) -> str:
    """key: a private key in PEM, or a JWK of a secret (`kty` `oct`). Raises ValueError, OSError."""
    if check_name(subject).startswith(KEY_NAMES):
        raise BadGrants(f"a subject must not begin with {KEY_NAMES}: so the names of keys do")
    if not issuer or not audience:
        raise ValueError("an issuer and an audience are needed, those that the gateway is told")
    now_s = int(time.time())
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "iat": now_s,
        "exp": now_s + 60 * minutes,
        "jti": secrets.token_urlsafe(12),
        "fanfold_grants": documents_of(map(grant_of_text, grants)),
    }
    signing, algorithm = _signing_key(key.read_bytes())
    return jwt.encode(claims, signing, algorithm, headers={} if kid is None else {"kid": kid})


def _signing_key(data: bytes) -> tuple[Any, str]:
    if data.lstrip().startswith(b"-----BEGIN"):
        try:
            key: Any = load_pem_private_key(data, None)
        except (ValueError, TypeError):
            raise BadKeys("the key is no private key in PEM without a password") from None
        return key, algorithm_of_key(key.public_key())
    try:
        secret = json.loads(data)["kty"] == "oct"
    except (ValueError, KeyError, TypeError):
        secret = False
    if not secret:
        raise BadKeys("the key is neither a private key in PEM nor a secret as a JWK (kty oct)")
    [found] = key_set_of(data, {"HS256"}, secrets=True).keys
    return found.key, found.algorithm
