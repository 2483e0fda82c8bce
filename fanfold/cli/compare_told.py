"""What `fanfold compare` says: pure, from what was found to tables, a JSON document, and what was not as promised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fanfold.cli.sheet import Column, Sheet
from write_side.designs.comparison import Compared, Told
from write_side.designs.faults import Harm
from write_side.designs.load import CLIENTS, Measured
from write_side.designs.wiring import OURS, Name


def _figure(name: str) -> Column:
    return Column(name, right=True)


def progress_sheet(told: Mapping[Name, Told]) -> Sheet:
    """How it goes, while it goes."""
    columns = [
        Column("design"),
        Column("", right=True),
        Column("doing"),
        *map(_figure, ("transfers/s", "p50 ms", "p99 ms")),
    ]
    return Sheet(
        columns,
        [(name, f"{each.share:.0%}", each.doing, *_figures(each.measured)) for name, each in told.items()],
    )


def result_sheet(compared: Sequence[Compared]) -> Sheet:
    """A row a design."""
    names = ("transfers/s", "p50 ms", "p99 ms", "in batches/s", "requests", "forced writes")
    columns = [
        Column("design"),
        *map(_figure, names),
        *map(Column, ("durable", "an id again", "past balance")),
        _figure("money after load"),
        _figure("at the end"),
    ]
    return Sheet(columns, [tuple(_row(each)) for each in compared])


def _row(each: Compared) -> Iterator[str]:
    yield each.name
    yield from _figures(each.one_by_one)
    yield "" if each.in_batches is None else f"{each.in_batches.rate:,.0f}"
    yield str(each.requests)
    yield str(each.forced_writes)
    yield "yes" if each.promises.durable else "no"
    yield "runs once" if each.promises.once else "pays again"
    yield "yes" if each.promises.past_balance else "no"
    yield _money(each.after_load.made)
    yield _money(each.made)


def fault_sheet(compared: Sequence[Compared]) -> Sheet:
    """A row a fault."""
    columns = [
        Column("design"),
        Column("fault"),
        *map(_figure, ("a reader saw", "locked for", "recovery", "money")),
    ]
    return Sheet(columns, [(each.name, *_fault(harm)) for each in compared for harm in each.harms])


def _fault(harm: Harm) -> tuple[str, ...]:
    seen = "-" if harm.seen is None else f"{harm.seen:+,}" if harm.seen else "all of it"
    locked = f"{harm.locked_s:.1f} s" if harm.locked_s else "-"
    return harm.fault, seen, locked, f"{harm.recovery_ms:,.0f} ms", _money(harm.made)


def closing_lines(compared: Sequence[Compared], cross: float, dead_s: float) -> Iterator[str]:
    """How the figures are to be read, and ours against each other durable design."""
    yield (
        f"transfers/s: {CLIENTS} clients, one transfer each at a time, {cross:.0%} of them between two nodes. requests, forced "
        "writes: of one transfer between two nodes, alone. money: minor units lost (-) or made (+). locked for: while nobody "
        f"recovered, {dead_s:g} s and the last wait for a lock."
    )
    ours = [each for each in compared if each.name in OURS]
    others = [each for each in compared if each.name not in OURS and each.promises.durable]
    for our in ours:
        for other in others:
            if other.one_by_one.rate:
                yield (
                    f"{our.name} / {other.name}: {our.one_by_one.rate / other.one_by_one.rate:,.1f} times one by one, "
                    f"{our.best.rate / other.one_by_one.rate:,.1f} times in batches of {our.batch:,}; both durable"
                )


def unlike_promised(each: Compared) -> Iterator[str]:
    """What a design did that its table of capabilities does not say, or did not that it says."""
    told = each.promises
    if not each.after_load.right:
        yield f"{each.name}: money is wrong after a load without faults: {each.after_load}"
    for harm in each.harms:
        lost = harm.made != 0
        if harm.fault not in told.may_lose_money_at and lost != (harm.fault in told.loses_money_at):
            yield f"{each.name}: after {harm.fault} {_money(harm.made)} of the money, which is not what it says of itself"
        if (harm.locked_s > 0) != (harm.fault in told.locked_at):
            yield f"{each.name}: after {harm.fault} accounts were locked for {harm.locked_s:.1f} s, unlike what it says"


def document(compared: Sequence[Compared], wishes: Mapping[str, object]) -> dict[str, object]:
    """All of it as JSON: rates a second, latencies in ms, money in minor units."""
    return {
        "wishes": {name: [*value] if isinstance(value, tuple) else value for name, value in wishes.items()},
        "designs": [
            {
                "design": each.name,
                "one_by_one": _measured(each.one_by_one),
                "in_batches": None if each.in_batches is None else _measured(each.in_batches) | {"batch": each.batch},
                "requests_a_transfer": each.requests,
                "forced_writes_a_transfer": each.forced_writes,
                "durable": each.promises.durable,
                "runs_an_id_once": each.promises.once,
                "past_balance": each.promises.past_balance,
                "made_under_load": each.after_load.made,
                "made": each.made,
                "faults": [harm._asdict() for harm in each.harms],
            }
            for each in compared
        ],
    }


def _measured(measured: Measured) -> dict[str, object]:
    return {
        "rate": round(measured.rate, 1),
        "p50_ms": measured.percentile_ms(50),
        "p99_ms": measured.percentile_ms(99),
        "done": measured.done,
        "refused": measured.refused,
        "unanswered": measured.unanswered,
        "seconds": round(measured.seconds, 3),
    }


def _figures(measured: Measured | None) -> tuple[str, str, str]:
    if measured is None:
        return "", "", ""
    p50, p99 = measured.percentile_ms(50), measured.percentile_ms(99)
    return f"{measured.rate:,.0f}", "" if p50 is None else f"{p50:,.1f}", "" if p99 is None else f"{p99:,.1f}"


def _money(made: int) -> str:
    return f"{made:+,}" if made else "right"
