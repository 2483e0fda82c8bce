"""What passes to which side, and what never passes."""

from __future__ import annotations

import pytest

from gateway.proxy.reverse_proxy import Refused, passed_headers, route


@pytest.mark.parametrize(
    ("method", "path", "side"),
    [
        ("PUT", "/v1/accounts/alice", "write"),
        ("PATCH", "/v1/accounts/alice", "write"),
        ("POST", "/v1/transfers", "write"),
        ("POST", "/v1/transfers/0197/reverse", "write"),
        ("POST", "/v1/holds", "write"),
        ("POST", "/v1/holds/0197/capture", "write"),
        ("POST", "/v1/holds/0197/void", "write"),
        ("GET", "/v1/transfers", "read"),
        ("POST", "/v1/transfers:batch", "write"),
        ("GET", "/v1/accounts/alice", "read"),
        ("GET", "/v1/transfers/0197", "read"),
        ("GET", "/v1/system", "read"),
        ("GET", "/v1/accounts/a\nb", "read"),
    ],
)
def test_each_public_address_has_its_side(method: str, path: str, side: str) -> None:
    assert route(method, path) == side


@pytest.mark.parametrize(
    "path",
    [
        "/internal/balances",
        "//internal/balances",
        "/v1/accounts/../../internal/balances",
        "/v1/accounts/..",
        "/v1/accounts/.",
        "/v1/accounts/",
        "/v1/account",
        "/v1/accounts/a/b",
        "/v1/transfers/",
        "/v1/transfers\n",
        "/v1/transfers/../reverse",
        "/v1/transfers/a/b/reverse",
        "/v1/transfers//reverse",
        "/v1/transfers/a/reverse/",
        "/v1/holds/",
        "/v1/holds/a",
        "/v1/holds/../capture",
        "/v1/holds/./void",
        "/v1/holds/a/capture\n",
        "/v1/holds/a/expire",
        "/v1",
        "",
        "*",
    ],
)
def test_nothing_else_passes(path: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        assert route(method, path) == Refused("not_found")


def test_another_method_is_told_which_ones_there_are() -> None:
    assert route("DELETE", "/v1/accounts/alice") == Refused("method_not_allowed", "PUT, PATCH, GET, HEAD")


def test_headers_of_one_connection_and_forged_ones_are_dropped() -> None:
    headers = [
        (b"host", b"x"),
        (b"content-type", b"application/json"),
        (b"idempotency-key", b"k"),
        (b"prefer", b"wait=2"),
        (b"connection", b"keep-alive, X-Hop"),
        (b"x-hop", b"1"),
        (b"te", b"trailers"),
        (b"x-forwarded-for", b"10.0.0.1"),
        (b"x-forwarded-prefix", b"/a"),
        (b"forwarded", b"for=10.0.0.1"),
        (b"x-request-id", b"a"),
        (b"traceparent", b"a"),
        (b"expect", b"100-continue"),
    ]
    assert [name for name, _ in passed_headers(headers)] == [b"host", b"content-type", b"idempotency-key", b"prefer"]


def test_the_body_cannot_be_unframed_by_naming_its_length_as_hop_by_hop() -> None:
    headers = [(b"connection", b"content-length"), (b"content-length", b"5")]
    assert passed_headers(headers) == [(b"content-length", b"5")]
