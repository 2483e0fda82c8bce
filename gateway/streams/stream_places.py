"""How many streams one who asks may have open: sockets, event streams and reads that wait, each by address and by principal."""

from __future__ import annotations

from gateway.limits.counts import Counts
from gateway.limits.terms import Limits

TOO_MANY_OF_ADDRESS = (
    "This address has as many streams open as one may (FANFOLD_ADDRESS_STREAMS_MAX). Nothing was done."
)
TOO_MANY_OF_PRINCIPAL = (
    "Who asks has as many streams open as one may (FANFOLD_PRINCIPAL_STREAMS_MAX). Nothing was done, and those that are open go "
    "on. Close some, or watch more accounts over each."
)


class StreamPlaces:
    """Of one gateway."""

    def __init__(self, limits: Limits) -> None:
        self.addresses = Counts(limits.address_streams)
        self.principals = Counts(limits.principal_streams)

    def one(self) -> StreamPlace:
        return StreamPlace(self)


class StreamPlace:
    """Of one stream: taken by its address first, by its principal once it is known who that is, and left once."""

    __slots__ = ("_address", "_places", "_principal")

    def __init__(self, places: StreamPlaces) -> None:
        self._places = places
        self._address: str | None = None
        self._principal: str | None = None

    def refusal(self, address: str, principal: str | None) -> str | None:
        """Why there is no place for it; then nothing is held."""
        if not self._come(address):
            return TOO_MANY_OF_ADDRESS
        if principal is not None and not self.sign_in(principal):
            self.leave()
            return TOO_MANY_OF_PRINCIPAL
        return None

    def _come(self, address: str) -> bool:
        if self._places.addresses.take(address):
            self._address = address
            return True
        return False

    def sign_in(self, principal: str) -> bool:
        """Whether there is a place for this one. Who is there stays: a stream is one principal's. Of a stream that has left
        meanwhile nothing is held."""
        if self._address is None:
            return True
        if self._principal is None and self._places.principals.take(principal):
            self._principal = principal
        return self._principal is not None

    def leave(self) -> None:
        """Twice is once."""
        if self._address is not None:
            self._places.addresses.give_back(self._address)
        if self._principal is not None:
            self._places.principals.give_back(self._principal)
        self._address = self._principal = None
