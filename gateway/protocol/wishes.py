"""What a client's message asks of the shell around its session: to be done there, and answered by the session's method of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fanfold.api.close_codes import CloseCode
from fanfold.api.frames.asked import Subscribe, Wanted
from gateway.protocol.pace import Pace
from gateway.protocol.prefixes.prefix_subscription import PrefixSubscription
from gateway.protocol.subscription import Subscription


class Watch(NamedTuple):
    """Wish: read these accounts' state, feed them from now on, then `acknowledge` (or `refuse`)."""

    id: int
    subscriptions: list[Subscription]
    wanted: list[Wanted]
    """What was asked of each."""
    transfers: bool
    pace: Pace | None = None
    prefix: PrefixSubscription | None = None
    """Where they were found with it."""


class WatchPrefix(NamedTuple):
    """Wish: look for this prefix in every row, list the accounts that there are, then take a `snapshot` (or `refuse_prefix`)."""

    prefix: PrefixSubscription


class Unwatch(NamedTuple):
    """Wish: forget these; they are closed already."""

    subscriptions: list[Subscription]
    prefixes: Sequence[PrefixSubscription] = ()


class Close(NamedTuple):
    """Wish: end the connection."""

    code: CloseCode


class SignIn(NamedTuple):
    """Wish: find out who has this token, then `admit` (or `refuse_sign_in`)."""

    id: int
    token: str


class Whose(NamedTuple):
    """Wish: find out whose these accounts are, then `ask` again with what is known (or `whose_is_not_known`)."""

    names: list[str]
    message: Subscribe


Wish = Watch | WatchPrefix | Unwatch | Close | SignIn | Whose
