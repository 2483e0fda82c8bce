"""A file log and releases that do not know what lies in it: nobody cuts off what a newer release has written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ports.log_adapters import block
from tests.ports.test_log_file import reopened, segment, until_damage, write
from tests.unit.write_side.contract.blocks import sealed
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from write_side.contract.block.block import is_named
from write_side.contract.log.log import LogFailed
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_file_folder import log_folder, note_named
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import OpenAccount, Transfer


def _blocks(name: str) -> list[bytes]:
    """The second and the third name who asked, where somebody did."""
    partition = DecidingPartition(0, 1)
    partition.decide([OpenAccount("ann", "USD/2", 0, "")], NOON_US)
    for number in (1, 2):
        batch = CommandBatch.of([Transfer(id_at(NOON_US, number), "@world", "ann", 1, "USD/2")])
        partition.decide_batch(batch.asked_by(name), NOON_US + number)
    return partition.blocks


def _meta(data: Path) -> object:
    return json.loads((log_folder(data) / "meta.json").read_bytes())


async def test_the_folder_says_that_blocks_name_who_asked_before_the_first_of_them_lies_there(tmp_path: Path) -> None:
    """A release that does not know such blocks refuses the folder by this number ("use the version of fanfold that wrote it", it
    says); by the blocks alone it would take all of them for half of an append."""
    blocks = _blocks("eve")
    assert [is_named(each) for each in blocks] == [False, True, True]
    await write(tmp_path, blocks[0])
    assert _meta(tmp_path) == {"format": 1, "partitions": 1}
    await write(tmp_path, *blocks[1:])
    assert _meta(tmp_path) == {"format": 2, "partitions": 1}
    assert await reopened(tmp_path) == await reopened(tmp_path, read_only=True) == blocks
    note_named(log_folder(tmp_path))  # again changes nothing
    assert _meta(tmp_path) == {"format": 2, "partitions": 1}


async def test_where_nobody_is_named_the_folder_is_as_ever(tmp_path: Path) -> None:
    await write(tmp_path, *_blocks(""))
    assert _meta(tmp_path) == {"format": 1, "partitions": 1}


async def test_where_the_folder_cannot_say_it_the_block_is_not_written(tmp_path: Path) -> None:
    blocks = _blocks("eve")
    log = await FileLog.open(tmp_path, 1)
    (log_folder(tmp_path) / "meta.json").write_text("{}")
    await log.append(0, blocks[0])
    with pytest.raises(LogFailed, match=r"meta\.json does not say the format"):
        await log.append(0, blocks[1])
    await log.close()
    assert segment(tmp_path).read_bytes() == blocks[0]


@pytest.mark.parametrize("good", [0, 2])
async def test_blocks_of_a_later_format_at_the_end_are_no_torn_append(tmp_path: Path, good: int) -> None:
    """As a later release may have left them; nothing is cut, what lies before is read, and it is told what to do."""
    older = [block(number) for number in range(good)]
    await write(tmp_path, *older)
    later = [sealed(block(good + number), version=5) for number in range(2)]
    with segment(tmp_path).open("ab") as file:
        file.write(b"".join(later))
    before = segment(tmp_path).read_bytes()
    for opened in (FileLog.open(tmp_path), FileLog.open_read_only(tmp_path)):
        log = await opened
        read, damage = await until_damage(log.read(0))
        with pytest.raises(LogFailed):
            await log.append(0, block(good))
        await log.close()
        assert read == older
        assert damage is not None
        assert "A newer release has written it" in str(damage)
    assert segment(tmp_path).read_bytes() == before
    assert not list(segment(tmp_path).parent.glob("*.torn"))
