"""The keys that tokens are verified with. Each is of one algorithm, that of its type: what a token says of itself chooses
nothing.

Sources: RFC 7517 (JWK), RFC 7518 section 3 (what each algorithm needs), RFC 8037 (Ed25519), RFC 8725 section 3.1 (why an
algorithm belongs to its key: a public RSA key must never be taken for the secret of an HMAC). Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from jwt import PyJWK
from jwt.exceptions import PyJWTError

SECRET_BYTES_MIN: Final = 32
"""Of HS256: a shorter one can be found from a single token (RFC 7518, 3.2)."""

RSA_BITS_MIN: Final = 2048
KEYS_MAX: Final = 64
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})


class BadKeys(ValueError):
    """What should be keys is not, or is too weak. The message never has anything of a key."""


class VerificationKey(NamedTuple):
    """id: its `kid`, None where it has none. key: what `cryptography` verifies with; of HS256 the secret's bytes."""

    id: str | None
    algorithm: str
    key: Any

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the key: which one it is, whatever it is called."""
        key = self.key
        data = key if isinstance(key, bytes) else key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(data).hexdigest()


class KeySet:
    """Those of one issuer."""

    def __init__(self, keys: Iterable[VerificationKey] = ()) -> None:
        self.keys: Sequence[VerificationKey] = tuple(keys)
        self.fingerprints = frozenset(each.fingerprint for each in self.keys)

    def find(self, id: str | None, algorithm: str) -> VerificationKey | None:
        """The one key that a token of this header may be of. A token without a `kid` has to leave no choice."""
        fits = [each for each in self.keys if each.algorithm == algorithm and (id is None or each.id == id)]
        return fits[0] if len(fits) == 1 else None

    @property
    def has_secrets(self) -> bool:
        return any(each.algorithm == "HS256" for each in self.keys)


def key_set_of(data: bytes, allowed: Collection[str], *, secrets: bool) -> KeySet:
    """A JWKS document, or public keys in PEM one behind the other. allowed: algorithms; keys of others are passed over.

    secrets: whether it may hold secrets of HS256: never what came over the network, and never beside public keys. Raises BadKeys.
    """
    found = KeySet(_of_pem(data) if data.lstrip().startswith(b"-----BEGIN") else _of_jwks(data))
    if found.has_secrets and not secrets:
        raise BadKeys("they hold a secret (kty oct), which belongs into a file that nobody else can read")
    if found.has_secrets and any(each.algorithm != "HS256" for each in found.keys):
        raise BadKeys(
            "secrets and public keys must not stand in one set: who knows one kind is not who makes the other"
        )
    known = [each for each in found.keys if each.algorithm in allowed]
    names = [each.id for each in known if each.id is not None]
    if len(set(names)) < len(names):
        raise BadKeys("two of them have the same kid")
    if not known:
        raise BadKeys(f"there is no key in it of {', '.join(sorted(allowed))}")
    return KeySet(known)


def _of_jwks(data: bytes) -> list[VerificationKey]:
    try:
        document = json.loads(data)
        if not isinstance(document, dict):
            raise TypeError
        keys = document.get("keys", [document])
        if not isinstance(keys, list) or not all(isinstance(each, dict) for each in keys):
            raise TypeError
    except (ValueError, TypeError, RecursionError):
        raise BadKeys("it is neither a JWKS document nor public keys in PEM") from None
    if len(keys) > KEYS_MAX:
        raise BadKeys(f"there are more than {KEYS_MAX}")
    return [key for each in keys if (key := _of_jwk(each)) is not None]


def _of_jwk(jwk: dict[str, Any]) -> VerificationKey | None:
    """None for a key of another use or type, of which a set may have some (RFC 7517, section 5)."""
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    algorithm = _algorithm_of(jwk)
    if algorithm is None or jwk.get("alg", algorithm) != algorithm:
        return None
    id = jwk.get("kid")
    if id is not None and not isinstance(id, str):
        raise BadKeys("a kid is no text")
    if _PRIVATE & jwk.keys():
        raise BadKeys("one of them is a private key: only whoever makes tokens has that")
    try:
        key: Any = PyJWK(jwk, algorithm).key
    except (PyJWTError, ValueError, TypeError, KeyError):
        raise BadKeys("one of them cannot be read") from None
    _check_strength(key)
    return VerificationKey(id, algorithm, key)


def _algorithm_of(jwk: dict[str, Any]) -> str | None:
    match jwk.get("kty"), jwk.get("crv"):
        case "RSA", _:
            return "RS256"
        case "EC", "P-256":
            return "ES256"
        case "OKP", "Ed25519":
            return "EdDSA"
        case "oct", _:
            return "HS256"
        case _:
            return None


def _of_pem(data: bytes) -> list[VerificationKey]:
    end = b"-----END PUBLIC KEY-----"
    parts = [part.strip() for part in data.split(end)]
    if parts[-1]:
        raise BadKeys("the PEM must hold public keys and nothing else")
    found = []
    for part in parts[:-1]:
        try:
            key = load_pem_public_key(part + b"\n" + end + b"\n")
        except (ValueError, TypeError):
            raise BadKeys("a public key in the PEM cannot be read") from None
        _check_strength(key)
        found.append(VerificationKey(None, algorithm_of_key(key), key))
    return found


def algorithm_of_key(key: object) -> str:
    """The one algorithm of a public key. Raises BadKeys."""
    match key:
        case RSAPublicKey():
            return "RS256"
        case EllipticCurvePublicKey(curve=SECP256R1()):
            return "ES256"
        case Ed25519PublicKey():
            return "EdDSA"
        case _:
            raise BadKeys("a key must be RSA, P-256 or Ed25519")


def _check_strength(key: object) -> None:
    if isinstance(key, RSAPublicKey) and key.key_size < RSA_BITS_MIN:
        raise BadKeys(f"an RSA key must have {RSA_BITS_MIN} bits or more")
    if isinstance(key, bytes) and len(key) < SECRET_BYTES_MIN:
        raise BadKeys(f"a secret of HS256 must have {SECRET_BYTES_MIN} bytes or more")
