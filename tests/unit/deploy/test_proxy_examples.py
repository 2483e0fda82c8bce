"""The examples of proxies in front wait longer than the gateway, and say what it would say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from fanfold.api.problems import problem_document
from fanfold.api.routes import EVENTS, STREAM_PATH
from gateway.settings import GatewaySettings

DEPLOY = Path(__file__).parents[3] / "deploy"
NGINX = (DEPLOY / "nginx" / "fanfold.conf").read_text()
ENVOY: dict[str, Any] = yaml.safe_load((DEPLOY / "envoy" / "envoy.yaml").read_text())
SETTINGS = GatewaySettings()
LONGEST_SILENCE_S = max(SETTINGS.upstream_silence_ms, SETTINGS.stream_ping_ms + SETTINGS.stream_pong_ms) / 1000
"""So long the gateway may say nothing while all is well."""

[KEEP_ALIVE_S] = [int(n) for n in re.findall(r"timeout_keep_alive=(\d+)", (DEPLOY / "serving.py").read_text())]
"""So long a gateway keeps a connection on which nothing is asked."""


def connection_manager() -> dict[str, Any]:
    [listener] = ENVOY["static_resources"]["listeners"]
    [chain] = listener["filter_chains"]
    [manager] = chain["filters"]
    found: dict[str, Any] = manager["typed_config"]
    return found


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_nginx_waits_longer_than_the_gateway() -> None:
    [read_s] = re.findall(r"proxy_read_timeout (\d+)s;", NGINX)
    assert int(read_s) > LONGEST_SILENCE_S
    [body_mib] = re.findall(r"client_max_body_size (\d+)m;", NGINX)
    assert int(body_mib) * 1024 * 1024 > SETTINGS.request_bytes_max


def test_envoy_waits_longer_than_the_gateway_and_never_ends_a_stream_that_is_alive() -> None:
    manager = connection_manager()
    assert seconds(manager["stream_idle_timeout"]) > LONGEST_SILENCE_S
    [host] = manager["route_config"]["virtual_hosts"]
    timeouts = {route["match"].get("path", "/"): route["route"] for route in host["routes"]}
    assert seconds(timeouts["/"]["timeout"]) > SETTINGS.upstream_total_ms / 1000
    for path in ("/", STREAM_PATH, EVENTS.path):
        assert seconds(timeouts[path]["idle_timeout"]) > LONGEST_SILENCE_S
    for path in (STREAM_PATH, EVENTS.path):
        assert timeouts[path]["timeout"] == "0s"
    assert "retry_policy" not in timeouts["/"]
    assert host["retry_policy"]["retry_on"] == "connect-failure"


def test_envoy_ends_what_it_keeps_to_a_gateway_before_that_does_and_has_room_for_its_streams() -> None:
    [cluster] = ENVOY["static_resources"]["clusters"]
    [options] = cluster["typed_extension_protocol_options"].values()
    assert seconds(options["common_http_protocol_options"]["idle_timeout"]) < KEEP_ALIVE_S
    [room] = cluster["circuit_breakers"]["thresholds"]
    assert min(room["max_connections"], room["max_requests"]) > SETTINGS.stream_connections_max


def test_where_no_gateway_answered_both_say_whether_anything_was_taken() -> None:
    words = re.findall(r"^ +\S.* '(\{.*\})';$", NGINX, re.MULTILINE)
    not_taken, known = problem_document("upstream_unavailable"), problem_document("outcome_unknown")
    assert [json.loads(each.replace("$fanfold_key", "")) for each in words] == [known, not_taken, not_taken]
    assert "$fanfold_key" in words[0]
    mappers = connection_manager()["local_reply_config"]["mappers"]
    named = known | {"idempotency_key": "%REQ(IDEMPOTENCY-KEY)%"}
    assert [each["body_format_override"]["json_format"] for each in mappers] == [not_taken, not_taken, named]
    assert [each["status_code"] for each in mappers] == [503, 503, 503]


def test_neither_passes_on_what_a_client_says_of_itself() -> None:
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in NGINX
    assert 'proxy_set_header Forwarded "";' in NGINX
    manager = connection_manager()
    assert (manager["use_remote_address"], manager["xff_num_trusted_hops"]) == (True, 0)
    assert manager["route_config"]["request_headers_to_remove"] == ["forwarded"]
