"""Which command a single request is, read as the write side reads it; and the name by which is asked what became of it."""

from __future__ import annotations

from fanfold.api import routes
from fanfold.api.answer_headers import PRINCIPAL
from fanfold.api.body_checks import PRINCIPAL as NOBODY
from fanfold.api.body_checks import body_about, hold_body, open_body, plain_transfer, transfer_body
from fanfold.api.malformed import Malformed
from fanfold.api.requests import Capture, Change, Command, Open, Reverse, Void
from fanfold.api.strict_json import parse_object
from gateway.identity.requests_allowed import Asked, asked_of
from gateway.proxy.asgi import Scope
from write_side.contract.words.atoms import parse_account


def named(command: Open | Command) -> dict[str, str]:
    """As problem documents have it."""
    return {"account": str(command.account)} if isinstance(command, Open) else {"id": str(command.id)}


def command_of(asked: Asked, body: bytes, key: str | None, principal: str) -> Open | Command:
    """The command of a single request, read as the write side reads it. Raises Malformed."""
    route, named = asked.route, asked.named
    if route is routes.TRANSFER and key is None and (plain := plain_transfer(body)) is not None:
        return plain
    if route in (routes.OPEN_ACCOUNT, routes.CHANGE_ACCOUNT):
        named = parse_account(named)
    members = parse_object(body)
    if route is routes.OPEN_ACCOUNT:
        return open_body(named, members)
    if route is routes.TRANSFER:
        return transfer_body(members, key, principal)[0]
    if route is routes.HOLD:
        return hold_body(members, key, principal)[0]
    found: Command = body_about(_KINDS[route.operation], named, members, key, principal)[0]
    return found


_KINDS = {
    routes.CHANGE_ACCOUNT.operation: Change,
    routes.CAPTURE.operation: Capture,
    routes.VOID.operation: Void,
    routes.REVERSE.operation: Reverse,
}


def named_by(scope: Scope, body: bytes) -> dict[str, str]:
    """`id` or `account` of the command that a request to the write side is; nothing of a batch, whose lines have ids of their
    own, and of what is no command."""
    asked = asked_of(scope["method"], scope["path"])
    if asked is None or asked.route is routes.BATCH:
        return {}
    keys = [value.decode("latin-1") for name, value in scope["headers"] if name == b"idempotency-key"]
    principal = scope[PRINCIPAL].decode() if PRINCIPAL in scope else NOBODY
    try:
        return named(command_of(asked, body, keys[0] if keys else None, principal))
    except (Malformed, ValueError, LookupError):  # the write side says what is wrong with it, if it is there
        return {}
