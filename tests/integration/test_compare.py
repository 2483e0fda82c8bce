"""`fanfold compare` at its smallest size, over real servers. No time is asserted."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest
import redis
from kazoo.client import KazooClient
from typer.testing import CliRunner

from fanfold.cli.main import app
from tests.servers import PostgresServer, ZooKeeperServer, running_redis, unique_name
from write_side.designs.node_map import NodeMap
from write_side.designs.wiring import Places, publish_nodes


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
    assert lost["map_changed"] < 0
    assert lost["zookeeper_leader_killed"] == lost["zookeeper_away"] == lost["zookeeper_session_expired"] == 0
    assert told["event_sourcing"]["in_batches"]["done"] > 0
    assert list(tmp_path.iterdir()) == []


PASSWORD = "s3cret"


@pytest.mark.redis
@pytest.mark.zookeeper
@pytest.mark.postgres
@pytest.mark.usefixtures("redis_url")  # skips where it is missing
def test_servers_that_are_given_are_used_left_alive_and_left_empty_and_no_password_is_shown(
    tmp_path: Path, zookeeper_server: ZooKeeperServer, postgres_servers: list[PostgresServer]
) -> None:
    page = tmp_path / "page.html"
    with ExitStack() as stack:
        nodes = [stack.enter_context(running_redis()) for _ in range(2)]
        clients = [stack.enter_context(redis.Redis(port=node.port, password=PASSWORD)) for node in nodes]
        for node in nodes:
            with redis.Redis(port=node.port) as client:
                client.config_set("requirepass", PASSWORD)
        given = [f"--redis=redis://:{PASSWORD}@127.0.0.1:{node.port}/0" for node in nodes]
        given += [f"--postgres={node.dsn.replace('postgres@', f'postgres:{PASSWORD}@')}" for node in postgres_servers]
        given += [f"--zookeeper={zookeeper_server.hosts}"]
        sizes = ["--seconds", "0.2", "--accounts", "40", "--dead", "0.1", "--folder", str(tmp_path)]
        asked = ["compare", "--designs", "in_memory_sharding,two_phase_commit", *sizes, "--json", "--html", str(page)]
        result = CliRunner().invoke(app, [*asked, *given])
        assert result.exit_code == 0, result.output
        assert PASSWORD not in result.output + page.read_text()
        assert "pause, node: left out of in_memory_sharding, two_phase_commit" in result.stderr
        told = json.loads(result.stdout)
        assert told["wishes"]["given"]["redis"].startswith("redis://127.0.0.1:")
        faults = {each["design"]: [harm["fault"] for harm in each["faults"]] for each in told["designs"]}
        assert faults["in_memory_sharding"] == ["debited", "credited", "zookeeper_session_expired", "map_changed"]
        assert "node_killed" not in faults["two_phase_commit"]
        assert [client.dbsize() for client in clients] == [0, 0]
    assert asyncio.run(_left_in(postgres_servers)) == [0, 0]
    zookeeper = KazooClient(hosts=zookeeper_server.hosts)
    zookeeper.start()
    assert not [name for name in zookeeper.get_children("/") if name.startswith("fanfold_compare_")]
    zookeeper.stop()
    zookeeper.close()


async def _left_in(servers: list[PostgresServer]) -> list[int]:
    left = []
    for server in servers:
        connection = await asyncpg.connect(server.dsn)
        left.append(
            await connection.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'fanfold_compare%'")
        )
        await connection.close()
    return left


@pytest.mark.parametrize(
    ("option", "address"),
    [("--postgres", "postgresql://a:s3cret@x/y@127.0.0.1:1/z"), ("--redis", "redis://:s3cret@127.0.0.1:1/0")],
)
def test_a_given_server_that_does_not_answer_is_named_without_its_password(
    option: str, address: str, tmp_path: Path, zookeeper_server: ZooKeeperServer
) -> None:
    design = "saga" if option == "--postgres" else "in_memory_sharding"
    asked = ["compare", "--designs", design, "--folder", str(tmp_path), "--zookeeper", zookeeper_server.hosts]
    result = CliRunner().invoke(app, [*asked, option, address, option, f"{address}1"])
    assert result.exit_code == 2
    assert "cannot be used" in result.output
    assert PASSWORD not in result.output
    assert CliRunner().invoke(app, [*asked, option, address]).exit_code == 2, "an address a node"


async def test_the_map_of_the_nodes_has_no_password(zookeeper_server: ZooKeeperServer) -> None:
    places = Places(zookeeper=zookeeper_server.hosts, prefix=f"{unique_name()}_")
    await publish_nodes(places, [f"redis://someone:{PASSWORD}@127.0.0.1:1/0?password={PASSWORD}"])
    nodes = NodeMap(places.zookeeper, f"/{places.prefix}nodes")
    await nodes.start()
    assert nodes.addresses == ("redis://127.0.0.1:1/0",)
    await nodes.close()
