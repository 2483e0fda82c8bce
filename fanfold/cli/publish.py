"""`fanfold publish`: the events of the log kept in a Kafka topic, for readers elsewhere."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Annotated, Any

import typer
from rich.progress import ProgressColumn, TextColumn, TimeElapsedColumn

from deploy.whole_log_work import publish_events
from fanfold.api.events import SOURCE, event_schema
from fanfold.cli.known_failures import UNREADABLE, code_of_partitions, failures_told
from fanfold.cli.output import NOT_TOLD, say
from fanfold.cli.progress import kept, progress_line
from read_side.wiring import PartitionPublished
from write_side.contract.words.position import parse_positions


def publish(
    to: Annotated[
        str | None, typer.Option(help="kafka://host:9092 (over a log in Kafka: that one)", metavar="ADDRESS")
    ] = None,
    topic: Annotated[str | None, typer.Option(help="the topic, made where it is missing (fanfold.published)")] = None,
    once: Annotated[bool, typer.Option("--once", help="end at the end of the log as it is now")] = False,
    after: Annotated[
        str, typer.Option(help="where a topic without records is begun: behind these blocks, such as 0:17")
    ] = "",
    source: Annotated[str, typer.Option(help="`source` of the events, for who reads several logs")] = SOURCE,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="print the JSON Schema of an event, and end")] = False,
) -> None:
    """Keep a Kafka topic of single events: each account that was opened and each entry, as CloudEvents 1.0 in JSON.

    Every event at least once, in the order of the log; one that comes twice has the same id. The key is the account, and
    partition p of the topic has the events of partition p of the log. It goes on for ever, from where the topic says it is: kill
    it and start it again as you like. What stops one partition keeps nothing from the others. Ends with 1 when a partition is
    damaged or its topic has the events of another log, with 2 when it could not be done.

    Examples:

      fanfold publish --to kafka://localhost:9092

      fanfold publish --to kafka://localhost:9092 --topic payments --once

      fanfold publish --schema > event.schema.json
    """
    if schema:
        say(json.dumps(event_schema(), indent=2))
        return
    if not source or not source.isascii() or not source.isprintable() or " " in source:
        raise typer.BadParameter(
            "--source must be a URI or the path of one, such as /fanfold: not empty, ASCII, without blanks"
        )
    begun_s, cpu_s = time.monotonic(), time.process_time()
    with progress_line("publishing", *progress_figures(), quiet=as_json) as progress:
        task = progress.add_task("publishing", total=None)
        with failures_told(UNREADABLE):
            behind = parse_positions(after, "--after") if after else {}
            found = asyncio.run(
                publish_events(
                    to, topic, once=once, after=behind, source=source, on_events=lambda n: progress.advance(task, n)
                )
            )
    code = code_of_partitions(found)
    told = document_of(found, time.monotonic() - begun_s, time.process_time() - cpu_s)
    say(json.dumps(told) if as_json else _told(told), code=NOT_TOLD if code == 0 else code)
    raise typer.Exit(code)


def progress_figures() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.completed:,.0f} events", table_column=kept()),
        TimeElapsedColumn(table_column=kept()),
    )


def document_of(found: list[PartitionPublished], seconds: float, cpu_s: float) -> dict[str, Any]:
    """rate: events a second; rate_cpu: a second of this process's processor time."""
    events = sum(each.events for each in found)
    return {
        "events": events,
        "seconds": round(seconds, 3),
        "rate": round(events / seconds),
        "rate_cpu": round(events / cpu_s) if cpu_s else 0,
        "partitions": [
            {name: value for name, value in vars(each).items() if value is not None and value is not False}
            for each in found
        ],
    }


def _told(document: dict[str, Any]) -> str:
    places = ", ".join(each["position"] for each in document["partitions"] if "position" in each)
    where = f", up to {places}" if places else ""
    return (
        f"published {document['events']:,} events in {document['seconds']:.1f} s{where} "
        f"({document['rate_cpu']:,} a second of processor time)"
    )
