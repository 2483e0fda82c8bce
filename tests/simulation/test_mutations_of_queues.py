"""The simulation bites where commands are given back that may be needed yet."""

from __future__ import annotations

from tests.simulation.bites import SEEDS_MAX, seeds_until_found
from tests.simulation.processes import Parts
from write_side.owner.partition import Consumed
from write_side.owner.trimmer import Trimmer
from write_side.owner.writer import Writer


class GivesBackWhatIsDecided(Trimmer):
    """The state is a block ahead of the log: when that block is not accepted, the next writer needs its commands."""

    async def look(self) -> None:
        for partition in self._partitions.values():
            if partition.consumed is not None and isinstance(partition.part, Writer):
                partition.consumed = Consumed(partition.part.state.chained.consumed_to, 0)
        await super().look()


def test_commands_that_are_given_back_before_their_block_is_accepted_are_missed() -> None:
    assert seeds_until_found(Parts(trimmer=GivesBackWhatIsDecided)) <= SEEDS_MAX


class GivesBackOneMore(Trimmer):
    """Counts from 1."""

    def _old_enough(self) -> dict[int, int]:
        return {partition: offset + 1 for partition, offset in super()._old_enough().items()}


def test_a_command_too_many_that_is_given_back_is_missed() -> None:
    assert seeds_until_found(Parts(trimmer=GivesBackOneMore)) <= SEEDS_MAX


class CallsLostWhatAnotherGaveBack(Writer):
    """Does not look whether another writer has taken over while it asked where its queue begins."""

    async def _refuse_where_overtaken(self) -> None:
        pass


def test_a_loss_that_is_told_where_there_is_none_is_found() -> None:
    mistake = CallsLostWhatAnotherGaveBack
    assert seeds_until_found(Parts(writer=mistake), mistake=mistake) <= SEEDS_MAX
