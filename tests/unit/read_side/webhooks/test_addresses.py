"""Where a webhook may go, and where none does."""

from __future__ import annotations

import pytest

from read_side.webhooks.addresses import BadUrl, check_url, refusal

PUBLIC = ("8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8")
PRIVATE = (
    "127.0.0.1", "10.1.1.1", "192.168.0.1", "172.16.0.1", "100.64.0.1", "::1", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1",
    "2002:7f00:1::", "::127.0.0.1", "64:ff9b:1::1", "2001:0:4136:e378::", "fec0::1", "198.18.0.1", "240.0.0.1",
)  # fmt: skip
NO_RECEIVER = (
    "169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "0.0.0.0", "::", "224.0.0.1", "ff02::1",
    "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "::ffff:100.100.100.200", "no address",
)  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_a_webhook_goes_to_a_public_address(address: str) -> None:
    assert refusal(address, private=False) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_a_webhook_goes_to_another_one_only_where_that_is_allowed(address: str) -> None:
    assert refusal(address, private=False) is not None
    assert refusal(address, private=True) is None


@pytest.mark.parametrize("address", NO_RECEIVER)
def test_none_goes_where_no_receiver_is_and_a_cloud_has_its_metadata(address: str) -> None:
    assert refusal(address, private=False) is not None
    assert refusal(address, private=True) is not None


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "https://", "https://user:secret@example.com/", "https://example.com/#a",
        "https://example.com:99999/", "https://10.0.0.1/", "https://[::1]/", "https://exa mple.com/", "https://é.com/", "",
        "https://example.com:0/", "https://[::1", "https://example.com/" + "a" * 2048, "https://example.com/\r\nx: y",
    ],
)  # fmt: skip
def test_a_url_that_is_none_for_a_webhook_is_refused_without_being_told_again(url: str) -> None:
    with pytest.raises(BadUrl) as refused:
        check_url(url, private=False)
    assert "secret" not in str(refused.value)


def test_http_and_private_addresses_go_where_they_are_allowed() -> None:
    assert check_url("https://example.com/hook?a=b", private=False) == "https://example.com/hook?a=b"
    assert check_url("http://127.0.0.1:9000/", private=True) == "http://127.0.0.1:9000/"
