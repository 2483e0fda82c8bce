"""What is kept of webhooks: each, its secrets, its places and its dead letters. Commands write it beside who delivers.

Every method is one transaction of the file. Of the places that are stored the newest stays: what was acknowledged behind it is
delivered again at worst. Raises HooksUnavailable, NoHook.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from read_side.webhooks.batches import Batch
from read_side.webhooks.database import HooksFile
from read_side.webhooks.delivery import Lane, resumed
from read_side.webhooks.hooks import HOOKS_MAX, Hook, Wants
from read_side.whole_log.event_place import LAST, Place

SECRETS_MAX: Final = 4
"""Of one webhook that are valid at a time: each signs every delivery."""
_HOOK: Final = "id, url, account, prefix, private, exhausted, attempts, hours, begin_at_us, paused, generation"


class NoHook(ValueError):
    """There is no such webhook or letter, or no room for one more."""


class Dead(NamedTuple):
    """A delivery that was given up. due: a person wants it tried again."""

    number: int
    partition: int
    message_id: str
    changes: int
    error: str
    at_us: int
    due: int


class Stored(NamedTuple):
    """A lane as it is to be stored. pause: why its webhook is paused with it."""

    hook: Hook
    partition: int
    lane: Lane
    pause: str | None = None


class KeptHooks(HooksFile):
    # -- what commands do ---------------------------------------------------------------------------------------------

    def add(self, hook: Hook, now_us: int, begins: Mapping[int, int] | None = None) -> None:
        """begins: by partition the block that is told first, where it is not by time."""
        with self._transaction() as db:
            if db.execute("SELECT count(*) FROM hook").fetchone()[0] >= HOOKS_MAX:
                raise NoHook(f"there are {HOOKS_MAX} webhooks, which is as many as one process delivers to")
            values = (*hook[:2], *hook.wants, *hook[3:10])
            db.execute(f"INSERT INTO hook ({_HOOK}) VALUES ({', '.join('?' * len(values))})", values)
            db.executemany(
                "INSERT INTO secret VALUES (?, ?, ?, NULL)", [(hook.id, each, now_us) for each in hook.secrets]
            )
            self._place(hook.id, begins or {})

    def remove(self, hook_id: str) -> None:
        with self._transaction() as db:
            self._require(hook_id)
            db.execute("DELETE FROM hook WHERE id = ?", (hook_id,))
            for table in ("secret", "lane", "dead"):
                db.execute(f"DELETE FROM {table} WHERE hook = ?", (hook_id,))

    def pause(self, hook_id: str, reason: str) -> None:
        with self._transaction() as db:
            self._require(hook_id)
            db.execute("UPDATE hook SET paused = ? WHERE id = ?", (reason, hook_id))

    def resume(self, hook_id: str) -> None:
        """What failed is tried at once."""
        with self._transaction() as db:
            self._require(hook_id)
            db.execute("UPDATE hook SET paused = NULL, generation = generation + 1 WHERE id = ?", (hook_id,))
            for partition, lane in self._lanes(hook_id).items():
                self._store(hook_id, partition, resumed(lane))

    def replay(self, hook_id: str, begins: Mapping[int, int] | None, begin_at_us: int) -> None:
        """Deliver again from these blocks on, the others as before; None: every partition from that time on."""
        with self._transaction() as db:
            self._require(hook_id)
            db.execute("UPDATE hook SET generation = generation + 1 WHERE id = ?", (hook_id,))
            if begins is None:
                db.execute("DELETE FROM lane WHERE hook = ?", (hook_id,))
                db.execute("UPDATE hook SET begin_at_us = ? WHERE id = ?", (begin_at_us, hook_id))
            else:
                self._place(hook_id, begins)

    def rotate(self, hook_id: str, secret: str, now_us: int, old_until_us: int) -> None:
        """A new secret; those of before sign until then, too."""
        with self._transaction() as db:
            self._require(hook_id)
            if len(self._secrets(hook_id, now_us)) >= SECRETS_MAX:
                raise NoHook(f"{SECRETS_MAX} secrets of it are valid now: --keep-hours 0 ends the old ones at once")
            db.execute(
                "UPDATE secret SET until_us = ?1 WHERE hook = ?2 AND (until_us IS NULL OR until_us > ?1)",
                (old_until_us, hook_id),
            )
            db.execute("DELETE FROM secret WHERE until_us <= ?", (now_us,))
            db.execute("INSERT INTO secret VALUES (?, ?, ?, NULL)", (hook_id, secret, now_us))

    def retry(self, hook_id: str, number: int | None) -> int:
        """Have one letter, or all, tried again; how many."""
        with self._transaction() as db:
            self._require(hook_id)
            asked = "UPDATE dead SET due = 1 WHERE hook = ?1 AND (?2 IS NULL OR number = ?2)"
            count = db.execute(asked, (hook_id, number)).rowcount
            if number is not None and not count:
                raise NoHook(f"{hook_id} has no dead letter {number}")
            return count

    def discard(self, hook_id: str, number: int) -> None:
        """A letter that nobody wants any more."""
        with self._transaction() as db:
            if not db.execute("DELETE FROM dead WHERE hook = ? AND number = ?", (hook_id, number)).rowcount:
                raise NoHook(f"{hook_id} has no dead letter {number}")

    # -- what is read -------------------------------------------------------------------------------------------------

    def hooks(self, now_us: int) -> list[Hook]:
        with self._transaction(writing=False) as db:
            rows = db.execute(f"SELECT {_HOOK} FROM hook ORDER BY rowid").fetchall()
            return [_hook(row, self._secrets(row[0], now_us)) for row in rows]

    def lanes(self, hook_id: str) -> dict[int, Lane]:
        with self._transaction(writing=False):
            return self._lanes(hook_id)

    def dead(self, hook_id: str) -> list[Dead]:
        """The first ones first."""
        with self._transaction(writing=False) as db:
            asked = "SELECT number, partition, message_id, changes, error, at_us, due FROM dead WHERE hook = ? ORDER BY number"
            return [Dead(*row) for row in db.execute(asked, (hook_id,))]

    def counted(self, hook_id: str) -> tuple[int, int]:
        """How many letters, and how many of them are due."""
        with self._transaction(writing=False) as db:
            asked = "SELECT count(*), coalesce(sum(due), 0) FROM dead WHERE hook = ?"
            count, due = db.execute(asked, (hook_id,)).fetchone()
            return int(count), int(due)

    def heads(self) -> dict[int, int]:
        """By partition the last block that was there when somebody who delivers looked."""
        with self._transaction(writing=False) as db:
            return dict(db.execute("SELECT partition, sequence FROM head"))

    # -- what the process does that delivers --------------------------------------------------------------------------

    def store(self, several: Sequence[Stored]) -> list[bool]:
        """Whether each was stored: not where its webhook was removed or replayed meanwhile."""
        with self._transaction():
            return [self._store_current(*each) for each in several]

    def _store_current(self, hook: Hook, partition: int, lane: Lane, pause: str | None) -> bool:
        if not self._is_current(hook):
            return False
        self._store(hook.id, partition, lane)
        if pause is not None:
            self._db.execute("UPDATE hook SET paused = ? WHERE id = ? AND paused IS NULL", (pause, hook.id))
        return True

    def bury(self, hook: Hook, partition: int, lane: Lane, batch: Batch, error: str, now_us: int) -> bool:
        """A dead letter, and the lane behind it, together; whether they were stored."""
        with self._transaction() as db:
            if not self._is_current(hook):
                return False
            db.execute(
                "INSERT INTO dead (hook, partition, message_id, changes, body, error, at_us, due) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                (hook.id, partition, batch.message_id, batch.changes, batch.body, error, now_us),
            )
            self._store(hook.id, partition, lane)
            return True

    def next_due(self, hook_id: str) -> tuple[int, str, bytes] | None:
        """Number, message id and body of the first letter that is to be tried again."""
        with self._transaction(writing=False) as db:
            asked = "SELECT number, message_id, body FROM dead WHERE hook = ? AND due = 1 ORDER BY number LIMIT 1"
            found = db.execute(asked, (hook_id,)).fetchone()
            return None if found is None else cast(tuple[int, str, bytes], found)

    def tried(self, number: int, error: str | None) -> None:
        """A letter was taken (None), or is dead again."""
        with self._transaction() as db:
            if error is None:
                db.execute("DELETE FROM dead WHERE number = ?", (number,))
            else:
                db.execute("UPDATE dead SET due = 0, error = ? WHERE number = ?", (error, number))

    def store_heads(self, heads: Mapping[int, int]) -> None:
        with self._transaction() as db:
            db.executemany("INSERT OR REPLACE INTO head VALUES (?, ?)", list(heads.items()))

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _require(self, hook_id: str) -> None:
        if self._db.execute("SELECT 1 FROM hook WHERE id = ?", (hook_id,)).fetchone() is None:
            raise NoHook(f"there is no webhook {hook_id}: `fanfold webhook list` has them")

    def _is_current(self, hook: Hook) -> bool:
        asked = "SELECT 1 FROM hook WHERE id = ? AND generation = ?"
        return self._db.execute(asked, (hook.id, hook.generation)).fetchone() is not None

    def _secrets(self, hook_id: str, now_us: int) -> tuple[str, ...]:
        asked = "SELECT secret FROM secret WHERE hook = ? AND (until_us IS NULL OR until_us > ?) ORDER BY rowid DESC"
        return tuple(secret for (secret,) in self._db.execute(asked, (hook_id, now_us)))

    def _lanes(self, hook_id: str) -> dict[int, Lane]:
        rows = self._db.execute("SELECT partition, lane FROM lane WHERE hook = ? ORDER BY partition", (hook_id,))
        return {partition: _lane(json.loads(text)) for partition, text in rows.fetchall()}

    def _store(self, hook_id: str, partition: int, lane: Lane) -> None:
        told = json.dumps({**vars(lane), "block_hash": lane.block_hash.hex()})
        self._db.execute("INSERT OR REPLACE INTO lane VALUES (?, ?, ?)", (hook_id, partition, told))

    def _place(self, hook_id: str, begins: Mapping[int, int]) -> None:
        for partition, sequence in begins.items():
            self._store(hook_id, partition, Lane(Place(sequence - 1, LAST, LAST)))


def _hook(row: Sequence[Any], secrets: tuple[str, ...]) -> Hook:
    names = (name.strip() for name in _HOOK.split(","))
    told = dict(zip(names, row, strict=True))
    wants = Wants(told.pop("account"), told.pop("prefix"))
    return Hook(wants=wants, private=bool(told.pop("private")), secrets=secrets, **told)


def _lane(told: dict[str, Any]) -> Lane:
    place, until = Place(*told["place"]), told["until"]
    rest = {"block_hash": bytes.fromhex(told["block_hash"]), "until": None if until is None else Place(*until)}
    return Lane(**{**told, "place": place, **rest})
