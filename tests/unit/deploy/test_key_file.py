"""Keys of machines: shown once, kept as hashes, revocable; and tokens made with a key of one's own."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deploy.exposed import refuse_if_exposed
from deploy.key_file import add_key, keys_in, revoke_key
from deploy.token_maker import make_token
from gateway.identity.access import BadFile, access_of, is_key, machine_keys_of
from gateway.identity.grants import BadGrants
from gateway.identity.key_set import BadKeys, key_set_of
from gateway.identity.tokens import TokenTerms, verify
from gateway.settings import GatewaySettings
from tests.tokens import Signer, encoded

ALGORITHMS = frozenset({"EdDSA", "ES256", "RS256", "HS256"})


def test_a_key_is_in_the_file_as_its_hash_only_and_the_file_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = add_key(path, "shop", ["shop.*=read,debit", "*=credit"])
    assert is_key(key)
    assert key not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = keys_in(path).of(key)
    assert found is not None
    assert (found.name, [grant.accounts for grant in found.grants]) == ("key:shop", ["shop.*", "*"])
    assert keys_in(path).of(key[:-1] + ("A" if key[-1] != "A" else "B")) is None


def test_a_revoked_key_lets_nobody_in_and_its_name_is_free_again(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = add_key(path, "shop", ["a=read"])
    with pytest.raises(BadFile, match="has a key of that name"):
        add_key(path, "shop", ["a=read"])
    revoke_key(path, "shop")
    assert keys_in(path).of(key) is None
    with pytest.raises(BadFile, match="Nothing was changed"):
        revoke_key(path, "shop")
    other = add_key(path, "shop", ["a=read"])
    assert other != key
    assert [bool(each.revoked) for each in keys_in(path).keys] == [True, False]


def test_keys_that_are_made_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda n: add_key(path, f"k{n}", []), range(16)))
    assert all(keys_in(path).of(key) for key in keys)


@pytest.mark.parametrize("name", ["", "a b", "../x", "é", "x" * 65])
def test_a_key_needs_a_name_that_can_be_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile):
        add_key(tmp_path / "keys.json", name, [])
    with pytest.raises(BadGrants):
        add_key(tmp_path / "keys.json", "shop", ["alice"])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"keys": {}}',
        b'{"keys": [5]}',
        b'{"keys": [], "more": 1}',
        b'{"keys": [], "keys": []}',
        b'{"keys": [{"name": "a", "grants": []}]}',
        b'{"keys": [{"name": "a", "sha256": "%s", "grants": [{}]}]}' % (b"0" * 64),
        b'{"keys": [{"name": "a", "sha256": "%s", "grants": []}, {"name": "a", "sha256": "%s", "grants": []}]}'
        % (b"0" * 64, b"1" * 64),
    ],
)
def test_a_file_of_keys_that_is_not_understood_is_refused_whole(data: bytes) -> None:
    with pytest.raises(BadFile):
        machine_keys_of(data)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b'{"grants": []}',
        b'{"grants": {"alice": "read"}}',
        b'{"grants": {"a b": []}}',
        b'{"grants": {"a": [], "a": []}}',
        b'{"revoked": ["alice"]}',
        b'{"revoked": {"names": "alice"}}',
        b'{"revoked": {"subjects": []}}',
        b'{"granted": {}}',
    ],
)
def test_a_file_of_grants_that_is_not_understood_is_refused_whole(data: bytes) -> None:
    with pytest.raises(BadFile):
        access_of(data)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256", "HS256"])
def test_a_token_of_ones_own_key_is_one_that_a_gateway_takes(algorithm: str, tmp_path: Path) -> None:
    signer, path = Signer(algorithm, "k1"), tmp_path / "private"
    if algorithm == "HS256":
        path.write_text(json.dumps(signer.jwk()))
        public = path.read_bytes()
    else:
        path.write_bytes(signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = signer.pem()
    token = make_token(path, "alice", ["alice=read"], 5, "me", "wallet", None)
    terms = TokenTerms("me", "wallet", ALGORITHMS, 10, 8192, "fanfold_grants")
    principal = verify(token, key_set_of(public, ALGORITHMS, secrets=True), terms, time.time())
    assert (principal.name, principal.grants[0].accounts) == ("alice", "alice")
    assert principal.token, "so that this one can be revoked alone"


def test_a_token_is_not_made_with_what_is_no_key_or_for_nobody(tmp_path: Path) -> None:
    path = tmp_path / "key"
    for data in (b"", b"{}", Signer("EdDSA").pem(), json.dumps({"kty": "oct", "k": encoded(b"k")}).encode()):
        path.write_bytes(data)
        with pytest.raises(BadKeys):
            make_token(path, "alice", [], 5, "me", "wallet", None)
    for subject in ("", "key:shop", "a b"):
        with pytest.raises(BadGrants):
            make_token(path, subject, [], 5, "me", "wallet", None)
    with pytest.raises(ValueError, match="issuer"):
        make_token(path, "alice", [], 5, "", "wallet", None)


def test_a_door_that_asks_nobody_opens_on_this_machine_only() -> None:
    for address, exposed in (("127.0.0.1", False), ("127.0.0.5", False), ("0.0.0.0", True)):
        with socket.socket() as bound:
            bound.bind((address, 0))
            if exposed:
                with pytest.raises(ValueError, match="FANFOLD_AUTH is off"):
                    refuse_if_exposed(bound, GatewaySettings())
            else:
                refuse_if_exposed(bound, GatewaySettings())
            refuse_if_exposed(bound, GatewaySettings(auth="tokens", api_keys="keys.json"))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "nobody could ask"),
        ({"auth_keys": "file:x"}, "FANFOLD_AUTH_ISSUER"),
        ({"auth_keys": "file:x", "auth_issuer": "me"}, "FANFOLD_AUTH_AUDIENCE"),
        ({"auth_keys": "http://issuer.example/keys", "auth_issuer": "me", "auth_audience": "w"}, "https"),
        ({"api_keys": "x", "auth_algorithms": "none"}, "FANFOLD_AUTH_ALGORITHMS"),
        ({"api_keys": "x", "auth_algorithms": ""}, "FANFOLD_AUTH_ALGORITHMS"),
    ],
)
def test_settings_that_let_in_nobody_or_anybody_are_refused(settings: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        GatewaySettings(auth="tokens", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"FANFOLD_HOST": "0.0.0.0"}, "FANFOLD_AUTH is off"),
        ({"FANFOLD_AUTH": "tokens"}, "nobody could ask"),
        ({"FANFOLD_AUTH": "tokens", "FANFOLD_API_KEYS": "/nonexistent/keys"}, "/nonexistent/keys"),
    ],
)
def test_a_service_that_would_let_in_anybody_or_does_not_know_whom_does_not_start(
    variables: dict[str, str], why: str, tmp_path: Path
) -> None:
    env = dict(os.environ) | {"FANFOLD_DATA": str(tmp_path), "FANFOLD_PORT": "0"} | variables
    command = [sys.executable, "-m", "fanfold.cli.main", "up"]
    ended = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)
    assert ended.returncode == 1
    assert why in ended.stderr
    assert "Traceback" not in ended.stderr
