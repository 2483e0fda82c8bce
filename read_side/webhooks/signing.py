"""Signatures as Standard Webhooks has them: HMAC-SHA256 over id, timestamp and body, so that a receiver knows who sent it, that
nothing was changed, and when. Several secrets sign while one takes the place of another."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Final

from fanfold.api.webhooks import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
"""The specification asks for 24 to 64."""


def new_secret(random_bytes: Callable[[int], bytes]) -> str:
    """As a receiver is given it."""
    return PREFIX + base64.b64encode(random_bytes(SECRET_BYTES)).decode()


def signature(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """Of one secret, `v1,...`."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    made = hmac.digest(key, f"{message_id}.{timestamp_s}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(made).decode()}"


def headers(secrets: Sequence[str], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """Of a delivery. secrets: those that are valid now, the newest first."""
    return {
        "content-type": "application/json",
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: str(timestamp_s),
        SIGNATURE_HEADER: " ".join(signature(secret, message_id, timestamp_s, body) for secret in secrets),
    }
