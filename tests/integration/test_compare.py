"""`fanfold compare` at its smallest size, over real servers. No time is asserted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fanfold.cli.main import app


@pytest.mark.redis
@pytest.mark.zookeeper
@pytest.mark.usefixtures("redis_url", "zookeeper_server")  # skips where they are missing
def test_money_is_lost_where_a_design_says_so_and_nowhere_else(tmp_path: Path) -> None:
    sizes = ["--seconds", "0.2", "--accounts", "40", "--dead", "0.1", "--folder", str(tmp_path)]
    page = tmp_path / "page.html"
    asked = ["compare", "--designs", "in_memory_sharding,event_sourcing", *sizes, "--json", "--html", str(page)]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    shown = page.read_text()
    assert all(told in shown for told in ("in_memory_sharding", "debited", "node_killed", "0.2", "40 on 2 nodes"))
    page.unlink()
    told = {each["design"]: each for each in json.loads(result.stdout)["designs"]}
    assert list(told) == ["in_memory_sharding", "event_sourcing"]
    for each in told.values():
        assert each["one_by_one"]["done"] > 0
        assert each["made_under_load"] == 0
    assert [told[design]["made"] == 0 for design in told] == [False, True]
    lost = {harm["fault"]: harm["made"] for harm in told["in_memory_sharding"]["faults"]}
    assert lost["debited"] < 0
    assert lost["credited"] == 0
    assert lost["node_killed"] < 0
    assert lost["zookeeper_leader_killed"] == lost["zookeeper_away"] == lost["zookeeper_session_expired"] == 0
    assert told["event_sourcing"]["in_batches"]["done"] > 0
    assert list(tmp_path.iterdir()) == []
