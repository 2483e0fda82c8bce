"""A token is believed only as a whole: whatever is forged, turned round, worn out or made for another is refused."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.identity.key_set import BadKeys, KeySet, key_set_of
from gateway.identity.tokens import KeyUnknown, TokenRefused, TokenTerms, verify
from tests.tokens import AUDIENCE, ISSUER, NOW_S, Signer, claims, encoded, jwks, some

ALL = frozenset({"EdDSA", "ES256", "RS256", "HS256"})
PUBLIC = ALL - {"HS256"}
TERMS = TokenTerms(ISSUER, AUDIENCE, PUBLIC, 10, 8192, "fanfold_grants")
ED, EC, RSA = Signer("EdDSA", "ed"), Signer("ES256", "ec"), Signer("RS256", "rsa")
KEYS = key_set_of(jwks(ED, EC, RSA), PUBLIC, secrets=True)
GRANT = some("alice", "read")


def who(token: str, now_s: float = NOW_S, keys: KeySet = KEYS, terms: TokenTerms = TERMS) -> Any:
    return verify(token, keys, terms, now_s)


@pytest.mark.parametrize("signer", [ED, EC, RSA], ids=lambda signer: signer.algorithm)
def test_a_token_of_each_algorithm_says_who_asks_and_what_they_may(signer: Signer) -> None:
    principal = who(signer.token(claims(grants=[GRANT], jti="t1")))
    assert (principal.name, principal.token, principal.expires_at_s) == ("alice", "t1", NOW_S + 300 + TERMS.leeway_s)
    assert [each.accounts for each in principal.grants] == ["alice"]


def test_an_audience_may_be_one_of_several() -> None:
    assert who(ED.token(claims(aud=["other", AUDIENCE]))).name == "alice"


def test_a_secret_of_32_bytes_is_taken_where_it_is_allowed_and_nothing_shorter() -> None:
    signer = Signer("HS256", "hs")
    keys = key_set_of(jwks(signer), ALL, secrets=True)
    assert who(signer.token(claims()), keys=keys, terms=_with(ALL)).name == "alice"
    with pytest.raises(TokenRefused):
        who(signer.token(claims()), keys=keys)
    short = json.dumps({"keys": [{"kty": "oct", "k": encoded(b"k" * 31)}]}).encode()
    with pytest.raises(BadKeys, match="32 bytes"):
        key_set_of(short, ALL, secrets=True)
    with pytest.raises(BadKeys, match="file"):
        key_set_of(jwks(signer), ALL, secrets=False)
    with pytest.raises(BadKeys, match="one set"):
        key_set_of(jwks(signer, ED), ALL, secrets=True)


def _with(algorithms: frozenset[str]) -> TokenTerms:
    return TokenTerms(ISSUER, AUDIENCE, algorithms, 10, 8192, "fanfold_grants")


@pytest.mark.parametrize(
    "more",
    [
        {"iss": None}, {"aud": None}, {"sub": None}, {"iat": None}, {"exp": None},
        {"iss": ISSUER + "/"}, {"iss": [ISSUER]}, {"aud": "other"}, {"aud": []}, {"aud": [[AUDIENCE]]}, {"aud": {AUDIENCE: 1}},
        {"sub": ""}, {"sub": 5}, {"sub": "a b"}, {"sub": "key:shop"}, {"sub": "a\r\nx: y"},
        {"exp": "soon"}, {"exp": True}, {"exp": -1}, {"exp": 1e300}, {"iat": NOW_S + 60}, {"nbf": NOW_S + 60}, {"nbf": "now"},
        {"fanfold_grants": {"alice": "read"}}, {"fanfold_grants": [GRANT, {"accounts": "*"}]}, {"jti": 5},
    ],
    ids=str,
)  # fmt: skip
def test_claims_that_are_missing_wrong_or_for_another_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused):
        who(ED.token({name: value for name, value in (claims() | more).items() if value is not None}))


@pytest.mark.parametrize(
    ("now_s", "counts"), [(NOW_S - 11, False), (NOW_S - 10, True), (NOW_S + 309, True), (NOW_S + 310, False)]
)
def test_a_token_counts_from_its_issue_to_its_end_and_a_leeway_beside(now_s: float, counts: bool) -> None:
    token = ED.token(claims())
    if counts:
        assert who(token, now_s).name == "alice"
    else:
        with pytest.raises(TokenRefused):
            who(token, now_s)


# What RFC 8725 and Wycheproof's cases for JWS warn of, made by hand.


def _unsigned(algorithm: Any) -> str:
    header = encoded(json.dumps({"alg": algorithm}).encode())
    return f"{header}.{encoded(json.dumps(claims()).encode())}."


def _hmac_with_the_public_key(key: bytes) -> str:
    header = encoded(json.dumps({"alg": "HS256", "kid": "rsa"}).encode())
    signed = f"{header}.{encoded(json.dumps(claims()).encode())}"
    return f"{signed}.{encoded(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


def _resigned(header: dict[str, Any], signer: Signer = ED) -> str:
    return signer.token(claims(), header)


def _spelled_otherwise(token: str) -> str:
    """The last character of a signature of 64 bytes has two bits that mean nothing."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + letters[letters.index(token[-1]) ^ 1]


def _by_raw_header(header: bytes) -> str:
    signed = f"{encoded(header)}.{encoded(json.dumps(claims()).encode())}"
    return f"{signed}.{encoded(ED.signature(signed.encode()))}"


FORGED: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "dots": lambda: "..",
    "one part": lambda: "abc",
    "five parts, an encrypted one": lambda: ED.token(claims()) + ".a.b",
    "alg none": lambda: _unsigned("none"),
    "alg None": lambda: _unsigned("None"),
    "alg NONE": lambda: _unsigned("NONE"),
    "alg null": lambda: _unsigned(None),
    "alg a list": lambda: _unsigned(["EdDSA"]),
    "no alg": lambda: _by_raw_header(b"{}"),
    "no signature": lambda: ED.token(claims()).rpartition(".")[0] + ".",
    "public key as a secret, PEM": lambda: _hmac_with_the_public_key(RSA.pem()),
    "public key as a secret, JWK": lambda: _hmac_with_the_public_key(json.dumps(RSA.jwk()).encode()),
    "alg of another type than its key": lambda: _resigned({"kid": "rsa"}),
    "RS512 by a key for RS256": lambda: _rs512(),
    "ES256 with DER": lambda: _es256_der(),
    "crit": lambda: _resigned({"crit": ["exp"]}),
    "crit, empty": lambda: _resigned({"crit": []}),
    "b64 false": lambda: _resigned({"b64": False}),
    "zip": lambda: _resigned({"zip": "DEF"}),
    "jwk beside": lambda: _resigned({"jwk": ED.jwk()}),
    "jku": lambda: _resigned({"jku": "https://evil.example/keys"}),
    "x5u": lambda: _resigned({"x5u": "https://evil.example/cert"}),
    "kid a list": lambda: _resigned({"kid": ["ed"]}),
    "kid a path": lambda: _resigned({"kid": "../../etc/passwd"}),
    "kid for SQL": lambda: _resigned({"kid": "ed' OR '1'='1"}),
    "typ another": lambda: _resigned({"typ": "secevent+jwt"}),
    "another issuer's key": lambda: Signer("EdDSA", "ed").token(claims()),
    "another spelling of the signature": lambda: _spelled_otherwise(ED.token(claims())),
    "padded": lambda: ED.token(claims()) + "=",
    "a blank in it": lambda: ED.token(claims()).replace(".", " .", 1),
    "a line break behind": lambda: ED.token(claims()) + "\n",
    "standard base64": lambda: ED.token(claims()).replace("-", "+").replace("_", "/") + "/",
    "header no object": lambda: _by_raw_header(b"[]"),
    "header twice alg": lambda: _by_raw_header(b'{"alg":"EdDSA","alg":"none","kid":"ed"}'),
    "header NaN": lambda: _by_raw_header(b'{"alg":"EdDSA","kid":"ed","typ":NaN}'),
    "header no UTF-8": lambda: _by_raw_header(b'{"alg":"EdDSA","kid":"\xff"}'),
    "header deep": lambda: _by_raw_header(b"[" * 4000),
    "huge": lambda: ED.token(claims(jti="x" * 9000)),
    "a letter that is no ASCII": lambda: "é" + ED.token(claims())[1:],
}


def _rs512() -> str:
    header = encoded(json.dumps({"alg": "RS512", "kid": "rsa"}).encode())
    signed = f"{header}.{encoded(json.dumps(claims()).encode())}"
    return f"{signed}.{encoded(RSA.signature(signed.encode(), 'RS512'))}"


def _es256_der() -> str:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    header = encoded(json.dumps({"alg": "ES256", "kid": "ec"}).encode())
    signed = f"{header}.{encoded(json.dumps(claims()).encode())}"
    return f"{signed}.{encoded(EC.private.sign(signed.encode(), ECDSA(SHA256())))}"


@pytest.mark.parametrize("name", FORGED)
def test_what_no_issuer_would_make_is_refused(name: str) -> None:
    with pytest.raises(TokenRefused) as refused:
        who(FORGED[name]())
    assert "eyJ" not in str(refused.value), "a refusal never tells what was sent"


@pytest.mark.parametrize("r_and_s", [b"\0" * 64, b"\xff" * 64, b"\0" * 63 + b"\1", b"", b"\0"])
def test_signatures_of_nothing_are_refused(r_and_s: bytes) -> None:
    for signer in (EC, ED, RSA):
        with pytest.raises(TokenRefused):
            who(signer.token(claims()).rpartition(".")[0] + "." + encoded(r_and_s))


GOOD = ED.token(claims(grants=[GRANT]))


@given(
    st.integers(0, len(GOOD) - 1),
    st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n\0"),
)
def test_a_token_of_which_one_character_is_another_is_refused(at: int, other: str) -> None:
    if other != GOOD[at]:
        with pytest.raises(TokenRefused):
            who(GOOD[:at] + other + GOOD[at + 1 :])


@given(
    st.dictionaries(
        st.sampled_from(["sub", "aud", "iss", "exp", "iat", "nbf", "fanfold_grants", "admin"]),
        st.none() | st.text(max_size=9) | st.integers() | st.floats() | st.lists(st.text(max_size=3), max_size=2),
    )
)
def test_a_payload_that_was_changed_is_refused_whatever_it_says(changed: dict[str, Any]) -> None:
    head, payload, signature = GOOD.split(".")
    other = encoded(json.dumps(claims() | changed).encode())
    if other != payload:
        with pytest.raises(TokenRefused):
            who(f"{head}.{other}.{signature}")


@given(st.text(max_size=200))
def test_any_text_is_refused_and_nothing_else_is_raised(text: str) -> None:
    with pytest.raises(TokenRefused):
        who(text)


def test_a_key_that_is_not_known_is_told_apart_so_that_the_issuer_can_be_asked() -> None:
    with pytest.raises(KeyUnknown):
        who(Signer("EdDSA", "new").token(claims()))


def test_without_a_kid_a_token_is_taken_where_that_leaves_no_choice() -> None:
    nameless = Signer("EdDSA")
    assert who(nameless.token(claims()), keys=key_set_of(nameless.pem(), PUBLIC, secrets=True)).name == "alice"
    two = key_set_of(nameless.pem() + Signer("EdDSA").pem(), PUBLIC, secrets=True)
    with pytest.raises(KeyUnknown):
        who(nameless.token(claims()), keys=two)


def test_grants_of_a_file_count_instead_of_those_in_the_token() -> None:
    token = ED.token(claims(grants=[some("*", "read", "debit", "system")]))
    assert verify(token, KEYS, TERMS, NOW_S, {}).grants == ()


# Keys.


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"", "neither"),
        (b"{", "neither"),
        (b"5", "neither"),
        (b'{"keys": 5}', "neither"),
        (b'{"keys": []}', "no key"),
        (json.dumps({"keys": [RSA.jwk() | {"d": "AQAB"}]}).encode(), "private"),
        (json.dumps({"keys": [ED.jwk(), ED.jwk()]}).encode(), "same kid"),
        (json.dumps({"keys": [ED.jwk() | {"x": "AA"}]}).encode(), "cannot be read"),
        (json.dumps({"keys": [ED.jwk() | {"kid": 5}]}).encode(), "no text"),
        (json.dumps({"keys": [ED.jwk() | {"kid": str(n)} for n in range(65)]}).encode(), "more than 64"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be read"),
        (ED.pem() + b"more", "nothing else"),
    ],
)
def test_keys_that_are_none_or_more_than_public_are_refused(document: bytes, why: str) -> None:
    with pytest.raises(BadKeys, match=why):
        key_set_of(document, PUBLIC, secrets=True)


def test_a_weak_rsa_key_is_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    weak = Signer("RS256")
    weak.private = rsa.generate_private_key(65537, 1024)
    for data in (weak.pem(), jwks(weak)):
        with pytest.raises(BadKeys, match="2048"):
            key_set_of(data, PUBLIC, secrets=True)


def test_keys_of_other_uses_and_types_are_passed_over() -> None:
    beside = [
        ED.jwk() | {"kid": "enc", "use": "enc"},
        ED.jwk() | {"kid": "sign", "key_ops": ["sign"]},
        ED.jwk() | {"kid": "none", "key_ops": None},
        ED.jwk() | {"kid": "number", "key_ops": 1},
        RSA.jwk() | {"kid": "pss", "alg": "PS256"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "new"},
    ]
    found = key_set_of(json.dumps({"keys": [*beside, ED.jwk()]}).encode(), PUBLIC, secrets=True)
    assert [key.id for key in found.keys] == ["ed"]
