"""What a fault does to a design: what a reader sees meanwhile, which locks stay and how long, what is right again, and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, NamedTuple
from uuid import uuid4

from write_side.designs.design import NODE_KILLED, NODE_PAUSED, Design, Result, Transfer, Unanswered, Witness
from write_side.designs.killed_service import run_until
from write_side.designs.load import Load
from write_side.designs.wiring import OURS, Name, Places, open_design, read_balances

AMOUNT: Final = 5_000
"""Of the transfer that is killed, minor units."""
_PROBE_S: Final = 0.05


class Harm(NamedTuple):
    """fault: a step, or another fault's name. seen: how much more (or less) than before a reader found while it lasted, minor
    units; None where no reader gets an answer. locked_s: for how long one of the two accounts could not be used, while nobody
    recovered. recovery_ms: from the start of another service (or node) until all was ended. made: how much more (or less) there
    is for ever."""

    fault: str
    seen: int | None
    locked_s: float
    recovery_ms: float
    made: int


async def kill_at(name: Name, places: Places, load: Load, step: str, dead_s: float) -> Harm:
    """The service is killed at a step of a transfer between two nodes, and nobody recovers it for `dead_s`. None is open."""
    (payer, beside_payer), (payee, beside_payee) = (names[:2] for names in load.nodes)
    before = sum((await read_balances(name, places)).values())
    ended = await run_until(name, places, Transfer(uuid4(), payer, payee, AMOUNT), step)
    assert ended == -9, f"{name} never came to {step}"
    seen = sum((await read_balances(name, places)).values()) - before
    locked_s = 0.0
    if name not in OURS:  # another service of ours recovers as it opens; of the others one may just go on
        locked_s = await _locked_s(name, places, [(payer, beside_payer), (payee, beside_payee)], dead_s)
    recovery_ms, after = await _recovered(name, places, time.perf_counter())
    return Harm(step, seen, locked_s, recovery_ms, after - before)


async def kill_node(
    name: Name, places: Places, load: Load, kill: Callable[[], None], start: Callable[[], None]
) -> Harm:
    """A node of two is killed and started again, while a transfer between the two is asked."""
    payer, payee = load.nodes[0][0], load.nodes[1][0]
    before = sum((await read_balances(name, places)).values())
    design = await open_design(name, places, Witness())
    await asyncio.to_thread(kill)
    asked = asyncio.create_task(_asked(design, Transfer(uuid4(), payer, payee, AMOUNT)))
    await asyncio.sleep(_PROBE_S)
    began_s = time.perf_counter()
    start()
    await asked
    await design.close()
    recovery_ms, after = await _recovered(name, places, began_s)
    return Harm(NODE_KILLED, None, 0.0, recovery_ms, after - before)


async def pause_node(
    name: Name, places: Places, load: Load, pause: Callable[[], None], resume: Callable[[], None], dead_s: float
) -> Harm:
    """The payee's node hangs for `dead_s` while a transfer between the two is asked; is the payer's account of use meanwhile?"""
    payer, beside_payer, payee = load.nodes[0][0], load.nodes[0][1], load.nodes[1][-1]
    design = await open_design(name, places, Witness())
    try:
        before = sum((await design.balances()).values())
        pause()
        try:
            began_s = time.perf_counter()
            asked = asyncio.create_task(_asked(design, Transfer(uuid4(), payer, payee, AMOUNT)))
            await asyncio.sleep(_PROBE_S)
            locked_s = await _usable_after_s(design, payer, beside_payer, began_s, dead_s)
            await asyncio.sleep(max(0.0, began_s + dead_s - time.perf_counter()))
        finally:
            resume()
        began_s = time.perf_counter()
        await asked
    finally:
        await design.close()
    recovery_ms, after = await _recovered(name, places, began_s)
    return Harm(NODE_PAUSED, None, locked_s, recovery_ms, after - before)


async def _recovered(name: Name, places: Places, began_s: float) -> tuple[float, int]:
    """Another service opens and ends what was left half done: milliseconds since `began_s`, and all the money that is there."""
    design = await open_design(name, places, Witness())
    try:
        await design.recover()
        recovery_ms = (time.perf_counter() - began_s) * 1_000
        return recovery_ms, sum((await design.balances()).values())
    finally:
        await design.close()


async def _locked_s(name: Name, places: Places, pairs: list[tuple[str, str]], dead_s: float) -> float:
    design = await open_design(name, places, Witness())
    began_s = time.perf_counter()
    try:
        waits = [asyncio.create_task(_usable_after_s(design, *pair, began_s, dead_s)) for pair in pairs]
        return max(await asyncio.gather(*waits))
    finally:
        await design.close()


async def _usable_after_s(design: Design, payer: str, payee: str, began_s: float, dead_s: float) -> float:
    """0 when at once; `dead_s`, or what a lock is waited for beyond it, when not until then."""
    tried = 0
    while True:
        tried += 1
        if await _asked(design, Transfer(uuid4(), payer, payee, 1)) is not None:
            return 0.0 if tried == 1 else time.perf_counter() - began_s
        if time.perf_counter() - began_s > dead_s:
            return time.perf_counter() - began_s
        await asyncio.sleep(_PROBE_S)


async def _asked(design: Design, transfer: Transfer) -> Result | None:
    try:
        return await design.transfer(transfer)
    except Unanswered:
        return None
