"""The forged tokens of Project Wycheproof (`tests/data/README.md`): none is accepted, and what is signed as it should be is."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.identity.algorithms import ALGORITHMS
from gateway.identity.key_set import BadKeys, KeySet, key_set_of
from gateway.identity.tokens import TokenRefused, TokenTerms, signed_payload, verify
from tests.tokens import AUDIENCE, ISSUER, NOW_S

VECTORS: Final = Path(__file__).parents[3] / "data" / "wycheproof-jws.json.gz"
GROUPS: Final[list[dict[str, Any]]] = json.loads(gzip.decompress(VECTORS.read_bytes()))["testGroups"]
CASES: Final = [(group, case) for group in GROUPS for case in group["tests"]]
SPELT_OTHERWISE: Final = {372, 373}
"""Called valid there although a `?` stands in the base64url, of which other implementations pass over what they do not know; we
take one spelling of each token."""
PADDING_LOST: Final = {367, 370}
"""Called invalid there for a padding that the file has not: byte for byte they are 357, which is valid."""
TERMS: Final = TokenTerms(ISSUER, AUDIENCE, frozenset(ALGORITHMS), 10, 8 * 1024, "fanfold_grants")


def _keys(group: dict[str, Any]) -> KeySet:
    """The key of a group as an issuer tells it: none where it is of another algorithm, use or strength."""
    key = group.get("public") or group["private"]
    try:
        return key_set_of(json.dumps(key).encode(), ALGORITHMS, secrets=True)
    except BadKeys:
        return KeySet()


def _is_accepted(group: dict[str, Any], token: str) -> bool:
    try:
        signed_payload(token, _keys(group), ALGORITHMS)
    except TokenRefused:
        return False
    return True


def test_all_vectors_are_there_and_each_kind_of_key_that_is_permitted_is_tried() -> None:
    assert len(CASES) == 401
    assert {key.algorithm for group in GROUPS for key in _keys(group).keys} == {"ES256", "RS256", "HS256"}


def test_what_is_forged_is_refused() -> None:
    forged = [
        (group, case) for group, case in CASES if case["result"] == "invalid" and case["tcId"] not in PADDING_LOST
    ]
    assert len(forged) > 300
    assert [case["tcId"] for group, case in forged if _is_accepted(group, case["jws"])] == []


def test_what_is_signed_as_it_should_be_by_an_algorithm_that_is_permitted_is_accepted_and_nothing_else() -> None:
    for group, case in CASES:
        if case["result"] == "valid" and case["tcId"] not in SPELT_OTHERWISE:
            named = (group.get("public") or group["private"])["alg"]
            assert _is_accepted(group, case["jws"]) is (named in ALGORITHMS), (case["tcId"], case["comment"])


def test_no_vector_says_who_asks_for_none_has_claims_of_ours() -> None:
    for group, case in CASES:
        with pytest.raises(TokenRefused):
            verify(case["jws"], _keys(group), TERMS, NOW_S)


@pytest.mark.parametrize("id", sorted(SPELT_OTHERWISE))
def test_a_token_has_one_spelling(id: int) -> None:
    group, case = next((group, case) for group, case in CASES if case["tcId"] == id)
    assert not _is_accepted(group, case["jws"])
    assert _is_accepted(group, case["jws"].replace("?", ""))


def test_what_was_to_have_a_padding_has_none_there_and_is_refused_with_one() -> None:
    group, valid = next((group, case) for group, case in CASES if case["tcId"] == 357)
    assert [case["jws"] for _, case in CASES if case["tcId"] in PADDING_LOST] == [valid["jws"]] * 2
    head, payload, signature = valid["jws"].split(".")
    for padded in (
        f"{head}.{payload}.{signature}=",
        f"{head}.{payload}==.{signature}",
        f"{head}=.{payload}.{signature}",
    ):
        assert not _is_accepted(group, padded)
