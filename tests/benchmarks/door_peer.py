"""What `bench door` is compared with, a process of its own: a bare asyncio protocol that answers every frame with as many bytes
as the service does, and does nothing for it.

`python -m tests.benchmarks.door_peer SUBMIT_BYTES ANSWER_BYTES`; prints its address.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import uvloop

from gateway.protocol.outbox import text_frame
from tests.benchmarks.door_client import ANSWER, DONE


class Peer(asyncio.Protocol):
    def __init__(self, submit_bytes: int, answer: bytes) -> None:
        self._submit_bytes = submit_bytes
        self._answer = answer
        self._pending = 0
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._upgraded:
            self._upgraded = True
            self._transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            return
        frames, self._pending = divmod(self._pending + len(data), self._submit_bytes)
        if frames:
            self._transport.write(self._answer * frames)


async def main(submit_bytes: int, answer_bytes: int) -> None:
    head = ANSWER + b"," + DONE
    answer = text_frame(head + b"x" * (answer_bytes - len(head) - 4))
    server = await asyncio.get_running_loop().create_server(lambda: Peer(submit_bytes, answer), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
