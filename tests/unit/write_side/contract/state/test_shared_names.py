"""Two folds of one log keep the names of accounts together, and go apart where one has opened what never counted."""

from __future__ import annotations

from tests.unit.write_side.deciding import NOON_US, DecidingPartition
from write_side.contract.log.log import Record
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.ledger.commands.commands import OpenAccount


def opening(*names: str) -> list[OpenAccount]:
    return [OpenAccount(name, "USD/2", 0, "") for name in names]


def records(partition: DecidingPartition, first: int = 0) -> list[Record]:
    return [Record(at, data) for at, data in enumerate(partition.blocks)][first:]


def test_who_comes_later_finds_the_names_of_who_was_first() -> None:
    writer, reader = DecidingPartition(), Replay(State(0))
    writer.decide(opening("alice"), NOON_US)
    reader.take_all(records(writer))
    reader.state.share_names(writer.state)
    assert reader.state.names is writer.state.names
    writer.decide(opening("bob"), NOON_US + 1)
    assert reader.state.count == writer.state.count - 1
    reader.take_all(records(writer, 1))
    assert reader.state.names is writer.state.names
    assert reader.state.row_name(reader.state.count - 1) == "bob"


def test_who_is_ahead_adds_its_own() -> None:
    writer, reader, behind = DecidingPartition(), Replay(State(0)), Replay(State(0))
    writer.decide(opening("alice"), NOON_US)
    writer.decide(opening("bob"), NOON_US + 1)
    reader.take_all(records(writer))
    behind.take_all(records(writer)[:1])
    reader.state.share_names(behind.state)
    assert reader.state.names is behind.state.names
    behind.take_all(records(writer, 1))
    assert reader.state.names is behind.state.names
    assert list(behind.state.names) == list(writer.state.names)


def test_a_block_that_never_counted_leaves_no_name_behind() -> None:
    lost, won, reader = DecidingPartition(), DecidingPartition(), Replay(State(0))
    for each in (lost, won):
        each.decide(opening("alice"), NOON_US)
    reader.take_all(records(won))
    reader.state.share_names(lost.state)
    lost.decide(opening("mallory", "bob"), NOON_US + 1)  # its append failed
    won.decide(opening("bob"), NOON_US + 2)
    reader.take_all(records(won, 1))
    assert list(reader.state.names) == list(won.state.names)
    assert list(lost.state.names)[-2:] == ["mallory", "bob"]
    assert reader.state.number_of("bob") == reader.state.count - 1
