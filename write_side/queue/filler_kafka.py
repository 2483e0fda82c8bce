"""Filling a command topic up to the offset that its log has consumed it to.

A topic that was deleted and made again counts its records from 0, and its log says that everything below `consumed_to` is done:
new commands would be passed over for ever. So a writer that finds its partition shorter than that fills the difference with
records without a byte, which readers pass over. What is appended meanwhile is passed over, too: it was never answered, and is
safe to send again.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from write_side.contract.log.bounded_kafka import REQUEST_WAIT_MS, answered_within, stop_producer
from write_side.contract.log.log import LogFailed
from write_side.contract.log.log_kafka import KafkaLog

FILLER: Final = b""
BATCH_BYTES: Final = 1024 * 1024
"""Some 110,000 records. They are not compressed: gzip, which is always there, took ten times as long as all the rest."""
RECORDS_A_TURN: Final = 4_096
"""Records made before others get a turn: 4 ms."""
TOLD_S: Final = 10.0
"""How often it is told how far it is."""

_log = structlog.get_logger(__name__)


class Filler:
    """Of one partition of a topic."""

    def __init__(self, topic: KafkaLog, bootstrap: str, name: str, partition: int) -> None:
        self._topic = topic
        self._bootstrap = bootstrap
        self._name = name
        self._partition = partition

    async def fill(self, up_to: int) -> None:
        """Append filler until the next record has this offset at least. Raises LogFailed; what is filled by then stays so."""
        told_s, loop = 0.0, asyncio.get_running_loop()
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=REQUEST_WAIT_MS,
        )
        try:
            await answered_within(producer.start())
            # The end is asked for each time: an intake may append meanwhile, and another writer may fill as well.
            while (end := await self._topic.end(self._partition)) < up_to:
                if loop.time() - told_s > TOLD_S:
                    told_s = loop.time()
                    _log.warning("command topic is filled up", partition=self._partition, from_offset=end, up_to=up_to)
                await answered_within(self._append(producer, up_to - end))
        except (KafkaError, OSError) as error:
            raise LogFailed(
                f"The topic {self._name}, partition {self._partition}, ends before the offset that the log has consumed it to "
                f"({up_to}): it was made again, and has to be filled up first, which failed ({type(error).__name__}: {error}). "
                "Nothing that was answered is lost. Look after the brokers; a service that runs tries it again by itself."
            ) from error
        finally:
            await stop_producer(producer, flush=False)

    async def _append(self, producer: AIOKafkaProducer, count: int) -> None:
        """Of so many as much as a batch takes."""
        batch = producer.create_batch()
        for made in range(1, count + 1):
            if made % RECORDS_A_TURN == 0:
                await asyncio.sleep(0)
            if batch.append(timestamp=None, key=None, value=FILLER) is None:
                break
        batch.close()
        await (await producer.send_batch(batch, self._name, partition=self._partition))
