"""The admin port of a gateway: metrics, all of readiness, and the drain, for whoever runs it."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack

import structlog

from deploy.allowed_hosts import AllowedHosts
from deploy.exposed import is_reached_from_elsewhere, refuse_if_exposed
from deploy.serving import Beside, listen
from deploy.settings import ProcessSettings
from gateway.settings import GatewaySettings
from gateway.wiring import Gateway

_log = structlog.get_logger(__name__)


def admin_socket(stack: AsyncExitStack, process: ProcessSettings, settings: GatewaySettings) -> socket.socket | None:
    """Bound as the settings say, closed by `stack`; None where there is none. Raises CannotListen, ValueError."""
    if process.admin_port is None:
        return None
    bound = stack.enter_context(listen(process.admin_host, process.admin_port))
    refuse_if_exposed(bound, settings)
    return bound


def admin_beside(gateway: Gateway, bound: socket.socket | None, process: ProcessSettings) -> Beside | None:
    """The gateway's door for it."""
    if bound is None:
        return None
    door = gateway.admin_door(is_reached_from_elsewhere=is_reached_from_elsewhere(bound))
    address, port, *_ = bound.getsockname()
    _log.info("admin_port", address=address, port=port)
    return Beside(door, bound, AllowedHosts(process.admin_host, process.allowed_hosts))
