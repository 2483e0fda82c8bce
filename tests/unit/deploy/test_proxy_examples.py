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
    assert seconds(timeouts["/"]["timeout"]) > LONGEST_SILENCE_S
    for path in (STREAM_PATH, EVENTS.path):
        assert timeouts[path]["timeout"] == "0s"
        assert seconds(timeouts[path]["idle_timeout"]) > LONGEST_SILENCE_S
    assert all("retry_policy" not in route for route in timeouts.values())


def test_where_no_gateway_answered_both_say_whether_anything_was_taken() -> None:
    told = [json.loads(each) for each in re.findall(r"^ +\S.* '(\{.*\})';$", NGINX, re.MULTILINE)]
    not_taken, known = problem_document("upstream_unavailable"), problem_document("outcome_unknown")
    assert told == [known, not_taken, not_taken]
    mappers = connection_manager()["local_reply_config"]["mappers"]
    assert [each["body_format_override"]["json_format"] for each in mappers] == [not_taken, known]
    assert [each["status_code"] for each in mappers] == [not_taken["status"], known["status"]]


def test_neither_passes_on_what_a_client_says_of_itself() -> None:
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in NGINX
    assert 'proxy_set_header Forwarded "";' in NGINX
    manager = connection_manager()
    assert (manager["use_remote_address"], manager["xff_num_trusted_hops"]) == (True, 0)
    assert manager["route_config"]["request_headers_to_remove"] == ["forwarded"]
