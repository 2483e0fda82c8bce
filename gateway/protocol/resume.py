"""What a client of the event stream has, as one opaque word: the `id` of its events, which it comes back with (Last-Event-ID).

A socket's client keeps versions and histories itself; an EventSource keeps only the last id, so the id has them all (HTML Living
Standard, 9.2: server-sent events). It is no secret and nothing hangs on it: of a word that is malformed, or that is of another
question, nothing counts, and the state is told again.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence
from typing import Annotated

import msgspec

from fanfold.api.frames.asked import Wanted, WantedTopic
from fanfold.api.frames.members import HISTORY_CHARACTERS_MAX, NUMBER_MAX
from gateway.protocol.session import Session

_Number = Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]
_History = Annotated[str, msgspec.Meta(min_length=1, max_length=HISTORY_CHARACTERS_MAX)]


class _Has(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """of: which question it is of. histories: each once. accounts, topics: in the order of the question, the newest version or
    number that the client has and the index of its history; None for one of which it has nothing."""

    of: int
    histories: list[_History]
    accounts: list[tuple[_Number, _Number] | None]
    topics: list[tuple[_Number, _Number] | None]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Has).decode


class Question:
    """What one event stream tells of: these accounts and topics, in this order."""

    def __init__(self, accounts: Sequence[str], topics: Sequence[str]) -> None:
        self.accounts = accounts
        self.topics = topics
        self._of = zlib.crc32("\n".join((*accounts, "", *topics)).encode())

    def resumed(self, last: str) -> tuple[list[Wanted], list[WantedTopic]]:
        """What is to be subscribed by who comes back with this Last-Event-ID; "" for who comes for the first time."""
        has = self._read(last)
        accounts, topics = [Wanted(name) for name in self.accounts], [WantedTopic(name) for name in self.topics]
        if has is not None:
            for at, held in enumerate(has.accounts):
                if held is not None:
                    accounts[at] = Wanted(self.accounts[at], held[0], has.histories[held[1]])
            for at, held in enumerate(has.topics):
                if held is not None:
                    topics[at] = WantedTopic(self.topics[at], held[0], has.histories[held[1]])
        return accounts, topics

    def id_of(self, session: Session, histories: Sequence[str | None]) -> str:
        """The id of what this session's client has been sent. histories: of the accounts, each of its partition's log, None where
        it is not known: such a version could not be compared later."""
        numbers: dict[str, int] = {}

        def held(newest: int, history: str | None) -> tuple[int, int] | None:
            return None if history is None or newest < 0 else (newest, numbers.setdefault(history, len(numbers)))

        accounts = [
            held(each.has, history) if (each := session.by_account.get(name)) is not None else None
            for name, history in zip(self.accounts, histories, strict=True)
        ]
        topics = [
            held(topic.sent, topic.history) if (topic := session.topics.get(name)) is not None else None
            for name in self.topics
        ]
        return base64.urlsafe_b64encode(_encode(_Has(self._of, list(numbers), accounts, topics))).decode()

    def _read(self, last: str) -> _Has | None:
        try:
            has = _decode(base64.b64decode(last.encode("ascii"), b"-_", validate=True))
        except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
            return None
        sizes = len(has.accounts), len(has.topics)
        held = [each for each in (*has.accounts, *has.topics) if each is not None]
        if has.of != self._of or sizes != (len(self.accounts), len(self.topics)):
            return None
        return has if all(number < len(has.histories) for _, number in held) else None
