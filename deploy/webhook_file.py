"""The file of the webhooks, as commands change and read it, beside the process that delivers from it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_bytes, token_hex
from time import monotonic, sleep, time_ns
from typing import Any, Final

from read_side.settings import ReadSettings
from read_side.webhooks.addresses import check_url
from read_side.webhooks.alone import lock_of
from read_side.webhooks.batches import probe
from read_side.webhooks.delivery import Answer
from read_side.webhooks.hooks import Exhausted, Hook, wants_of
from read_side.webhooks.kept_hooks import Dead, KeptHooks, NoHook
from read_side.webhooks.lane import sent
from read_side.webhooks.sender import Sender
from read_side.webhooks.signing import new_secret
from write_side.contract.words.position import format_positions
from write_side.contract.words.times import format_time
from write_side.settings import WriteSettings

LOOK_S: Final = 0.1
CLOCKS_US: Final = 60_000_000
"""By which the clock of who types may be ahead of another one."""

Begin = Mapping[int, int] | int
"""By partition the block that is delivered first, the others as they are, or from now on; or UTC microseconds, behind whose last
block all begin (0: at the first)."""


def webhook_file() -> Path:
    """Of the environment. Raises ValueError where none are delivered."""
    found = ReadSettings().webhooks_file(WriteSettings().data_folder)
    if found is None:
        raise ValueError("FANFOLD_WEBHOOKS is off: no webhooks are kept or delivered here")
    return found


def now_us() -> int:
    return time_ns() // 1000


def add_hook(
    url: str,
    account: str | None,
    prefix: str | None,
    everything: bool,
    *,
    private: bool,
    paused: bool,
    exhausted: Exhausted,
    attempts: int,
    hours: float,
    begin: Begin,
) -> tuple[str, str]:
    """Its id and its secret, which nothing shows again. Raises ValueError, HooksUnavailable."""
    wants, url = wants_of(account, prefix, everything), check_url(url, private=private)
    _check_time(begin)
    secret, at_us = new_secret(token_bytes), begin if isinstance(begin, int) else now_us()
    reason = "it was added so" if paused else None
    hook = Hook(f"wh_{token_hex(6)}", url, wants, private, exhausted, attempts, hours, at_us, reason, 0, (secret,))
    with _kept(make=True) as kept:
        kept.add(hook, now_us(), None if isinstance(begin, int) else _in_log(kept, begin))
    return hook.id, secret


def remove_hook(hook_id: str) -> None:
    with _kept() as kept:
        kept.remove(hook_id)


def pause_hook(hook_id: str) -> None:
    with _kept() as kept:
        kept.pause(hook_id, "a person paused it")


def resume_hook(hook_id: str) -> None:
    with _kept() as kept:
        kept.resume(hook_id)


def why_paused(hook_id: str) -> str | None:
    """None while it is not."""
    with _kept() as kept:
        return _one(kept, hook_id).paused


def replay_hook(hook_id: str, begin: Begin) -> None:
    _check_time(begin)
    with _kept() as kept:
        if isinstance(begin, int):
            kept.replay(hook_id, None, begin)
        else:
            kept.replay(hook_id, _in_log(kept, begin), 0)


def rotate_secret(hook_id: str, keep_hours: float) -> str:
    """The new secret. Those of before sign as well for so long."""
    secret, at_us = new_secret(token_bytes), now_us()
    with _kept() as kept:
        kept.rotate(hook_id, secret, at_us, at_us + int(keep_hours * 3_600e6))
    return secret


def dead_letters(hook_id: str) -> list[Dead]:
    with _kept() as kept:
        _one(kept, hook_id)
        return kept.dead(hook_id)


def retry_letters(hook_id: str, number: int | None) -> int:
    with _kept() as kept:
        return kept.retry(hook_id, number)


def discard_letter(hook_id: str, number: int) -> None:
    with _kept() as kept:
        kept.discard(hook_id, number)


async def send_probe(hook_id: str) -> Answer:
    """From this process, as a delivery is sent."""
    with _kept() as kept:
        hook = _one(kept, hook_id)
    batch = probe(hook.id, f"msg_test_{token_hex(8)}", now_us())
    sender = Sender()
    try:
        return await sent(sender.send, hook, batch.message_id, batch.body, now_us())
    finally:
        await sender.close()


def told_hooks() -> list[dict[str, Any]]:
    """Every webhook as a document, without its secrets."""
    if not webhook_file().exists():
        return []
    with _kept() as kept:
        heads = kept.heads()
        return [_document(kept, hook, heads) for hook in kept.hooks(now_us())]


def is_delivered(wait_s: float = 0.0) -> bool:
    """Whether some process of this machine delivers from the file now, or does within that time."""
    until_s = monotonic() + wait_s
    while not (found := _is_locked(lock_of(webhook_file()))) and monotonic() < until_s:
        sleep(LOOK_S)
    return found


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _document(kept: KeptHooks, hook: Hook, heads: Mapping[int, int]) -> dict[str, Any]:
    lanes = kept.lanes(hook.id)
    done = {partition: lane.place.whole_upto for partition, lane in lanes.items() if lane.begun}
    failing = [lane for lane in lanes.values() if lane.error]
    letters, due = kept.counted(hook.id)
    return {
        "id": hook.id,
        "url": hook.url,
        "account": hook.wants.account,
        "prefix": hook.wants.prefix,
        "paused": hook.paused,
        "position": format_positions({partition: at for partition, at in done.items() if at >= 0}) or None,
        "behind_blocks": sum(max(0, head - done[partition]) for partition, head in heads.items() if partition in done),
        "begun": heads.keys() <= done.keys(),
        "failures": max((lane.failures for lane in failing), default=0),
        "error": failing[0].error if failing else None,
        "next_try_us": min((lane.next_at_us for lane in failing if lane.failures), default=None),
        "dead": letters,
        "due": due,
        "secrets": len(hook.secrets),
    }


def _check_time(begin: Begin) -> None:
    """A place is looked for when it is asked: what has not come yet would be what is there now. Raises NoHook."""
    if isinstance(begin, int) and begin > now_us() + CLOCKS_US:
        raise NoHook(f"{format_time(begin)} has not come yet: a webhook begins at what is there. Nothing was changed.")


def _in_log(kept: KeptHooks, begin: Mapping[int, int]) -> Mapping[int, int]:
    """Raises ValueError for what is not there, as far as somebody has looked."""
    heads = kept.heads()
    for partition, sequence in begin.items():
        if heads and partition not in heads:
            raise NoHook(f"this log has no partition {partition}. Nothing was changed.")
        if sequence > heads.get(partition, sequence) + 1:
            raise NoHook(
                f"partition {partition} was at block {partition}:{heads[partition]} when it was looked at last, which is before "
                f"{partition}:{sequence}. Nothing was changed."
            )
    return begin


def _one(kept: KeptHooks, hook_id: str) -> Hook:
    for hook in kept.hooks(now_us()):
        if hook.id == hook_id:
            return hook
    raise NoHook(f"there is no webhook {hook_id}: `fanfold webhook list` has them")


@contextmanager
def _kept(*, make: bool = False) -> Iterator[KeptHooks]:
    """Nothing but the first webhook makes the file."""
    if not make and not webhook_file().exists():
        raise NoHook(f"there are no webhooks in {webhook_file()}: FANFOLD_DATA or FANFOLD_WEBHOOKS names another place")
    kept = KeptHooks.opened(webhook_file())
    try:
        yield kept
    finally:
        kept.close()
