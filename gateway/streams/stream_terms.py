"""What every stream of a gateway is held to."""

from __future__ import annotations

from typing import NamedTuple

from fanfold.api.frames.asked import ACCOUNTS_PER_MESSAGE_MAX, TOPICS_PER_MESSAGE_MAX
from fanfold.api.frames.connection import StreamLimits
from fanfold.api.requests import BATCH_LINES_MAX
from gateway.protocol.lifetime import Limits
from gateway.protocol.prefixes.prefix_subscription import PrefixWatchers


class StreamTerms(NamedTuple):
    """`gateway/settings.py` says what each means."""

    connections_max: int
    subscriptions_max: int
    message_bytes_max: int
    buffer_bytes: int
    ping_ms: int
    pong_ms: int
    close_ms: int
    origins: frozenset[str]
    drain_ms: int = 0
    submit_bytes_max: int = 0
    messages_a_second: int = 0
    """0: as many as come."""
    prefix_watchers: PrefixWatchers = "all"

    def limits(self, takes_commands: bool) -> StreamLimits:
        """As a client is told them."""
        submits = (BATCH_LINES_MAX, self.submit_bytes_max) if takes_commands else (None, None)
        accounts, topics = ACCOUNTS_PER_MESSAGE_MAX, TOPICS_PER_MESSAGE_MAX
        return Limits(self.subscriptions_max, accounts, topics, self.message_bytes_max, *submits)
