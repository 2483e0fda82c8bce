"""What lies between a client and a server: a TCP relay on loopback that hangs, drips, cuts an answer short or a request off."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.servers import LOOPBACK

READ_BYTES = 1 << 16
DRIP_S = 0.02


class Relay:
    """To the server at `port`; None: to nobody, so that it hangs. Every setting counts for what comes after it.

    answered_bytes: so much of what the server says arrives on each connection, then it is cut.
    refused: a connection is cut when its client says this.  unanswered: it hears nothing any more when it says this.
    dripping: the server's bytes arrive one after the other.
    """

    def __init__(self, to_port: int | None) -> None:
        self.hanging = to_port is None
        self.answered_bytes: int | None = None
        self.refused: bytes | None = None
        self.unanswered: bytes | None = None
        self.unanswered_connections = 0
        self.dripping = False
        self.connections = 0
        self._to_port = to_port
        self._open: list[socket.socket] = []
        self._listening = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Nobody listens any more, and open connections are cut."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def cut(self) -> None:
        """Open connections are cut; new ones find what is set."""
        connections, self._open = self._open, []
        for each in connections:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(client)
            if self.hanging or self._to_port is None:
                continue
            server = socket.create_connection((LOOPBACK, self._to_port))
            self._open.append(server)
            for pass_on in (self._requests, self._answers):
                threading.Thread(target=self._until_cut, args=(pass_on, client, server), daemon=True).start()

    def _until_cut(self, pass_on: object, client: socket.socket, server: socket.socket) -> None:
        assert callable(pass_on)
        with suppress(OSError):
            pass_on(client, server)
        for each in (client, server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        while data := client.recv(READ_BYTES):
            if self.refused is not None and self.refused in data:
                return
            if self.unanswered is not None and self.unanswered in data:
                self.unanswered_connections += 1
                while client.recv(READ_BYTES):
                    pass
                return
            server.sendall(data)

    def _answers(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        while data := server.recv(READ_BYTES):
            if self.answered_bytes is not None and passed + len(data) > self.answered_bytes:
                client.sendall(data[: self.answered_bytes - passed])
                return
            passed += len(data)
            for piece in (data[i : i + 1] for i in range(len(data))) if self.dripping else (data,):
                client.sendall(piece)
                if self.dripping:
                    time.sleep(DRIP_S)


@contextmanager
def relay(to_port: int | None) -> Iterator[Relay]:
    between = Relay(to_port)
    try:
        yield between
    finally:
        between.close()
