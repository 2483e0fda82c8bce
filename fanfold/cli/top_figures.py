"""The figures of `top`: from what each address said, to a line a partition, a gateway and a process. Pure.

Several addresses may tell of one partition: its write side, and any number of read sides that project it. What they count of it
is the same, so the largest is shown, of lag the worst; what each takes for itself (commands under way) is added up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from fanfold.cli.status import WELL
from fanfold.cli.top_samples import Labels, Since, label_of, total

OUTCOMES: Final = "fanfold_projector_outcomes_total"
REFUSED: Final = "fanfold_gateway_refused_total"
NO_REFUSAL: Final = frozenset({"done", "exists", "repeated", "pending", "stale"})
MOVES: Final = frozenset({"transfer", "capture", "reverse"})
MOVED: Final = frozenset({"done", "pending"})


class PartitionFigures(NamedTuple):
    """None: nobody told it, or it is not known yet. Rates are a second."""

    partition: int
    position: str | None
    blocks: float | None
    transfers: float | None
    lag_s: float | None
    in_flight: int | None
    refused: float | None
    state: str
    holds: int | None
    processes: int | None
    id_window_s: float | None


class GatewayFigures(NamedTuple):
    """Of one gateway; None as of partitions. coalesced: balances replaced by newer ones before they were taken."""

    address: str
    streams: int | None
    subscriptions: int | None
    pushes: float | None
    p50_s: float | None
    p99_s: float | None
    coalesced: float | None
    repaired: float | None
    limited: float | None


class ProcessFigures(NamedTuple):
    """Of one address. cpu: of one core, 1.0 is all of it."""

    address: str
    memory_bytes: int | None
    cpu: float | None
    state: str


class Figures(NamedTuple):
    """refused: rates by code: of the rules of the money, and of gateways. notes: what is the matter, a sentence each."""

    partitions: Sequence[PartitionFigures]
    gateways: Sequence[GatewayFigures]
    processes: Sequence[ProcessFigures]
    refused: Mapping[str, float]
    notes: Sequence[str]

    @property
    def are_well(self) -> bool:
        """Whether nothing is the matter, as far as the addresses tell."""
        return not self.notes and all(each.state == WELL for each in self.partitions)

    def document(self) -> dict[str, Any]:
        """For programs; a number that is not known is null."""
        return {
            "partitions": [each._asdict() for each in self.partitions],
            "gateways": [each._asdict() for each in self.gateways],
            "processes": [each._asdict() for each in self.processes],
            "refused": dict(self.refused),
            "notes": list(self.notes),
        }


def figures_of(seen: Mapping[str, Since]) -> Figures:
    """seen: by address, as it is shown."""
    numbers = sorted({number for since in seen.values() for number in _partitions(since)})
    return Figures(
        [_partition(number, list(seen.values())) for number in numbers],
        [_gateway(address, since) for address, since in seen.items() if since.now.all_of("fanfold_gateway_streams")],
        [_process(address, since) for address, since in seen.items()],
        _refused(seen.values()),
        [note for address, since in seen.items() for note in _notes(address, since)],
    )


def _partitions(since: Since) -> Iterator[int]:
    for name in ("fanfold_partition_serves", "fanfold_projector_position"):
        told = (label_of(labels, "partition") for labels in since.now.all_of(name))
        yield from (int(label) for label in told if label.isdecimal())


def _partition(number: int, seen: Sequence[Since]) -> PartitionFigures:
    label = str(number)

    def told(name: str) -> list[float]:
        values = (since.now.value(name, partition=label) for since in seen)
        return [value for value in values if value is not None]

    def rate(name: str) -> float | None:
        return max((found for since in seen if (found := since.rate(name, partition=label)) is not None), default=None)

    shown = told("fanfold_projector_position") or told("fanfold_writer_sequence")
    return PartitionFigures(
        partition=number,
        position=f"{label}:{max(shown):.0f}" if shown and max(shown) >= 0 else None,
        blocks=rate("fanfold_writer_sequence") if told("fanfold_writer_sequence") else rate("fanfold_projector_blocks_total"),
        transfers=_outcomes(label, seen, lambda kind, outcome: kind in MOVES and outcome in MOVED),
        lag_s=max(told("fanfold_projector_oldest_unapplied_seconds"), default=None),
        in_flight=_whole(told("fanfold_intake_commands_under_way"), sum),
        refused=_outcomes(label, seen, is_refused),
        state=_state(told),
        holds=_whole(told("fanfold_open_holds"), max),
        processes=_whole(told("fanfold_open_transfers"), max),
        id_window_s=min(told("fanfold_id_window_seconds"), default=None),
    )  # fmt: skip


def is_refused(kind: str, outcome: str) -> bool:
    """A step is a part of a transfer, whose own outcome tells what became of it."""
    return kind != "step" and outcome not in NO_REFUSAL


def _whole(values: Sequence[float], of: Callable[[Sequence[float]], float]) -> int | None:
    return int(of(values)) if values else None


def _outcomes(partition: str, seen: Iterable[Since], counts: Callable[[str, str], bool]) -> float | None:
    """The rate of outcomes that count; 0 where the partition is followed and there were none."""
    rates: list[float] = []
    for since in seen:
        if since.now.value("fanfold_projector_position", partition=partition) is None or not since.tells_rates:
            continue
        found = [
            rate
            for labels, rate in since.rates(OUTCOMES)
            if label_of(labels, "partition") == partition and counts(*_outcome(labels))
        ]
        if None not in found:
            rates.append(total(found) or 0.0)
    return max(rates, default=None)


def _outcome(labels: Labels) -> tuple[str, str]:
    return label_of(labels, "kind"), label_of(labels, "outcome")


def _state(told: Callable[[str], list[float]]) -> str:
    """The worst that is told of it, as few words."""
    if since := told("fanfold_projector_stale_since_seconds"):
        return f"stale since {datetime.fromtimestamp(min(since), UTC):%Y-%m-%dT%H:%M:%SZ}"
    serves = told("fanfold_partition_serves")
    if serves and not max(serves):
        return "takes no commands"
    for name, words in _TROUBLES:
        values = told(f"fanfold_projector_{name}")
        if any(values) and not (name in _OF_ONE_PROCESS and not all(values)):
            return words
    stuck = max(told("fanfold_stuck_transfers"), default=0)
    return f"{stuck:.0f} transfers stuck" if stuck else WELL


_TROUBLES: Final = (
    ("stopped", "its log is damaged"),
    ("given_up", "no longer followed"),
    ("view_unavailable", "unread: its view does not answer"),
    ("log_away", "its log does not answer"),
    ("stands_still", "stands still"),
    ("history_failing", "its history is not kept"),
)
_OF_ONE_PROCESS: Final = frozenset({"given_up"})
"""Nothing is the matter with the partition while another process follows it."""


def _gateway(address: str, since: Since) -> GatewayFigures:
    seconds = "fanfold_gateway_commit_to_socket_seconds"
    return GatewayFigures(
        address=address,
        streams=_value(since, "fanfold_gateway_streams"),
        subscriptions=_value(since, "fanfold_gateway_subscriptions"),
        pushes=since.rate("fanfold_gateway_pushed_balances_total"),
        p50_s=since.quantile_s(seconds, 0.5),
        p99_s=since.quantile_s(seconds, 0.99),
        coalesced=since.rate("fanfold_gateway_conflated_balances_total"),
        repaired=since.rate("fanfold_gateway_repairs_total"),
        limited=since.rate(REFUSED, code="rate_limited") or (0.0 if since.tells_rates else None),
    )


def _value(since: Since, name: str) -> int | None:
    value = since.now.value(name)
    return None if value is None else int(value)


def _process(address: str, since: Since) -> ProcessFigures:
    memory = since.now.value("process_resident_memory_bytes")
    is_ready = _is_ready(since.now.readiness)
    if since.now.trouble is not None and not since.now.readiness:
        state = "away"
    elif is_ready is None:
        state = "does not say"
    elif is_ready:
        state = "degraded" if since.now.readiness.get("degraded") else "ready"
    else:
        state = "not ready"
    return ProcessFigures(
        address, None if memory is None else int(memory), since.rate("process_cpu_seconds_total"), state
    )


def _is_ready(readiness: Mapping[str, Any]) -> bool | None:
    """A gateway says a word, a side whether."""
    if "status" in readiness:
        return readiness["status"] in ("ready", "degraded")
    ready = readiness.get("ready")
    return ready if isinstance(ready, bool) else None


def _refused(seen: Iterable[Since]) -> dict[str, float]:
    """Rates by code, the largest first, without those that are 0. Of a partition that several projectors count, the largest."""
    of_rules: dict[tuple[str, str, str], float] = {}
    found: dict[str, float] = {}
    for since in seen:
        for labels, rate in since.rates(OUTCOMES):
            if rate and is_refused(*_outcome(labels)):
                key = (label_of(labels, "partition"), *_outcome(labels))
                of_rules[key] = max(rate, of_rules.get(key, 0.0))
        for labels, rate in since.rates(REFUSED):
            if rate:
                code = label_of(labels, "code")
                found[code] = found.get(code, 0.0) + rate
    for (_, _, outcome), rate in of_rules.items():
        found[outcome] = found.get(outcome, 0.0) + rate
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def _notes(address: str, since: Since) -> Iterator[str]:
    """What is the matter at an address, as it says itself."""
    now, readiness = since.now, since.now.readiness
    if now.trouble is not None:
        yield f"{address}: {now.trouble}"
    if since.before is not None and not since.tells_rates and not now.trouble:
        yield f"{address}: it started again"
    told = [*_texts(readiness, "reasons"), *_texts(readiness, "degraded")]
    yield from (f"{address}: {each}" for each in dict.fromkeys(told))
    unread = readiness.get("unread")
    for each in unread if isinstance(unread, list) else ():
        if isinstance(each, dict):
            yield f"{address}: accounts of partition {each.get('partition')} cannot be read ({each.get('code')})"


def _texts(document: Mapping[str, Any], member: str) -> list[str]:
    found = document.get(member)
    return [str(each) for each in found] if isinstance(found, list) else []
