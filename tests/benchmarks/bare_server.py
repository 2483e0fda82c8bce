"""What `bench gets` compares with: `python -m tests.benchmarks.bare_server BODY` answers every request with that, as JSON, over
the server that every door has. Prints its address."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from deploy import serving
from deploy.allowed_hosts import AllowedHosts

LOOPBACK = "127.0.0.1"


async def _main(body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def for_ever() -> None:
        await asyncio.Event().wait()

    bound = serving.listen(LOOPBACK, 0)
    address = f"http://{LOOPBACK}:{bound.getsockname()[1]}"
    await serving.serve(
        app, bound, work=[for_ever], on_started=lambda: print(address, flush=True), hosts=AllowedHosts(LOOPBACK)
    )


if __name__ == "__main__":
    serving.run(_main(sys.argv[1].encode()))
