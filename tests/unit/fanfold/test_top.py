"""`fanfold top`: rates between two looks, nothing wrong after a restart, whole at any width, and a neighbour that is away."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.cli.top import default_address
from fanfold.cli.top_drawing import drawing, plain
from fanfold.cli.top_figures import Figures, figures_of
from fanfold.cli.top_samples import Since, Told, values_of
from tests.unit.fanfold.stub_wallet import StubWallet
from tests.unit.fanfold.test_cli import run

READY: Mapping[str, Any] = {"status": "ready", "degraded": [], "unread": [], "stale": []}
SECONDS = "fanfold_gateway_commit_to_socket_seconds"


def _text(blocks: int, refused: int, *, started: int = 100, partitions: Sequence[int] = (0, 1), more: str = "") -> str:
    """What a whole service tells, in which every partition has so many blocks and refusals."""
    lines = [f"process_start_time_seconds {started}", "process_resident_memory_bytes 2.5e+08"]
    for p in partitions:
        outcomes = 'fanfold_projector_outcomes_total{partition="%d",kind="transfer",outcome="%s"} %d'
        lines += [
            f'fanfold_partition_serves{{partition="{p}"}} 1',
            f'fanfold_writer_sequence{{partition="{p}"}} {blocks}',
            f'fanfold_projector_position{{partition="{p}"}} {blocks}',
            f'fanfold_projector_oldest_unapplied_seconds{{partition="{p}"}} 0.25',
            f'fanfold_intake_commands_under_way{{partition="{p}"}} 3',
            f'fanfold_open_holds{{partition="{p}"}} 7',
            f'fanfold_id_window_seconds{{partition="{p}"}} 604800',
            outcomes % (p, "done", blocks),
            outcomes % (p, "insufficient_available", refused),
        ]
    return "\n".join([*lines, more, ""])


def _gateway(pushed: int, within_10_ms: int, over: int, limited: int = 0) -> str:
    return "\n".join(
        [
            "fanfold_gateway_streams 12",
            "fanfold_gateway_subscriptions 40",
            f"fanfold_gateway_pushed_balances_total {pushed}",
            "fanfold_gateway_conflated_balances_total 0",
            "fanfold_gateway_repairs_total 0",
            f'{SECONDS}_bucket{{le="0.01"}} {within_10_ms}',
            f'{SECONDS}_bucket{{le="1.0"}} {within_10_ms}',
            f'{SECONDS}_bucket{{le="+Inf"}} {within_10_ms + over}',
            *([f'fanfold_gateway_refused_total{{code="rate_limited"}} {limited}'] if limited else []),
        ]
    )


def _told(at_s: float, text: str, readiness: Mapping[str, Any] = READY) -> Told:
    return Told(at_s, values_of(text), readiness)


def _between(before: str, after: str, *, took_s: float = 2.0) -> Figures:
    return figures_of({"one:8080": Since(_told(10.0, before), _told(10.0 + took_s, after))})


def test_rates_are_of_the_time_between_two_looks() -> None:
    before, after = (_text(100, 10, more=_gateway(0, 0, 0)), _text(300, 14, more=_gateway(50, 20, 0, limited=6)))
    figures = _between(before, after)
    first, second = figures.partitions
    assert (first.position, first.blocks, first.transfers, first.refused) == ("0:300", 100.0, 100.0, 2.0)
    assert (second.position, second.lag_s, second.in_flight, second.holds) == ("1:300", 0.25, 3, 7)
    assert figures.refused == {"insufficient_available": 4.0, "rate_limited": 3.0}
    [gateway] = figures.gateways
    assert (gateway.streams, gateway.subscriptions, gateway.pushes, gateway.limited) == (12, 40, 25.0, 3.0)
    assert (gateway.p50_s, gateway.p99_s) == (0.005, 0.0099)
    assert figures.are_well


def test_what_lies_beyond_the_last_bucket_is_told_as_its_bound() -> None:
    figures = _between(_text(0, 0, more=_gateway(0, 0, 0)), _text(0, 0, more=_gateway(9, 1, 9)))
    assert figures.gateways[0].p99_s == 1.0


def test_after_a_restart_no_rate_is_told_and_none_is_negative() -> None:
    figures = _between(_text(500, 90, more=_gateway(9, 9, 0)), _text(3, 1, started=200, more=_gateway(1, 1, 0)))
    assert [each.blocks for each in figures.partitions] == [None, None]
    assert [each.refused for each in figures.partitions] == [None, None]
    assert (figures.gateways[0].pushes, figures.gateways[0].p99_s, figures.gateways[0].limited) == (None, None, None)
    assert figures.refused == {}
    assert figures.notes == ["one:8080: it started again"]


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 3)), min_size=2, max_size=5))
def test_whatever_counters_do_no_rate_is_negative(looks: list[tuple[int, int, int]]) -> None:
    told = [_told(float(n), _text(blocks, refused, started=life)) for n, (blocks, refused, life) in enumerate(looks)]
    for before, now in itertools.pairwise(told):
        figures = figures_of({"a": Since(before, now)})
        rates = [rate for each in figures.partitions for rate in (each.blocks, each.transfers, each.refused)]
        assert all(rate is None or rate >= 0 for rate in [*rates, *figures.refused.values()])


def test_two_read_sides_that_follow_a_partition_count_it_once_and_the_worse_lag_is_told() -> None:
    slow = _text(290, 14).replace('_seconds{partition="0"} 0.25', '_seconds{partition="0"} 9')
    seen = {
        "one": Since(_told(0.0, _text(100, 10)), _told(2.0, _text(300, 14))),
        "two": Since(_told(0.0, _text(100, 10)), _told(2.0, slow)),
    }
    figures = figures_of(seen)
    assert figures.refused == {"insufficient_available": 4.0}
    assert (figures.partitions[0].lag_s, figures.partitions[0].in_flight) == (9.0, 6)


def test_a_neighbour_that_is_away_is_a_line_and_what_is_the_matter_is_said() -> None:
    readiness = {"status": "degraded", "degraded": ["the read side does not answer"],
                 "unread": [{"partition": 1, "code": "view_rebuilding"}]}  # fmt: skip
    figures = figures_of(
        {
            "up:8080": Since(None, _told(1.0, _text(5, 0), readiness)),
            "gone:8081": Since(None, Told(1.0, {}, {}, "no answer (TimeoutError)")),
        }
    )
    assert [each.state for each in figures.processes] == ["degraded", "away"]
    assert figures.notes == [
        "up:8080: the read side does not answer",
        "up:8080: accounts of partition 1 cannot be read (view_rebuilding)",
        "gone:8081: no answer (TimeoutError)",
    ]
    assert not figures.are_well
    assert "gone:8081\t-\t-\taway" in plain(figures)


def test_a_damaged_partition_says_since_when_it_is_stale() -> None:
    stale = (
        'fanfold_projector_stale_since_seconds{partition="1"} 1767225600\nfanfold_projector_stopped{partition="1"} 1'
    )
    figures = figures_of({"a": Since(None, _told(1.0, _text(5, 0, more=stale)))})
    assert [each.state for each in figures.partitions] == ["well", "stale since 2026-01-01T00:00:00Z"]
    assert [line.look for line in drawing(figures, 200, 40) if "stale since" in line.text] == ["bold red"]


@given(st.integers(80, 220), st.integers(12, 60), st.integers(0, 20), st.integers(0, 10**9))
def test_on_80_columns_and_more_nothing_is_cut_and_all_of_it_is_on_one_screen(
    width: int, height: int, partitions: int, blocks: int
) -> None:
    text = _text(blocks, blocks // 7, partitions=range(partitions), more=_gateway(blocks, 5, 5, limited=3))
    figures = _between(_text(0, 0, partitions=range(partitions), more=_gateway(0, 0, 0)), text)
    lines = [line.text for line in drawing(figures, width, height)]
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)
    counted = sum(1 for line in lines if line.split()[0].isdecimal() and ":" in line.split()[1])
    more = next((int(line.split()[1]) for line in lines if line.startswith("and ")), 0)
    assert counted + more == partitions


def test_wide_shows_side_by_side_what_80_columns_show_below_each_other() -> None:
    figures = _between(_text(1, 1, more=_gateway(1, 1, 0)), _text(9, 9, more=_gateway(9, 9, 0)))
    wide, narrow = (drawing(figures, width, 40) for width in (200, 80))
    assert len(wide) < len(narrow)
    for word in ("ids kept", "open holds", "rate-limited/s", "p99"):
        assert any(word in line.text for line in wide)
        assert any(word in line.text for line in narrow)


def test_what_is_no_number_has_no_place_and_what_is_no_metrics_is_refused() -> None:
    assert values_of("a NaN\nb 1\n") == {"b": {(): 1.0}}
    with pytest.raises(ValueError):
        values_of("<html>hello</html>")


def test_the_admin_port_of_the_environment_is_asked_first() -> None:
    assert default_address({}) == "http://127.0.0.1:8080"
    assert default_address({"FANFOLD_URL": "http://a:1"}) == "http://a:1"
    assert default_address({"FANFOLD_URL": "http://a:1", "FANFOLD_ADMIN_PORT": "9"}) == "http://127.0.0.1:9"
    assert default_address({"FANFOLD_ADMIN_PORT": "9", "FANFOLD_ADMIN_HOST": "::1"}) == "http://[::1]:9"


def test_in_a_pipe_one_look_is_told_as_plain_lines_and_the_exit_code_says_whether_all_is_well(
    wallet: StubWallet,
) -> None:
    out = run("top", wallet.url, "http://127.0.0.1:1", "--interval", "0.2", code=2).stdout
    shown = wallet.url.removeprefix("http://")
    assert f"{shown}\t" in out
    assert "127.0.0.1:1\t-\t-\taway" in out
    told = json.loads(run("top", wallet.url, "--interval", "0.2", "--once", "--json").stdout)
    assert [each["address"] for each in told["processes"]] == [shown]
    assert told["notes"] == []
