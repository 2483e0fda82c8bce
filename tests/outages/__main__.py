"""`python -m tests.outages [--stands N] [--keep FOLDER] [--seconds 5,70,300] [what:how:seconds ...]`: every server and side away.

Prints a line a case as it ends, and the table. Exit code 1 when something is wrong that must never be.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import aiohttp

from tests.outages.cases import SECONDS, Case, case_of, matrix, shares
from tests.outages.stand import standing
from tests.outages.table import line, table
from tests.outages.trial import Row, Trial
from tests.servers import KafkaCluster, RedisServer, running_kafka_cluster, running_redis

Servers = tuple[KafkaCluster, RedisServer]


async def run_share(number: int, servers: Servers, cases: Sequence[Case], folder: Path) -> list[Row]:
    """These cases, one after the other, on a stand of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    connections = aiohttp.TCPConnector(limit=0)
    async with standing(*servers, folder) as stand, aiohttp.ClientSession(connector=connections) as session:
        trial = Trial(stand, session)
        async with trial.watching():
            for case in cases:
                row = await trial.run(case)
                rows.append(row)
                print(f"stand {number}: {line(row)}", flush=True)
                with (folder / "rows.jsonl").open("a") as kept:
                    kept.write(json.dumps(row._asdict() | {"case": str(case)}) + "\n")
                if row.writes_s is None or any("not well" in each for each in row.wrong):
                    break  # what comes after would be measured on something broken
    return rows


async def run(cases: Sequence[Case], servers: Sequence[Servers], folder: Path) -> list[Row]:
    found = await asyncio.gather(
        *(
            run_share(number, servers[number], share, folder / f"stand-{number}")
            for number, share in enumerate(shares(cases, len(servers)))
        )
    )
    order = {case: at for at, case in enumerate(cases)}
    return sorted((row for rows in found for row in rows), key=lambda row: order[row.case])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.outages", description=__doc__)
    parser.add_argument("cases", nargs="*", type=case_of, help="what:how:seconds; all of them when none is named")
    parser.add_argument("--seconds", default=",".join(map(str, SECONDS)), help="how long each is away")
    parser.add_argument("--stands", type=int, default=3, help="set-ups beside each other, some 3 GB each")
    parser.add_argument("--keep", type=Path, help="where to keep rows.jsonl and what the sides say on standard error")
    given = parser.parse_args()
    cases = given.cases or matrix([int(seconds) for seconds in given.seconds.split(",")])
    with tempfile.TemporaryDirectory(prefix="fanfold-outages-") as folder, ExitStack() as stack:
        servers = [
            (stack.enter_context(running_kafka_cluster()), stack.enter_context(running_redis()))
            for _ in range(min(given.stands, len(cases)))
        ]
        rows = asyncio.run(run(cases, servers, given.keep or Path(folder)))
    print(table(rows))
    return 1 if len(rows) < len(cases) or any(row.wrong for row in rows) else 0


sys.exit(main())
