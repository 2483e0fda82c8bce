"""Sockets in the quotas of requests: a handshake is a request of its principal or address, and a token that is not accepted
counts for its address, by whichever door it came."""

from __future__ import annotations

from typing import Final

from gateway.proxy.rated import RequestRates
from gateway.streams.handshake import Refusal

OPENED_NOT: Final = (
    "No stream was opened. Connect again after as many seconds as Retry-After says; streams that are open go on."
)


class StreamRates:
    """requests: of principals, or of addresses where nobody is asked; strangers: of addresses whose tokens are refused. None: any
    number."""

    def __init__(self, requests: RequestRates | None = None, strangers: RequestRates | None = None) -> None:
        self._requests = requests
        self._strangers = strangers

    def refusal(self, key: str) -> Refusal | None:
        """Of a handshake, which is one of the requests of its principal or address."""
        return _refused(self._requests, key)

    def signed_in(self, principal: str) -> None:
        """By a message. It was verified, and may use up the quota but is not refused for it."""
        if self._requests is not None:
            self._requests.owe(principal, 1)

    def refused(self, address: str) -> None:
        """A token that was not accepted."""
        if self._strangers is not None:
            self._strangers.owe(address, 1)

    def refusal_of_stranger(self, address: str) -> Refusal | None:
        """Of an address that is not listened to for what would have to be verified first."""
        if self._strangers is None or not self._strangers.is_used_up(address):
            return None
        return _refused(self._strangers, address)


def _refused(rates: RequestRates | None, key: str) -> Refusal | None:
    wait_s = 0 if rates is None else rates.wait_s(key)
    return Refusal("rate_limited", OPENED_NOT, wait_s) if wait_s else None
