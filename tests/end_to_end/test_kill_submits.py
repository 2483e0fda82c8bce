"""kill -9 of everything while commands are in flight over streams: nothing acknowledged is lost, nothing is there twice, and what
was not answered is asked again with its ids."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from fanfold import Client, Moved, NotAnswered, Pending, Refusal, Transfer
from fanfold.command_stream import CommandStream
from tests.end_to_end import load, processes
from write_side.contract.log.log_file import FileLog

KILLS = 6
STREAMS = 4
IN_FLIGHT = 25
ANSWERS_MAX = 1_500


async def _pay(client: Client, stream: CommandStream, ledger: load.Ledger, answered: asyncio.Semaphore) -> None:
    """One after the other, for ever."""
    while True:
        name, (debit, credit, amount) = ledger.next_transfer()
        if name in ledger.done or name in ledger.refused:
            continue
        ledger.unanswered[name] = (debit, credit, amount)
        told = await stream.submit(Transfer(debit, credit, amount, load.ASSET, name))
        while isinstance(told, Pending):
            told = await client.transfer_outcome(name, min_position=told.position)
            await asyncio.sleep(0.01 if isinstance(told, Pending) else 0)
            ledger.followed += 1
        if isinstance(told, Moved):
            ledger.done[name] = ledger.unanswered.pop(name, (debit, credit, amount))
        else:
            assert isinstance(told, Refusal)
            assert told.code == "insufficient_available", told
            ledger.refused.add(name)
            ledger.unanswered.pop(name, None)
        answered.release()


async def _pay_until_killed(service: processes.Service, ledger: load.Ledger, answers: int) -> None:
    answered = asyncio.Semaphore(0)
    async with Client(service.address) as client:
        streams = [client.stream() for _ in range(STREAMS)]
        for stream in streams:
            await stream.__aenter__()
        paying = [
            asyncio.create_task(_pay(client, stream, ledger, answered)) for stream in streams for _ in range(IN_FLIGHT)
        ]
        for _ in range(answers):
            await answered.acquire()
        await service.kill()
        for task in paying:
            task.cancel()
        for stream in streams:
            await stream.__aexit__(None, None, None)
        for end in await asyncio.gather(*paying, return_exceptions=True):
            assert isinstance(end, asyncio.CancelledError | NotAnswered), end


async def test_every_acknowledged_command_survives_kills_and_is_there_once(tmp_path: Path) -> None:
    environment = load.folder_of(tmp_path / "data") | {"FANFOLD_PARTITIONS": "2"}
    ledger = load.Ledger([f"account-{i}" for i in range(8)], random.Random(21))
    for kill in range(KILLS):
        service = await processes.start("up", environment=environment, errors=tmp_path / "errors.txt")
        if kill == 0:
            async with Client(service.address) as client:
                for account in ledger.accounts:
                    await client.open_account(account, load.ASSET)
        await asyncio.wait_for(_pay_until_killed(service, ledger, ledger.random.randint(100, ANSWERS_MAX)), 120)

    assert len(ledger.done) > KILLS * 50
    assert ledger.followed > KILLS
    assert ledger.unanswered, "something was in flight"
    async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
        await load.settled(service.address)
        async with Client(service.address) as client, client.stream() as stream:
            asked = dict(ledger.unanswered)
            told = await stream.submit_batch(
                [Transfer(*payment[:2], payment[2], load.ASSET, name) for name, payment in asked.items()]
            )
        assert not any(isinstance(each, Refusal) and each.code != "insufficient_available" for each in told)
        await load.settled(service.address)
    log = await FileLog.open_read_only(tmp_path / "data")
    found = await load.audit(log)
    await log.close()
    for name, each in zip(asked, told, strict=True):
        if isinstance(each, Moved):
            ledger.done[name] = ledger.unanswered.pop(name)
    load.expect_told_is_true(ledger, found)
