"""Tokens and keys for tests: what an issuer would make, and what it never would."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

ISSUER: Final = "https://issuer.example"
AUDIENCE: Final = "wallet"
NOW_S: Final = 1_800_000_000
_ALGORITHMS: Final = get_default_algorithms()


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _new_key(algorithm: str) -> Any:
    match algorithm:
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "RS256":
            return rsa.generate_private_key(65537, 2048)
        case _:
            return b"k" * 32


class Signer:
    """One key of an issuer. algorithm: that of its type."""

    def __init__(self, algorithm: str, kid: str | None = None) -> None:
        self.algorithm, self.kid = algorithm, kid
        self.private: Any = _new_key(algorithm)

    @property
    def public(self) -> Any:
        return self.private if self.algorithm == "HS256" else self.private.public_key()

    def pem(self) -> bytes:
        found: bytes = self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return found

    def jwk(self) -> dict[str, Any]:
        jwk: dict[str, Any] = _ALGORITHMS[self.algorithm].to_jwk(self.public, as_dict=True)
        jwk.pop("alg", None)
        return jwk | ({} if self.kid is None else {"kid": self.kid})

    def signature(self, signed: bytes, algorithm: str | None = None) -> bytes:
        found: bytes = _ALGORITHMS[algorithm or self.algorithm].sign(signed, self.private)
        return found

    def token(self, claims: dict[str, Any], header: dict[str, Any] | None = None) -> str:
        whole = {"alg": self.algorithm, "typ": "JWT"} | ({} if self.kid is None else {"kid": self.kid}) | (header or {})
        signed = f"{encoded(json.dumps(whole).encode())}.{encoded(json.dumps(claims).encode())}"
        return f"{signed}.{encoded(self.signature(signed.encode()))}"


def claims(subject: str = "alice", grants: Any = (), now_s: float = NOW_S, **more: Any) -> dict[str, Any]:
    """What a token of this subject says; a member that is None is left out."""
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "iat": int(now_s),
        "exp": int(now_s) + 300,
        "fanfold_grants": list(grants),
    } | more
    return {name: value for name, value in said.items() if value is not None}


def jwks(*signers: Signer) -> bytes:
    return json.dumps({"keys": [signer.jwk() for signer in signers]}).encode()


def some(accounts: str, *rights: str) -> dict[str, Any]:
    return {"accounts": accounts, "rights": list(rights)}
