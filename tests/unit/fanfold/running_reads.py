"""A read side in memory, with its history, on a real port: for what the client and its commands ask of the past."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.responses import JSONResponse

from fanfold.api.problems import problem_document
from tests.unit.read_side.doors.test_http_api import Side

START_SECONDS_MAX = 60.0


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[uvicorn.Server], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self._on_started(self)


class RunningReads:
    """`fail_after`: so many requests are answered, and all others 503; None: all are answered."""

    def __init__(self, folder: Path, partitions: int = 1, projects: Sequence[int] | None = None) -> None:
        self.url = ""
        self.requests = 0
        self.fail_after: int | None = None
        self.side = Side(partitions, projects, archive=folder)
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._server: uvicorn.Server | None = None
        self._app: Any = None

    def do(self, make: Callable[[Side], Coroutine[Any, Any, Any]]) -> None:
        """Something with the side, where it runs."""
        asyncio.run_coroutine_threadsafe(make(self.side), self._loop).result(START_SECONDS_MAX)

    def run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        await self.side.writers[0].epoch()
        await self.side.start()
        await self.side.keep()
        self._app = self.side.app()
        config = uvicorn.Config(
            self._answer, host="127.0.0.1", port=0, log_level="critical", lifespan="off", interface="asgi3"
        )
        self._server = _Server(config, self._on_started)
        await self._server.serve()
        await self.side.stop()

    def _on_started(self, server: uvicorn.Server) -> None:
        self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        self._started.set()

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        self.requests += 1
        if self.fail_after is not None and self.requests > self.fail_after:
            await JSONResponse(problem_document("overloaded"), 503)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    @contextmanager
    def running(self) -> Iterator[RunningReads]:
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        assert self._started.wait(START_SECONDS_MAX), "the read side did not start"
        try:
            yield self
        finally:
            assert self._server is not None
            self._server.should_exit = True
            thread.join(START_SECONDS_MAX)
