"""`fanfold explain --demo 2pc` and `redis`: the same transfer as saga and tcc tell, made by these designs on real servers.

The requests are those that a run has told. What a reader finds after a step is read after a kill at that step, each in tables of
its own: only then is it certain that nothing goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from typing import Final, NamedTuple
from uuid import UUID

import typer

from fanfold.amounts import money
from fanfold.cli.compare_run import logs_aside
from fanfold.cli.output import complain, say
from tests.servers import ServerMissing, running_postgres, running_redis, running_zookeeper
from write_side.designs.design import Request, Transfer, Witness
from write_side.designs.killed_service import run_until
from write_side.designs.load import NODES, name_on
from write_side.designs.wiring import Name, Places, capabilities, open_design, publish_nodes, read_balances

ASSET: Final = "USD/2"
WEALTH: Final = 10_000
AMOUNT: Final = 3_000
TRANSFER: Final = UUID("019b78f2-3a00-7000-8000-00000000000a")
STORY: Final = {
    Name.TWO_PHASE_COMMIT: (
        "Two-phase commit: both nodes promise (PREPARE TRANSACTION), one decision is written, both commit. Nothing is lost; but "
        "from promise to commit both accounts are locked, for as long as a dead coordinator is not recovered. A reader "
        "finds less only between the two commits."
    ),
    Name.IN_MEMORY_SHARDING: (
        "Redis alone: a debit in one node, then a credit in the other, and nothing that holds the two together. A service that "
        "dies between them has lost the money, and no node knows that there ever was a transfer."
    ),
}
DIES_AT: Final = {Name.TWO_PHASE_COMMIT: "prepared", Name.IN_MEMORY_SHARDING: "debited"}
"""Where `--fail crash` kills the service: in doubt, and between the two commands."""


class Step(NamedTuple):
    """Requests that the service made, and what a reader finds behind them; balances by account, minor units. step: its name,
    empty behind the last one. locked: whether nobody can use the two accounts now."""

    requests: tuple[Request, ...]
    step: str
    balances: Mapping[str, int]
    locked: bool


class Told(NamedTuple):
    """asked: in words. result: None where the service was killed. recovered: what another service did then, and what is there."""

    asked: str
    steps: tuple[Step, ...]
    result: str | None
    recovered: Step | None
    lost: int


def explain_design(design: str, fail: str | None, *, as_json: bool) -> None:
    """design: `Name`. fail: credit, debit or crash. Raises typer.BadParameter where a server is missing."""
    name = Name(design)
    try:
        with logs_aside(), ExitStack() as stack:
            told = asyncio.run(_told(name, _places(name, stack), fail))
    except ServerMissing as missing:
        raise typer.BadParameter(str(missing)) from None
    say(json.dumps(document(name, told)) if as_json else "\n".join(lines(name, told)))


def _places(name: Name, stack: ExitStack) -> Places:
    complain("starting two nodes on loopback")
    if name is Name.TWO_PHASE_COMMIT:
        return Places(postgres=tuple(server.dsn for server in stack.enter_context(running_postgres(NODES))))
    redis = tuple(stack.enter_context(running_redis()).url for _ in range(NODES))
    return Places(redis=redis, zookeeper=stack.enter_context(running_zookeeper()).hosts)


async def _told(name: Name, places: Places, fail: str | None) -> Told:
    alice, bob = (name_on(node, who) for node, who in enumerate(("alice", "bob")))
    has = {alice: AMOUNT - 1_000 if fail == "debit" else WEALTH} | ({} if fail == "credit" else {bob: 0})
    transfer, last = Transfer(TRANSFER, alice, bob, AMOUNT), DIES_AT[name] if fail == "crash" else None
    there = "is not there" if fail == "credit" else "has nothing"
    asked = (
        f"{alice} in node 0 has {money(has[alice], ASSET)}; {bob} in node 1 {there}. "
        f"The service is asked: {alice} gives {bob} {money(AMOUNT, ASSET)}"
    )
    at, witness = await _put_in(name, places, "whole", has), Witness(telling=True, one_by_one=True)
    design = await open_design(name, at, witness)
    witness.told.clear()
    result = str(await design.transfer(transfer))
    told, promises = tuple(witness.told), capabilities(name)
    await design.close()
    steps = list[Step]()
    for requests, step in _by_step(told):
        if step:
            at = await _put_in(name, places, step, has)
            await run_until(name, at, transfer, step)
        else:
            at = places._replace(prefix="whole_")
        steps.append(Step(requests, step, await read_balances(name, at), step in promises.locked_at))
        if step and step == last:
            recovered = await _recovered(name, at)
            lost = sum(has.values()) - sum(recovered.balances.values())
            return Told(asked, tuple(steps), None, recovered, lost)
    return Told(asked, tuple(steps), result, None, sum(has.values()) - sum(steps[-1].balances.values()))


async def _put_in(name: Name, places: Places, prefix: str, has: Mapping[str, int]) -> Places:
    """Places with tables of their own, in which the accounts have this."""
    at = places._replace(prefix=f"{prefix}_")
    if at.redis:
        await publish_nodes(at, at.redis)
    design = await open_design(name, at, Witness())
    await design.put_in(has)
    await design.close()
    return at


async def _recovered(name: Name, at: Places) -> Step:
    witness = Witness(telling=True, one_by_one=True)
    design = await open_design(name, at, witness)
    witness.told.clear()
    await design.recover()
    requests = tuple(each for each in witness.told if isinstance(each, Request))
    balances = await design.balances()
    await design.close()
    return Step(requests, "", balances, locked=False)


def _by_step(told: Sequence[Request | str]) -> Iterator[tuple[tuple[Request, ...], str]]:
    """The requests up to each step, and those behind the last one under an empty name."""
    requests = list[Request]()
    for each in told:
        if isinstance(each, Request):
            requests.append(each)
        else:
            yield tuple(requests), each
            requests.clear()
    if requests or not any(isinstance(each, str) for each in told):
        yield tuple(requests), ""


def lines(name: Name, told: Told) -> Iterator[str]:
    yield STORY[name]
    yield ""
    yield told.asked
    numbers = count(1)
    for step in told.steps:
        yield ""
        yield from _step(step, numbers)
    if told.recovered is not None:
        yield ""
        found = "" if told.recovered.requests else ", and finds nothing"
        yield f"Here the service is killed (kill -9). Another one recovers{found}:"
        yield from _step(told.recovered, numbers)
    requests = [each for step in told.steps for each in step.requests]
    yield ""
    yield f"{len(requests)} requests, {sum(each.forced for each in requests)} of them forced to a disk; " + (
        f"{money(told.lost, ASSET)} {ASSET} is lost for ever."
        if told.lost
        else f"{told.result or 'the other service has taken it back'}, and all the money is there."
    )


def _step(step: Step, numbers: Iterator[int]) -> Iterator[str]:
    for each in step.requests:
        yield f"{next(numbers)}. node {each.node}  {each.what}{' (forced to disk)' if each.forced else ''}"
    found = ", ".join(f"{account} {money(balance, ASSET)}" for account, balance in sorted(step.balances.items()))
    if step.step:
        yield f"     {step.step}"
    yield f"     a reader finds {found}{'; both accounts are locked' if step.locked else ''}"


def document(name: Name, told: Told) -> dict[str, object]:
    """For `--json`: balances and lost in minor units, as digits."""
    return {
        "design": name,
        "asked": told.asked,
        "steps": [_document(step) for step in told.steps],
        "result": told.result,
        "recovered": None if told.recovered is None else _document(told.recovered),
        "lost": str(told.lost),
    }


def _document(step: Step) -> dict[str, object]:
    return {
        "requests": [request._asdict() for request in step.requests],
        "step": step.step or None,
        "balances": {account: str(balance) for account, balance in sorted(step.balances.items())},
        "locked": step.locked,
    }
