"""Whether a door that asks nobody who asks can be reached from elsewhere: then it is not opened."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from gateway.settings import GatewaySettings


def refuse_if_exposed(bound: socket.socket, settings: GatewaySettings) -> None:
    """bound: what the gateway listens on, as it is bound and not as it was named. Raises ValueError."""
    address = bound.getsockname()[0]
    if settings.auth == "off" and is_reached_from_elsewhere(bound):
        raise ValueError(
            f"{address} can be reached from other machines, and FANFOLD_AUTH is off, so anybody there could move money. "
            "Nothing was started, and no money is affected. Listen on 127.0.0.1 (FANFOLD_HOST, FANFOLD_ADMIN_HOST), or set "
            "FANFOLD_AUTH=tokens and say who is let in: gateway/identity/README.md."
        )


def is_reached_from_elsewhere(bound: socket.socket) -> bool:
    """Whether other machines may reach what listens there."""
    return not ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback
