"""What the gateway does when nobody tells it otherwise."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, Literal

import pytest
import uvloop
from pydantic import ValidationError

from fanfold.api.questions import WAIT_MS_MAX, WAIT_SECONDS_MAX
from gateway.limits.rates import SECOND_NS, Quota, Rates
from gateway.limits.terms import Limits
from gateway.proxy.rated import UNIT_BYTES
from gateway.settings import GatewaySettings
from write_side.settings import WriteSettings


def test_the_longest_wait_that_the_write_side_grants_is_no_silence() -> None:
    """It waits for the transfers to end as long as the client asked, and last for a block of its own."""
    silence_ms = GatewaySettings.model_fields["upstream_silence_ms"].default
    assert silence_ms > WAIT_SECONDS_MAX * 1000 + WriteSettings.model_fields["answer_wait_ms"].default


def test_the_longest_wait_that_the_read_side_grants_is_no_silence_and_one_that_hangs_keeps_nobody_for_long() -> None:
    silence_ms = GatewaySettings.model_fields["upstream_read_silence_ms"].default
    assert WAIT_MS_MAX < silence_ms <= 1.5 * WAIT_MS_MAX


def test_the_end_of_a_request_is_behind_every_silence_that_is_granted_within_it() -> None:
    settings = GatewaySettings()
    assert settings.upstream_total_ms > 2 * max(settings.upstream_silence_ms, settings.upstream_read_silence_ms)


@pytest.mark.parametrize("beyond", [2**63, 10**30])
def test_a_buffer_is_no_larger_than_a_connection_takes(beyond: int) -> None:
    """With 2**63 every stream ended as it began."""
    with pytest.raises(ValidationError):
        GatewaySettings(stream_buffer_bytes=beyond)
    [largest] = [
        bound.le for bound in GatewaySettings.model_fields["stream_buffer_bytes"].metadata if hasattr(bound, "le")
    ]

    async def take() -> None:
        one, other = socket.socketpair()
        with other:
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=one)
            transport.set_write_buffer_limits(high=GatewaySettings(stream_buffer_bytes=largest).stream_buffer_bytes)
            transport.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(take())


TOKENS: dict[str, Any] = {"auth": "tokens", "api_keys": "keys.json"}


def test_limits_are_off_where_nobody_is_asked_and_on_where_somebody_is_and_each_can_be_set_in_both() -> None:
    assert GatewaySettings().limits == Limits(0, 5, 0, 0, 0)
    assert GatewaySettings(**TOKENS).limits == Limits(5_000, 5, 1_000, 5_000, 10_000)
    told: dict[str, Any] = {
        "requests_max": 1,
        "requests_window_s": 2,
        "principal_streams_max": 3,
        "address_streams_max": 4,
        "stream_messages_max": 5,
    }
    for others in ({}, TOKENS):
        assert GatewaySettings(**told, **others).limits == Limits(1, 2, 3, 4, 5)
    none: dict[str, Any] = dict.fromkeys(told.keys() - {"requests_window_s"}, 0)
    assert GatewaySettings(**none, **TOKENS).limits == Limits(0, 5, 0, 0, 0)


def test_a_batch_of_the_most_lines_and_the_largest_body_are_granted_by_default() -> None:
    granted, largest = GatewaySettings(**TOKENS), GatewaySettings.model_fields["request_bytes_max"].default
    assert 1 + largest // UNIT_BYTES < granted.limits.requests / 5


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("requests_max", -1),
        ("requests_max", 10_000_001),
        ("requests_window_s", 0),
        ("requests_window_s", 3_601),
        ("principal_streams_max", -1),
        ("address_streams_max", -1),
        ("stream_messages_max", 10_000_001),
        ("submit_share_percent", 0),
        ("submit_share_percent", 101),
        ("stream_unauthenticated_percent", 0),
        ("drain_ms", -1),
    ],
)
def test_a_limit_beyond_its_bounds_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings(**{name: value})


@pytest.mark.parametrize(("units", "window_s"), [(1, 1), (1, 3_600), (10_000_000, 1), (10_000_000, 3_600)])
def test_a_quota_at_the_bounds_of_its_settings_is_the_one_that_was_set(units: int, window_s: int) -> None:
    rates = Rates(Quota(units, window_s))
    assert rates.take("alice", units, 10**18).left == 0
    assert units * 0.99 <= rates.left("alice", 10**18 + window_s * SECOND_NS) <= units


@pytest.mark.parametrize(
    ("access_log", "auth", "writes"),
    [("auto", "off", False), ("auto", "tokens", True), ("on", "off", True), ("off", "tokens", False)],
)
def test_who_is_asked_who_asks_is_written_down_unless_it_is_said_otherwise(
    access_log: Literal["auto", "on", "off"], auth: Literal["off", "tokens"], writes: bool
) -> None:
    settings = GatewaySettings(access_log=access_log, auth=auth, api_keys="keys")
    assert settings.writes_accesses == writes


@pytest.mark.parametrize("networks", ["nonsense", "10.0.0.0/33", "10.0.0.1/8", "*"])
def test_proxies_that_are_no_networks_are_refused_at_the_start(networks: str) -> None:
    with pytest.raises(ValidationError, match="FANFOLD_TRUSTED_PROXIES"):
        GatewaySettings(trusted_proxies=networks)
