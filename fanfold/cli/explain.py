"""The command `explain`: a transfer told from the log, step by step, with the balances after each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Final

import typer

from deploy.named_log import open_log_to_read
from fanfold.amounts import money
from fanfold.cli.asking import fail
from fanfold.cli.from_checkout import from_checkout
from fanfold.cli.known_failures import UNREADABLE, failures_told
from fanfold.cli.output import say
from read_side.wiring import Did, Happened, Step, document_of, explain_records, word
from read_side.wiring import explain as explain_from_log
from write_side.contract.words.atoms import format_transfer_id, parse_transfer_id
from write_side.contract.words.codes import Code
from write_side.contract.words.position import Position
from write_side.contract.words.times import format_time
from write_side.wiring import Fail, Protocol, demonstrate


def explain(
    transfer: Annotated[str, typer.Argument(help="id of a transfer, hold or other command", metavar="TRANSFER")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object instead of text")] = False,
    demo: Annotated[
        DemoProtocol | None, typer.Option(help="explain a scripted transfer between two partitions")
    ] = None,
    fail_at: Annotated[Fail | None, typer.Option("--fail", help="with --demo: what goes wrong in it")] = None,
) -> None:
    """Tell what every partition did for a transfer, step by step, with the balances and the money in flight after each.

    Reads the log of every partition from its beginning and changes nothing; may run beside the service. Of a hold its captures
    and its end are told too, of a transfer its reversal. Ends with 1 when no partition knows the id. --demo 2pc and redis tell
    the same transfer in two other designs, on servers that are started for it (see `fanfold compare`).

    Examples:

      fanfold explain 0197b2a1-5c1e-7d7e-8f5a-0123456789ab

      FANFOLD_LOG=kafka://localhost:9092 fanfold explain 0197b2a1-5c1e-7d7e-8f5a-0123456789ab --json

      fanfold explain --demo saga --fail credit

      fanfold explain --demo 2pc --fail crash
    """
    if (demo is None) == (not transfer) or (fail_at is not None and demo is None):
        raise typer.BadParameter(
            "give either the id of a transfer, or --demo saga, tcc, 2pc or redis, with --fail if you like"
        )
    if demo in _DESIGNS:
        _explain_design(_DESIGNS[demo], fail_at, as_json)
        return
    if demo is not None:
        _demonstrate(demo, fail_at, as_json)
        return
    with failures_told(UNREADABLE):
        transfer_id = parse_transfer_id(transfer, "TRANSFER")
        steps = asyncio.run(_explain(transfer_id))
    if not steps:
        fail("No partition knows this id. It may be mistyped; or the command was refused before it reached the log.")
    if as_json:
        say(json.dumps(document_of(transfer_id, steps)))
    else:
        say("\n".join(lines(transfer_id, steps)))


class DemoProtocol(StrEnum):
    """The two protocols, as they are typed, and two other designs of the wallet chapter (from a checkout, on real servers)."""

    SAGA = "saga"
    TCC = "tcc"
    TWO_PHASE_COMMIT = "2pc"
    REDIS = "redis"


_DESIGNS: Final = {DemoProtocol.TWO_PHASE_COMMIT: "two_phase_commit", DemoProtocol.REDIS: "in_memory_sharding"}


STORY: Final = {
    DemoProtocol.SAGA: (
        "Saga: the money leaves first and waits in @transit; then it arrives. What was done is taken back in reverse order when "
        "a later step is refused. A reader sees the debit before the credit, and after a refusal both the debit and its "
        "compensation; the transit accounts show the money meanwhile."
    ),
    DemoProtocol.TCC: (
        "TC/C: every debit is held and every credit checked, all at once; then one decision is written, and only then money "
        "moves. A reader sees less available and the same balance until the decision; after a refusal nothing but a hold "
        "that came and went. It takes one round trip more than a saga."
    ),
}


def _explain_design(design: str, fail_at: Fail | None, as_json: bool) -> None:
    explained = from_checkout("fanfold.cli.compare_explained")
    explained.explain_design(design, None if fail_at is None else str(fail_at), as_json=as_json)


def _demonstrate(protocol: DemoProtocol, fail_at: Fail | None, as_json: bool) -> None:
    shown = demonstrate(Protocol[protocol.name], fail_at)
    steps = explain_records(shown.logs, shown.transfer)
    if as_json:
        say(json.dumps(document_of(shown.transfer, steps)))
        return
    counted = f"{shown.messages} messages between the partitions, {len(steps)} outcomes in their logs."
    told = (STORY[protocol], "", *shown.asked, "", *lines(shown.transfer, steps), "", counted)
    say("\n".join(told))


async def _explain(transfer_id: bytes) -> list[Step]:
    log = await open_log_to_read()
    try:
        return await explain_from_log(log, transfer_id)
    finally:
        await log.close()


def lines(transfer_id: bytes, steps: Sequence[Step]) -> Iterator[str]:
    """The explanation as text."""
    yield format_transfer_id(transfer_id)
    for number, step in enumerate(steps, 1):
        yield ""
        yield from _step(number, step, transfer_id)


def _step(number: int, step: Step, transfer_id: bytes) -> Iterator[str]:
    happened = step.happened
    position = Position(happened.partition, happened.sequence)
    of = "" if happened.id == transfer_id else f" {format_transfer_id(happened.id)}"
    phase = f", now {happened.phase}" if happened.phase not in (None, word(happened.code)) else ""
    protocol = f" ({happened.protocol})" if happened.protocol is not None else ""
    asked_by = f", asked by {happened.asked_by}" if happened.asked_by else ""
    yield (
        f"{number}. partition {happened.partition}  {position}  {format_time(happened.at_us)}  "
        f"{happened.kind.name.lower()}{of}{protocol}: {word(happened.code)}{phase}{asked_by}"
    )
    if happened.code is Code.STALE:
        yield "     nothing waited for it any more: it came again, or after the decision, and changes nothing"
    yield from (f"     heard    {_did(each)} in partition {each.partition}" for each in happened.heard)
    yield from (f"     did      {_did(each)}" for each in happened.did)
    yield from _asks(happened)
    for entry in happened.entries:
        posted = _change(entry.posted_before, entry.posted, entry.asset)
        held = _change(entry.held_before, entry.held, entry.asset)
        yield f"     {entry.account}  posted {posted}, held {held}  ({entry.asset}, version {entry.version})"
    for asset, amount in step.own.items():
        yield (
            f"     in flight {money(amount, asset)} {asset} of this transfer; "
            f"{money(step.transit[asset], asset)} in the transit accounts of all partitions"
        )


def _asks(happened: Happened) -> Iterator[str]:
    for each in happened.asks:
        if each.partition != happened.partition:
            yield f"     asks     partition {each.partition} to {each.action.name.lower()} step {each.step}"


def _did(each: Did) -> str:
    return f"{each.action.name.lower()} of step {each.step}: {word(each.code)}"


def _change(before: int, after: int, asset: str) -> str:
    if before == after:
        return money(after, asset)
    return f"{money(before, asset)} -> {money(after, asset)}"
