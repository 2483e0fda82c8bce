"""The list of metrics, the alert rules and the dashboard, held against what a running service tells."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end import load, processes

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
OF_EVERY_PROCESS = ("python_", "process_")
"""Metrics of the client library, which every Python process has."""
FUNCTIONS = {"rate", "increase", "sum", "max", "min", "by", "le", "time", "histogram_quantile"}
"""Words of PromQL that are used here."""


class Told(NamedTuple):
    """families: what each metric means, by its name; samples: the labels of each sample, by its name."""

    families: dict[str, str]
    samples: dict[str, set[str]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Of one service for all tests, which has been used a little."""
    text = asyncio.run(_metrics(tmp_path_factory.mktemp("monitoring")))
    families, samples = {}, dict[str, set[str]]()
    for family in text_string_to_metric_families(text):
        if not family.name.endswith("_created"):
            families[family.name] = family.documentation
        for sample in family.samples:
            samples.setdefault(sample.name, set()).update(sample.labels)
    return Told({name: text for name, text in families.items() if not name.startswith(OF_EVERY_PROCESS)}, samples)


async def _metrics(folder: Path) -> str:
    environment = {
        **load.folder_of(folder / "data"),
        "FANFOLD_PARTITIONS": "2",
        "FANFOLD_LOG_ARCHIVE": f"file:{folder / 'archive'}",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",  # nobody is there, and nobody notices
    }
    async with (
        processes.running("up", environment=environment, errors=folder / "errors.txt") as service,
        aiohttp.ClientSession(service.address) as http,
    ):
        for account in ("alice", "bob"):
            async with http.put(f"/v1/accounts/{account}", json={"asset": "USD/2"}) as answer:
                assert answer.status == 201
        batch = '{"open": {"account": "carol", "asset": "USD/2"}}\n'
        async with http.post(
            "/v1/transfers:batch", data=batch, headers={"Content-Type": "application/x-ndjson"}
        ) as answer:
            assert answer.status == 200
        for path in ("/v1/accounts/alice", "/v1/nothing"):
            async with http.get(path):
                pass
        async with http.get("/v1/stream/sse?accounts=alice") as events:
            assert (await events.content.readline()).startswith(b"event: ")
        async with http.get("/metrics") as answer:
            return await answer.text()


def listed() -> dict[str, str]:
    """What `METRICS.md` says of each metric."""
    rows = re.findall(r"^\| `([a-z_]+)` \| (.*) \|$", (MONITORING / "METRICS.md").read_text(), re.MULTILINE)
    assert len(dict(rows)) == len(rows), "each once"
    return dict(rows)


def test_every_metric_is_in_the_list_and_nothing_else(told: Told) -> None:
    assert listed() == told.families


def expressions() -> Iterator[tuple[str, str]]:
    """The name and expression of every alert and panel."""
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


@pytest.mark.parametrize(("name", "expression"), list(expressions()))
def test_an_expression_names_metrics_and_labels_that_there_are(told: Told, name: str, expression: str) -> None:
    plain = re.sub(r'"[^"]*"', "", expression)
    metrics = set(re.findall(r"\b(?:fanfold|process)_[a-z_]+", plain))
    assert metrics, f"{name} is about nothing"
    unknown = {metric for metric in metrics if metric not in told.samples and family_of(metric) not in told.families}
    assert not unknown, name
    labels = set(re.findall(r"([a-z_]+)\s*(?:=~|!=|!~|=)", plain.replace("==", ""))) | {
        label.strip() for group in re.findall(r"by \(([^)]*)\)", plain) for label in group.split(",")
    }
    had = set[str]().union(*(told.samples.get(metric, set()) for metric in metrics))
    if any(metric in told.samples for metric in metrics):
        assert labels <= had, name
    words = set(re.findall(r"[a-z_]{2,}", plain)) - metrics - labels
    assert words <= FUNCTIONS, f"{name}: {words - FUNCTIONS} is no word that is known here"


def family_of(metric: str) -> str:
    """The metric of a sample's name: a counter without samples has none yet."""
    return re.sub(r"_(?:total|sum|count|bucket|created)$", "", metric)


def test_every_alert_says_what_it_means_for_money_and_what_to_look_at() -> None:
    rules: list[dict[str, Any]] = [
        rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]
    ]
    for rule in rules:
        assert rule["labels"]["severity"] in ("money", "readers", "care")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert len(rule["annotations"]["description"]) > 40
    assert len({rule["alert"] for rule in rules}) == len(rules)
