"""How a topic is drawn: its rows as a table, as many as there is room for, and how far they are."""

from __future__ import annotations

from fanfold.answers import ConnectionState, TopicAnswer
from fanfold.cli.watch_topic import drawing

LIVE = ConnectionState(True, "connected")
ROWS = tuple({"account": f"player-{n}", "score": str(100 - n), "team": None} for n in range(10))
ANSWER = TopicAnswer("leaders", "h", 3, "0:7,1:2", ROWS)


def test_rows_stand_in_a_table_with_figures_on_the_right_and_the_position_below() -> None:
    lines = drawing(ANSWER, LIVE, 80, 40)
    assert [line.split() for line in lines[:-2] if "player-" in line] == [
        [*list(row.values())[:2], "-"] for row in ROWS
    ]
    assert lines[-2:] == ["up to 0:7,1:2", "live: connected"]


def test_rows_for_which_there_is_no_room_are_counted() -> None:
    lines = drawing(ANSWER, LIVE, 80, 10)
    assert len(lines) < 10
    [more] = [line for line in lines if line.startswith("and ")]
    shown = sum("player-" in line for line in lines)
    assert more.startswith(f"and {len(ROWS) - shown} more ")


def test_what_is_not_told_is_said() -> None:
    assert drawing(None, ConnectionState(False, "connecting"), 80, 40) == ["NOT live: connecting"]
    assert drawing(ANSWER._replace(rows=()), LIVE, 80, 40)[0] == "no rows"
    too_large = drawing(ANSWER._replace(rows=None, code="topic_too_large"), LIVE, 80, 40)
    assert too_large[0] == "The topic's answer is too large (topic_too_large)"
