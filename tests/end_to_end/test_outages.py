"""Servers and sides that go away for a moment under load: nothing acknowledged is lost, nothing untrue is said, all goes on.

The short form of `make outages`, which tries each of them, for minutes, and prints a table.
"""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.outages.cases import Case, How, What
from tests.outages.stand import standing
from tests.outages.trial import Trial
from tests.servers import KafkaCluster, RedisServer

CASES = [Case(What.ALL_SERVERS, How.PAUSED, 5), Case(What.REDIS, How.KILLED, 5), Case(What.READ_SIDE, How.KILLED, 0)]

# aiokafka leaves the transports of a broker that is gone to the collector, whatever closes its clients.
pytestmark = [pytest.mark.kafka, pytest.mark.redis]


async def test_servers_that_go_away_for_a_moment_lose_nothing_and_everything_goes_on(
    tmp_path: Path, kafka_cluster: KafkaCluster, redis_server: RedisServer
) -> None:
    async with standing(kafka_cluster, redis_server, tmp_path) as stand, aiohttp.ClientSession() as session:
        trial = Trial(stand, session)
        async with trial.watching():
            for case in CASES:
                row = await trial.run(case)
                assert row.wrong == [], case
                assert row.said.get("done"), case
                assert "stream live, and old" not in row.untrue, case
