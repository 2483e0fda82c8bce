"""The algorithms of tokens that a setting may allow (RFC 7518, RFC 8037). No other is verified: `none` is no algorithm here."""

from __future__ import annotations

from typing import Final

ALGORITHMS: Final = ("EdDSA", "ES256", "RS256", "HS256")
