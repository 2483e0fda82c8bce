"""The clients of `bench door`, a process of their own: `python -m tests.benchmarks.door_client ADDRESS CLIENTS IN_FLIGHT ACCOUNTS
ZIPF TRANSFERS SEED PARTITIONS`.

Each has one WebSocket, and single transfers in flight over it: as many submits of one command each, another for every answer.
Everything that can be made before is: it shares the cores with what it measures. Says `ready`, waits for a line, runs, and prints
what it saw as JSON. Ids are UUIDv7, as a careful client makes them.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
import uuid
from collections import deque
from functools import partial
from typing import cast
from urllib.parse import urlsplit

import numpy as np
import uvloop
from websockets.frames import Frame, Opcode

from write_side.contract.words.atoms import partition_of

USD = "USD/2"
FIRST_ID = 1_000_000
"""So that every submit is as long as every other one."""
ANSWER = b'{"op":"answers"'
DONE = b'"answers":[{"status":201,'


def account(number: int) -> str:
    return f"account-{number:07d}"


def pairs(
    accounts: int, zipf: float, count: int, seed: int, partitions: int = 1
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Debit and credit of each, two different accounts of one partition; account n with a weight of n^-zipf. int64[count, 2]."""
    chance = np.random.default_rng(seed)
    weights = np.arange(1, accounts + 1, dtype=np.float64) ** -zipf
    found = chance.choice(accounts, size=(count, 2), p=weights / weights.sum())
    home = np.array([partition_of(account(number), partitions) for number in range(accounts)])
    while (apart := (found[:, 0] == found[:, 1]) | (home[found[:, 0]] != home[found[:, 1]])).any():
        found[apart, 1] = (found[apart, 1] + 1) % accounts
    return found


def submits(drawn: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> list[bytes]:
    """One masked frame a transfer."""
    made = []
    for n, (debit, credit) in enumerate(drawn.tolist()):
        raw = bytearray((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10))
        raw[6], raw[8] = 0x70 | raw[6] & 0x0F, 0x80 | raw[8] & 0x3F
        text = (
            f'{{"op":"submit","id":{FIRST_ID + n},"commands":[{{"id":"{uuid.UUID(bytes=bytes(raw))}","from":"{account(debit)}",'
            f'"to":"{account(credit)}","amount":"1","asset":"{USD}"}}]}}'
        )
        made.append(Frame(Opcode.TEXT, text.encode()).serialize(mask=True))
    return made


class Client(asyncio.Protocol):
    """One socket. waits: milliseconds of answers and how many had them; answer_bytes: of an answer, as frames."""

    def __init__(self, host: str, frames: list[bytes], in_flight: int) -> None:
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waits: list[tuple[float, int]] = []
        self.answer_bytes = 0
        self.submit_bytes = len(frames[0])
        self._host = host
        self._frames = frames
        self._in_flight = in_flight
        self._sent = self._answered = 0
        self._asked: deque[list[float]] = deque()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        head = f"GET /v1/stream HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self._transport.write(
            f"{head}Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def begin(self) -> None:
        self._send(self._in_flight)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        if not self.connected.done():
            head, end, data = data.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101"), head
            assert end
            self.connected.set_result(None)
        at, size, answers = 0, len(data), 0
        while at + 4 <= size:
            length, begin = data[at + 1], at + 2
            if length == 126:
                length, begin = data[at + 2] << 8 | data[at + 3], at + 4
            if begin + length > size:
                break
            if data.startswith(ANSWER, begin):
                assert data.find(DONE, begin, begin + 64) > 0, data[begin : begin + length]
                answers += 1
            at = begin + length
        if answers:
            self.answer_bytes = at // answers
            self._take(answers)
        self._buffer = data[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.finished.done():
            self.finished.set_exception(ConnectionError("the service has closed the stream"))

    def _take(self, answers: int) -> None:
        now = time.perf_counter()
        self._answered += answers
        left = answers
        while left:
            asked = self._asked[0]
            some = min(left, int(asked[1]))
            self.waits.append(((now - asked[0]) * 1000, some))
            asked[1] -= some
            left -= some
            if not asked[1]:
                self._asked.popleft()
        self._send(answers)
        if self._answered == len(self._frames) and not self.finished.done():
            self.finished.set_result(None)

    def _send(self, count: int) -> None:
        frames = self._frames[self._sent : self._sent + count]
        if frames:
            self._sent += len(frames)
            self._asked.append([time.perf_counter(), len(frames)])
            self._transport.write(b"".join(frames))


def _itself(client: Client) -> Client:
    return client


async def main(
    address: str, clients: int, in_flight: int, accounts: int, zipf: float, transfers: int, seed: int, partitions: int
) -> None:
    place = urlsplit(address)
    host, port = place.hostname or "", place.port or 0
    share = max(1, transfers // clients)
    drawn = pairs(accounts, zipf, share * clients, seed, partitions)
    loop, asking = asyncio.get_running_loop(), list[Client]()
    for n in range(clients):
        frames = submits(drawn[n * share : (n + 1) * share])
        client = Client(place.netloc, frames, in_flight)
        await loop.create_connection(partial(_itself, client), host, port)
        asking.append(client)
    await asyncio.gather(*(client.connected for client in asking))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    used, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for client in asking:
        client.begin()
    await asyncio.gather(*(client.finished for client in asking))
    took_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    waits = [wait for client in asking for wait in client.waits]
    told = {
        "took_s": took_s,
        "transfers": share * clients,
        "cpu_s": after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime,
        "waits_ms": [ms for ms, _ in waits],
        "counts": [count for _, count in waits],
        "submit_bytes": asking[0].submit_bytes,
        "answer_bytes": asking[0].answer_bytes,
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    at, clients, in_flight, accounts, zipf, transfers, seed, partitions = sys.argv[1:]
    uvloop.run(
        main(at, int(clients), int(in_flight), int(accounts), float(zipf), int(transfers), int(seed), int(partitions))
    )
