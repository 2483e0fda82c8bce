"""What comes through the door: requests with an Idempotency-Key, written now in this way and now in that, are one request."""

from __future__ import annotations

import random
import uuid

from fanfold.api.body_checks import transfer_body
from tests.simulation.auditor import Line, Violation
from tests.unit.write_side.ledger.wallet_model import Outcome
from write_side.doors.asked_commands import command_of
from write_side.ledger.commands.commands import OpenAccount, Transfer

OTHERWISE_WRITTEN = "USD/02"
"""An asset that there is in another spelling."""
_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:fanfold:idempotency-key")
"""Published: the id of a key is UUIDv5 of it and the principal, or the UUID that the key is."""


class Door:
    """The keys of a story."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._keys: dict[bytes, str] = {}
        self._others: set[bytes] = set()

    def id_of_new_key(self) -> bytes:
        """The id of a request that has a key instead of one."""
        if self._chance.random() < 0.5:
            key = str(uuid.UUID(bytes=self._chance.randbytes(16), version=4))
            id16 = uuid.UUID(key).bytes
        else:
            key = f"order {len(self._keys)}"
            id16 = uuid.uuid5(_SPACE, f"anonymous\n{key}").bytes
        self._keys[id16] = key
        return id16

    def read(self, command: Transfer) -> Transfer:
        """What the door reads of this request: the key is written differently each time."""
        key = self._keys.get(command.id)
        if key is None:
            return command
        if key.count("-") == 4:
            bare = key.replace("-", "")
            key = self._chance.choice((key, key, key.upper(), bare, f"urn:uuid:{key}", f"{{{key}}}", f"{{{bare}}}"))
        key = self._chance.choice((key, key, f"{key} ", f"\t{key}"))
        body = {"from": command.debit, "to": command.credit, "amount": str(command.amount), "asset": command.asset}
        read = command_of(transfer_body(body, key)[0])
        assert isinstance(read, Transfer)
        if read.id != command.id:
            self._others.add(read.id)
        return read

    def told(self, line: Line, outcome: Outcome) -> None:
        """One of the auditor's rules."""
        if isinstance(line, Transfer) and line.id in self._others and outcome.entries:
            raise Violation(f"a request whose key was written otherwise ran as another: {line}")
        if isinstance(line, OpenAccount) and line.asset == OTHERWISE_WRITTEN and outcome.word != "exists":
            raise Violation("an asset has two spellings")
