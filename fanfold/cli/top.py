"""The command `top`: what a service does just now, on one screen."""

from __future__ import annotations

import asyncio
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import aiohttp
import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from fanfold.cli.asking import DEFAULT_URL, NOT_ANSWERED, URL_VARIABLE, check_url, run
from fanfold.cli.output import is_terminal, printable, say, say_next
from fanfold.cli.top_drawing import drawing, plain
from fanfold.cli.top_figures import Figures, figures_of
from fanfold.cli.top_samples import Since, Told, Values, values_of
from fanfold.client import TOKEN_VARIABLE
from fanfold.http_requests import bearer

ADMIN_PORT_VARIABLE: Final = "FANFOLD_ADMIN_PORT"
ADMIN_HOST_VARIABLE: Final = "FANFOLD_ADMIN_HOST"
INTERVAL_MIN_S: Final = 0.2
"""More often the eye does not see, and each look makes a service say all that it counts."""
ANSWER_S_MAX: Final = 5.0
"""Readiness may take 2 s where a side hangs."""
REDRAW_S: Final = 0.5
ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of what counts 1,000 partitions: 3 MB. Who says more is not what is looked for."""


def top(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ADDRESS", help="of write side, read side, gateway or all in one: http://127.0.0.1:8080"
        ),
    ] = None,
    interval: Annotated[float, typer.Option(help="seconds from one look to the next", min=INTERVAL_MIN_S)] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="look twice, an interval apart, tell it once, and end")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object a look, one with --once")] = False,
) -> None:
    """Show what a service does just now: partitions, pushes, refusals, memory, readiness. Until Ctrl-C.

    It reads /metrics and /readyz of each ADDRESS: by default of FANFOLD_ADMIN_PORT here, else of FANFOLD_URL.
    Of several services name each: a write side tells what is decided, a read side what readers see, a gateway what is pushed. One
    that is away is a line. Rates are of the time between two looks; of a process that started between them none is told.

    Anywhere but on a terminal, and with --once, it tells one look as plain lines, and ends with 2 when something is the matter.
    The lag of a partition is the age of the oldest block that readers do not see; in flight are commands without an outcome yet.

    Examples:

      fanfold top

      fanfold top http://127.0.0.1:8081 http://127.0.0.1:8082 http://127.0.0.1:8080

      fanfold top --once --json | jq .refused
    """
    if not math.isfinite(interval):
        raise typer.BadParameter("must be a number of seconds", param_hint="--interval")
    asked = [check_url(each) for each in dict.fromkeys(addresses or (default_address(os.environ),))]
    if once or not (as_json or is_terminal()):
        figures = run(_once(asked, interval))
        say(_as_json(figures) if as_json else "\n".join(plain(figures)))
        if not figures.are_well:
            raise typer.Exit(NOT_ANSWERED)
        return
    run(_print(asked, interval) if as_json else _draw(asked, interval))


def default_address(environment: Mapping[str, str]) -> str:
    """Where metrics are told: a service that is exposed tells them on its admin port only."""
    port = environment.get(ADMIN_PORT_VARIABLE)
    if port:
        host = environment.get(ADMIN_HOST_VARIABLE) or "127.0.0.1"
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return environment.get(URL_VARIABLE) or DEFAULT_URL


class Watched:
    """Each address by itself: one that hangs keeps nobody waiting for the others."""

    def __init__(self, addresses: Sequence[str], http: aiohttp.ClientSession) -> None:
        self._http = http
        self._addresses = addresses
        self._seen: dict[str, Since] = {}

    @property
    def figures(self) -> Figures:
        """Of those that were heard, in the order in which they were named."""
        return figures_of({_shown(each): self._seen[each] for each in self._addresses if each in self._seen})

    async def look(self) -> None:
        """At all of them, once."""
        await asyncio.gather(*map(self._look_at, self._addresses))

    async def keep_looking(self, interval_s: float) -> None:
        """For ever."""

        async def keep(address: str) -> None:
            while True:
                began_s = time.monotonic()
                await self._look_at(address)
                await asyncio.sleep(max(0.0, interval_s - (time.monotonic() - began_s)))

        async with asyncio.TaskGroup() as tasks:
            for address in self._addresses:
                tasks.create_task(keep(address))

    async def _look_at(self, address: str) -> None:
        now, before = await _asked(self._http, address), self._seen.get(address)
        known = before is not None and before.now.values
        self._seen[address] = Since(before.now if before is not None and known else None, now)


async def _asked(http: aiohttp.ClientSession, address: str) -> Told:
    """What an address says now. Raises nothing: who is away is told as that."""
    values: Values = {}
    readiness: Mapping[str, Any] = {}
    trouble = None
    base = address.rstrip("/")
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            (status, text), (_, ready) = await asyncio.gather(
                _read(http, f"{base}/metrics"), _read(http, f"{base}/readyz")
            )
        with suppress(ValueError):
            found = json.loads(ready)
            readiness = found if isinstance(found, dict) else {}
        if status == 200:
            values = values_of(text)
        else:
            trouble = _REFUSED.get(status, f"it tells no metrics (HTTP {status})")
    except (aiohttp.ClientError, OSError, TimeoutError) as failure:
        trouble = f"no answer ({type(failure).__name__})"
    except ValueError:
        trouble = "what it tells at /metrics is no metrics of Prometheus"
    return Told(time.monotonic(), values, readiness, trouble)


_REFUSED: Final = {
    401: "it asks who asks: FANFOLD_TOKEN has a token or key with the right `system`",
    403: "who asks has no right `system` there",
    404: f"it tells no metrics here; a gateway does so on its admin port ({ADMIN_PORT_VARIABLE})",
}


async def _read(http: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    """Status and text. Raises aiohttp.ClientError, ValueError for what is too long or no text."""
    async with http.get(url, allow_redirects=False) as answer:
        body = await answer.content.read(ANSWER_BYTES_MAX)
        rest = b""
        while len(body) <= ANSWER_BYTES_MAX and (rest := await answer.content.read(ANSWER_BYTES_MAX)):
            body += rest
        if len(body) > ANSWER_BYTES_MAX:
            raise ValueError(url)
        return answer.status, body.decode()


def _shown(address: str) -> str:
    """Without what may be a password."""
    return address.partition("://")[2].rpartition("@")[2].rstrip("/")


def _session() -> aiohttp.ClientSession:
    headers = bearer(os.environ.get(TOKEN_VARIABLE, ""))
    return aiohttp.ClientSession(headers=headers, trust_env=False, cookie_jar=aiohttp.DummyCookieJar())


def _as_json(figures: Figures) -> str:
    return json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds")} | figures.document())


async def _once(addresses: Sequence[str], interval_s: float) -> Figures:
    async with _session() as http:
        watched = Watched(addresses, http)
        await watched.look()
        await asyncio.sleep(interval_s)
        await watched.look()
        return watched.figures


async def _print(addresses: Sequence[str], interval_s: float) -> None:
    async with _session() as http:
        watched = Watched(addresses, http)
        await watched.look()
        while True:
            await asyncio.sleep(interval_s)
            await watched.look()
            say_next(_as_json(watched.figures))


async def _draw(addresses: Sequence[str], interval_s: float) -> None:
    console = Console(highlight=False)
    async with _session() as http, asyncio.TaskGroup() as tasks:
        watched = Watched(addresses, http)
        tasks.create_task(watched.keep_looking(interval_s))

        def drawn() -> Text:
            lines = drawing(watched.figures, console.width, console.height)
            return Text("\n").join(Text(printable(line.text), style=line.look) for line in lines)

        with Live(console=console, get_renderable=drawn, auto_refresh=False, screen=True) as live:
            while True:
                live.refresh()
                await asyncio.sleep(min(interval_s, REDRAW_S))
