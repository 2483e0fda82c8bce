"""What `fanfold compare` does: starts servers, takes one design after the other through load and faults, shows how it goes."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import structlog
import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from fanfold.cli.compare_page import page
from fanfold.cli.compare_told import closing_lines, document, fault_sheet, progress_sheet, result_sheet, unlike_promised
from fanfold.cli.output import NOT_TOLD, complain, laid_out, say
from tests.servers import (
    ServerMissing,
    ZooKeeperEnsemble,
    running_kafka,
    running_postgres,
    running_redis,
    running_zookeeper,
    running_zookeeper_ensemble,
)
from write_side.designs.comparison import Compared, Fault, Node, Told, compare
from write_side.designs.design import Unanswered
from write_side.designs.given import ServerUnfit, without_password
from write_side.designs.load import CLIENTS, NODES, Load
from write_side.designs.map_faults import Ensemble
from write_side.designs.wiring import Name, Places, check_given, clear_given, publish_nodes

Word = TypeVar("Word", bound=StrEnum)

PREFIX: Final = "fanfold_compare_"
"""Of what is made in servers that were given; taken away at the end, but not by a run that is killed."""


class Given(NamedTuple):
    """Servers that somebody gave: an address a node of Redis and of PostgreSQL, the hosts of ZooKeeper; empty: started here."""

    redis: tuple[str, ...] = ()
    zookeeper: str = ""
    postgres: tuple[str, ...] = ()

    def told(self) -> dict[str, str]:
        """Without passwords."""
        return {
            name: ", ".join(map(without_password, addresses)) if isinstance(addresses, tuple) else addresses
            for name, addresses in self._asdict().items()
            if addresses
        }


NONE_GIVEN: Final = Given()


class Wishes(NamedTuple):
    """What was asked for. seconds, dead_s: see `comparison.compare`."""

    designs: tuple[Name, ...]
    faults: tuple[Fault, ...]
    seconds: float
    accounts: int
    cross: float
    dead_s: float
    given: Given = NONE_GIVEN

    @classmethod
    def of(
        cls,
        designs: str,
        faults: str,
        *,
        seconds: float,
        accounts: int,
        cross: float,
        dead_s: float,
        given: Given = NONE_GIVEN,
    ) -> Wishes:
        """Raises typer.BadParameter for a name that nothing has, and where not each node has an address."""
        chosen = () if faults == "none" else _named(Fault, faults, "--faults")
        for option, addresses in (("--redis", given.redis), ("--postgres", given.postgres)):
            if len(set(addresses)) not in (0, NODES) or len(addresses) not in (0, NODES):
                raise typer.BadParameter(
                    f"{option} is given {NODES} times, an address a node, and not {len(addresses)} times"
                )
        return cls(_named(Name, designs, "--designs"), chosen, seconds, accounts, cross, dead_s, given)

    def document(self) -> dict[str, object]:
        return self._asdict() | {"given": self.given.told()}

    def left_out(self, nodes: Mapping[Name, Node]) -> list[str]:
        """What is not done to servers that are not ours. nodes: those that may be killed."""
        if not any(self.given):
            return []
        spared = [name for name in self.designs if name is not Name.EVENT_SOURCING and name not in nodes]
        told = [fault for fault in (Fault.PAUSE, Fault.NODE) if fault in self.faults and spared]
        lines = [f"{', '.join(told)}: left out of {', '.join(spared)}, whose servers were given"] if told else []
        if Fault.ZOOKEEPER in self.faults and self.given.zookeeper:
            lines.append("zookeeper: only the session is ended, its servers were given")
        return lines

    def in_words(self) -> dict[str, str]:
        return {
            "designs": ", ".join(self.designs),
            "seconds of load": f"{self.seconds:g}",
            "clients": f"{CLIENTS}, each with one transfer at a time",
            "accounts": f"{self.accounts:,} on {NODES} nodes",
            "between two nodes": f"{self.cross:.0%} of the transfers",
            "faults": ", ".join(self.faults) or "none",
            "nobody recovers for": f"{self.dead_s:g} s",
            **self.given.told(),
        }


def _named(words: type[Word], text: str, option: str) -> tuple[Word, ...]:
    try:
        return tuple(dict.fromkeys(words(word.strip()) for word in text.split(",")))
    except ValueError:
        raise typer.BadParameter(f"{option} takes {', '.join(words)}, with commas between, not {text!r}") from None


def run(wishes: Wishes, scratch: Path, *, as_json: bool, html: Path | None) -> bool:
    """Compare and print; whether each design did what it says of itself. html: where to write the page, None: none."""
    try:
        with logs_aside(), _servers(wishes, scratch) as ours, _Shown(wishes.designs) as shown:
            compared = asyncio.run(_compare(wishes, ours, shown))
    except (ServerMissing, ServerUnfit, Unanswered) as missing:  # it says what to install, or to look at
        raise typer.BadParameter(str(missing)) from None
    if as_json:
        say(json.dumps(document(compared, wishes.document())))
    else:
        tables = [laid_out(result_sheet(compared))]
        if any(each.harms for each in compared):
            tables += ["", laid_out(fault_sheet(compared))]
        say("\n".join([*tables, "", *closing_lines(compared, wishes.cross, wishes.dead_s)]))
    if html is not None:  # last: what was found is told whatever becomes of the file
        _write_page(html, page(compared, wishes.in_words() | _machine(), wishes.cross, wishes.dead_s))
    wrong = [line for each in compared for line in unlike_promised(each)]
    for line in wrong:
        complain(line)
    return not wrong


def _write_page(file: Path, text: str) -> None:
    """Whole or not at all. Ends the command with 4 where it cannot be written: what was found has been told."""
    beside = file.with_name(f".{file.name}.new")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(file)
    except OSError as failure:
        beside.unlink(missing_ok=True)
        complain(f"The page was not written to {file}: {failure.strerror}.")
        raise typer.Exit(NOT_TOLD) from None


def _machine() -> dict[str, str]:
    return {
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


async def _compare(wishes: Wishes, ours: _Servers, shown: _Shown) -> list[Compared]:
    places = ours.places
    for line in wishes.left_out(ours.nodes):
        complain(line)
    await check_given(places, prepares=Name.TWO_PHASE_COMMIT in wishes.designs)
    try:
        return await _compare_each(wishes, ours, shown)
    finally:
        await clear_given(places)


async def _compare_each(wishes: Wishes, ours: _Servers, shown: _Shown) -> list[Compared]:
    places = ours.places
    if places.zookeeper:
        await publish_nodes(places, places.redis)
    found = []
    for name in wishes.designs:
        each = await compare(
            name,
            places,
            Load(wishes.accounts, wishes.cross),
            seconds=wishes.seconds,
            faults=wishes.faults,
            dead_s=wishes.dead_s,
            node=ours.nodes.get(name),
            zookeeper=ours.zookeeper,
            told=lambda told, name=name: shown.told(name, told),  # type: ignore[misc]
        )
        shown.ended(each)
        found.append(each)
    return found


@contextmanager
def logs_aside() -> Iterator[None]:
    """Standard output is for what was found."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        yield
    finally:
        structlog.configure(**before)


class _Servers(NamedTuple):
    """nodes: of each design the one that may be killed. zookeeper: its servers, where they may be."""

    places: Places
    nodes: Mapping[Name, Node]
    zookeeper: Ensemble | None


@contextmanager
def _servers(wishes: Wishes, scratch: Path) -> Iterator[_Servers]:
    """Those that the designs need. Raises ServerMissing."""
    designs, given, nodes = wishes.designs, wishes.given, dict[Name, Node]()
    places = Places(folder=str(scratch / "log"), prefix=f"{PREFIX}{secrets.token_hex(4)}_")
    ensemble: ZooKeeperEnsemble | None = None
    with ExitStack() as stack:
        over_postgres = {Name.TWO_PHASE_COMMIT, Name.TRY_CONFIRM_CANCEL, Name.SAGA} & set(designs)
        if over_postgres and given.postgres:
            places = places._replace(postgres=given.postgres)
        elif over_postgres:
            postgres = stack.enter_context(running_postgres(NODES))
            places = places._replace(postgres=tuple(server.dsn for server in postgres))
            nodes |= dict.fromkeys(over_postgres, postgres[-1])
        if Name.IN_MEMORY_SHARDING in designs:
            if Fault.ZOOKEEPER in wishes.faults and not given.zookeeper:
                ensemble = stack.enter_context(running_zookeeper_ensemble())
            hosts = ensemble.hosts if ensemble else given.zookeeper or stack.enter_context(running_zookeeper()).hosts
            places = places._replace(zookeeper=hosts, redis=given.redis)
            if not given.redis:
                redis = [stack.enter_context(running_redis()) for _ in range(NODES)]
                places = places._replace(redis=tuple(server.url for server in redis))
                nodes[Name.IN_MEMORY_SHARDING] = redis[-1]
        if Name.EVENT_SOURCING_KAFKA in designs:
            broker = stack.enter_context(running_kafka())
            places = places._replace(kafka=broker.bootstrap)
            nodes[Name.EVENT_SOURCING_KAFKA] = broker
        yield _Servers(places, nodes, ensemble)


class _Shown:
    """A table on standard error that follows what is under way; lines where that is no terminal."""

    def __init__(self, designs: tuple[Name, ...]) -> None:
        self._console = Console(stderr=True)
        self._told: dict[Name, Told] = {name: Told("waits", 0.0) for name in designs}
        self._live = Live(get_renderable=self._table, console=self._console, transient=True, refresh_per_second=4)

    def __enter__(self) -> _Shown:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def told(self, name: Name, told: Told) -> None:
        if not self._console.is_terminal and told.doing != self._told[name].doing:
            complain(f"{name}: {told.doing}")
        self._told[name] = told

    def ended(self, compared: Compared) -> None:
        self._told[compared.name] = Told("done", 1.0, compared.best)

    def _table(self) -> Text:
        return Text("\n".join(progress_sheet(self._told).lines(self._console.width)))
