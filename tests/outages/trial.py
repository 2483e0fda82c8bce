"""One case on a stand: load, away, back, until all is well again; then everything that was said is compared with what is so."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple, TypeVar

import aiohttp

from tests.outages.books import ACCOUNTS, Asked, Books
from tests.outages.cases import Case, What
from tests.outages.stand import COMMANDS, PARTITIONS, Stand
from tests.outages.watching import Look, Looks, Read, Reads, Watcher

RATE: Final = 6.0
"""Transfers a second: a question to every partition twice a second, and little work beside other runs."""
BEFORE_S: Final = 2.0
STABLE_S: Final = 3.0
"""All is well when it has been for so long."""
WELL_S: Final = 180.0
"""Back for so long and not well: a finding of its own."""
SHOWN_S: Final = 5.0
"""A stream that says that it is live shows by then what was acknowledged: the feed's silence is told after 3.5 s."""
POLL_S: Final = 0.1

T = TypeVar("T", Asked, Look, Read)


class Row(NamedTuple):
    """What a case has shown. Seconds are from when what was away answered again; None: never, within WELL_S.

    untrue: each side's seconds (from the begin of the outage) in which it said other than was so. wrong: what must never be.
    """

    case: Case
    writes_s: float | None
    reads_s: float | None
    stream_s: float | None
    ready_s: dict[str, float | None]
    said: dict[str, int]
    untrue: dict[str, str]
    wrong: list[str]


class Trial:
    """`run` cases one after the other on one stand."""

    def __init__(self, stand: Stand, session: aiohttp.ClientSession) -> None:
        self._stand = stand
        gateway = stand.addresses["gateway"]
        self._books = Books(gateway, session)
        self._looks = {side: Looks(stand.addresses[side], session) for side in COMMANDS}
        self._reads = Reads(gateway, session)
        self._watcher = Watcher(gateway)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Accounts open, and everybody looks on."""
        await self._books.open_accounts()
        works = [each.look() for each in self._looks.values()] + [self._reads.read(), self._watcher.watch()]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            yield
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def run(self, case: Case) -> Row:
        loop = asyncio.get_running_loop()
        load = asyncio.create_task(self._books.load(RATE))
        await asyncio.sleep(BEFORE_S)
        first, away_s = len(self._books.asked), loop.time()
        await self._stand.away(case)
        await asyncio.sleep(case.seconds)
        await self._stand.back(case)
        back_s = loop.time()
        unwell = await self._well(back_s)
        load.cancel()
        with suppress(asyncio.CancelledError):
            await load
        await self._books.answered()
        end_s = loop.time()
        asked = self._books.asked[first:]
        wrong = [f"not well {WELL_S:.0f} s after it was back: {', '.join(unwell)}"] if unwell else []
        wrong += [f"the {side} has ended" for side in self._stand.ended()]
        untrue = self._untrue(case, asked, away_s, end_s)
        if flapped := self._watcher.dead_between(away_s + case.seconds + SHOWN_S, end_s):
            untrue["stream not live again"] = ranges([int(second - away_s) for second in flapped])
        # Before the books are looked through: that is a load of its own, and what it does to anybody is told for itself.
        row = Row(
            case,
            _since(back_s, [each.sent_s for each in asked if not each.answered]),
            _since(back_s, [each.sent_s for each in self._reads.found if not each.answered]),
            _since(back_s, [told.at_s for told in self._watcher.told]) if self._watcher.live else None,
            {
                side: _since(back_s, [look.sent_s for look in looks.found if not look.whole])
                if looks.found[-1].whole
                else None
                for side, looks in self._looks.items()
            },
            dict(Counter(str(each.said) for each in asked)),
            untrue,
            wrong,
        )
        if not unwell:
            wrong += await self._books.check()
            wrong += await self._watcher_differs()
            untrue |= self._unwell_since(end_s, away_s)
        return row

    def _unwell_since(self, from_s: float, away_s: float) -> dict[str, str]:
        """Who was not well while many questions were asked, and in which seconds of the case."""
        bad_s = {
            f"{side} not whole": [look.sent_s for look in looks.found if not look.whole]
            for side, looks in self._looks.items()
        }
        bad_s["reads not answered"] = [each.sent_s for each in self._reads.found if not each.answered]
        bad_s["stream not live"] = [told.at_s for told in self._watcher.told if not told.live]
        return {
            f"books looked through, {what}": ranges(sorted({int(at_s - away_s) for at_s in those if at_s >= from_s}))
            for what, those in bad_s.items()
            if any(at_s >= from_s for at_s in those)
        }

    async def _well(self, back_s: float) -> list[str]:
        """Waits until all is well, and has been for STABLE_S; what is not when it never is."""
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        while unwell := self._unwell(back_s) or loop.time() - since_s < STABLE_S:
            if unwell is not True:
                since_s = loop.time()
                if since_s > back_s + WELL_S:
                    return unwell
            await asyncio.sleep(POLL_S)
        return []

    def _unwell(self, back_s: float) -> list[str]:
        last_writes = [each for each in self._books.asked if each.said is not None][-2 * PARTITIONS :]
        last_reads = self._reads.found[-PARTITIONS:]
        unwell = [
            f"the {side} says {looks.found[-1]}"
            for side, looks in self._looks.items()
            if looks.found[-1].sent_s < back_s or not looks.found[-1].whole
        ]
        unwell += ["writes"] if any(each.sent_s < back_s or not each.answered for each in last_writes) else []
        unwell += ["reads"] if any(each.sent_s < back_s or not each.answered for each in last_reads) else []
        return unwell if self._watcher.live else [*unwell, f"the stream says {self._watcher.told[-1:]}"]

    async def _watcher_differs(self) -> list[str]:
        """Accounts of which the stream shows another balance than the view."""
        wrong = []
        for account in (name for names in ACCOUNTS for name in names):
            view = await self._books.balance(account)
            shown = self._watcher.newest.get(account)
            if shown is None or (str(shown.posted), shown.version) != (view.get("posted"), view.get("version")):
                wrong.append(f"the stream shows {shown}, and the view {view}")
        return wrong

    def _untrue(self, case: Case, asked: Sequence[Asked], away_s: float, end_s: float) -> dict[str, str]:
        seconds = range(int(end_s - away_s))
        writes = [_in_second(asked, away_s, second) for second in seconds]
        reads = [_in_second(self._reads.found, away_s, second) for second in seconds]
        looks = {
            side: [_in_second(looks.found, away_s, second) for second in seconds] for side, looks in self._looks.items()
        }
        found: dict[str, list[int]] = {}

        def compare(
            name: str, side: str, answers: Callable[[int], Sequence[Asked] | Sequence[Read]], *, promised: bool = True
        ) -> None:
            """promised: whether this is what ready means; otherwise only what says that nothing is the matter is wrong."""
            for second in seconds:
                said, so = looks[side][second], [each.answered for each in answers(second)]
                if not said or not so or (not promised and not all(look.whole for look in said)):
                    continue
                if all(look.ready for look in said) and not any(so):
                    found.setdefault(f"{side} ready, no {name} answered", []).append(second)
                elif all(look.whole for look in said) and not all(so):
                    found.setdefault(f"{side} whole, some {name}s not answered", []).append(second)
                elif not any(look.ready for look in said) and all(so):
                    found.setdefault(f"{side} not ready, all {name}s answered", []).append(second)

        compare("write", "gateway", lambda second: writes[second])
        compare("read", "gateway", lambda second: reads[second], promised=False)
        if case.what is not What.GATEWAY:  # then nobody knows what they would have answered
            compare("write", "write side", lambda second: writes[second])
            compare("read", "read side", lambda second: reads[second])
        old = self._live_and_old(away_s, end_s)
        if old:
            found["stream live, and old"] = old
        return {what: ranges(which) for what, which in found.items()}

    def _live_and_old(self, away_s: float, end_s: float) -> list[int]:
        """Seconds in which the stream said that it is live, and what was acknowledged SHOWN_S before was not there."""
        old: set[int] = set()
        for account, version, told_s in self._books.versions:
            if told_s < away_s - SHOWN_S:
                continue
            shown_s = self._watcher.shown_at(account, version)
            old |= {
                int(second - away_s)
                for second in self._watcher.live_between(told_s + SHOWN_S, end_s if shown_s is None else shown_s)
            }
        return sorted(old)


def _in_second(those: Sequence[T], away_s: float, second: int) -> list[T]:
    return [each for each in those if away_s + second <= each.sent_s < away_s + second + 1]


def _since(back_s: float, bad_s: Sequence[float]) -> float:
    """Seconds from `back_s` to the last time that something was not as it should."""
    return max(0.0, max(bad_s, default=back_s) - back_s)


def ranges(numbers: Sequence[int]) -> str:
    """`0-4, 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
