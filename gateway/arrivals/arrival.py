"""One request or stream from when its head is there: where it comes from, by what name it is found, what is found out of it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from gateway.arrivals.forwarded import Address, Headers, TrustedProxies
from gateway.arrivals.trace import Trace, trace_of

SCOPE: Final = "fanfold.arrival"
"""In an ASGI scope: its `Arrival`. Not in those of the gateway's own questions."""


class Arrival:
    """client, scheme: of who asks, proxies looked through. principal: None while nobody is known. upstream_s: seconds until a
    side had answered, None where none was asked; of several the sum."""

    __slots__ = ("began_s", "client", "principal", "scheme", "trace", "upstream_s")

    def __init__(self, client: Address | None, scheme: str, trace: Trace, began_s: float) -> None:
        self.client = client
        self.scheme = scheme
        self.trace = trace
        self.began_s = began_s
        self.principal: str | None = None
        self.upstream_s: float | None = None

    def took(self, seconds: float) -> None:
        """A side has answered, or will not."""
        self.upstream_s = seconds + (self.upstream_s or 0.0)


class Arrivals:
    """Of one gateway. bits: as of `trace_of`."""

    def __init__(
        self,
        proxies: TrustedProxies | None = None,
        bits: Callable[[int], int] = random.getrandbits,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._proxies = proxies or TrustedProxies()
        self._bits = bits
        self.clock = clock

    def of(self, peer: Address | None, scheme: str, headers: Headers) -> Arrival:
        """peer, scheme: of the connection. headers: names in lower case. Never raises."""
        client, scheme = self._proxies.origin(peer, scheme, headers)
        return Arrival(client, scheme, trace_of(headers, self._bits), self.clock())


def request_id_of(scope: Mapping[str, Any]) -> str:
    """For what is logged of a request that failed; `-` of one that did not come through the public door."""
    arrival: Arrival | None = scope.get(SCOPE)
    return "-" if arrival is None else arrival.trace.request_id.decode()
