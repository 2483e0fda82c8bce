"""Numbers of the writers, read when somebody asks: the hot path counts nothing for this."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from write_side.contract.archive.archiver import Archiver
from write_side.contract.block.chain import Skip
from write_side.contract.snapshots.taker import SnapshotTaker
from write_side.contract.state.pending import PendingTable
from write_side.contract.state.pending_columns import WHAT, PendingKinds
from write_side.owner.id_window import id_window
from write_side.owner.partition import Partition, Standing
from write_side.owner.trimmer import Trimmer
from write_side.owner.writer import Writer


class WriterMetrics(Collector):
    """ids_max: how many ids without a time a writer remembers. taker: where snapshots are taken; archiver: where the log is
    archived; trimmer: where consumed commands are given back."""

    def __init__(
        self,
        partitions: Sequence[Partition],
        ids_max: int,
        taker: SnapshotTaker | None = None,
        archiver: Archiver | None = None,
        trimmer: Trimmer | None = None,
    ) -> None:
        self._partitions = partitions
        self._ids_max = ids_max
        self._taker = taker
        self._trimmer = trimmer
        self._archiver = archiver

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        blocks = GaugeMetricFamily("fanfold_writer_sequence", "Last accepted block", labels=["partition"])
        epoch = GaugeMetricFamily("fanfold_writer_epoch", "Epoch of this writer", labels=["partition"])
        consumed = GaugeMetricFamily("fanfold_writer_consumed_to", "Next command offset", labels=["partition"])
        accounts = GaugeMetricFamily("fanfold_writer_accounts", "Accounts", labels=["partition"])
        ids = GaugeMetricFamily("fanfold_writer_remembered_ids", "Transfer ids remembered", labels=["partition"])
        window = GaugeMetricFamily(
            "fanfold_id_window_seconds",
            "Ids that carry their time are remembered this long right now; older ones are refused",
            labels=["partition"],
        )
        timeless = GaugeMetricFamily("fanfold_timeless_ids", "Ids without a time remembered", labels=["partition"])
        room = GaugeMetricFamily(
            "fanfold_timeless_ids_room",
            "Ids without a time that are still taken, where none is found again",
            labels=["partition"],
        )
        holds = GaugeMetricFamily("fanfold_open_holds", "Holds that are open", labels=["partition"])
        skipped = CounterMetricFamily(
            "fanfold_writer_skipped_records", "Records of the log that do not count", labels=["partition", "reason"]
        )
        unreadable = CounterMetricFamily(
            "fanfold_writer_unreadable_commands", "Records of the queue passed over as unreadable", labels=["partition"]
        )
        serves = GaugeMetricFamily("fanfold_partition_serves", "1 when it does, 0 when not", labels=["partition"])
        overtaken = GaugeMetricFamily(
            "fanfold_partition_overtaken", "1 when another process has taken it over", labels=["partition"]
        )
        failures = CounterMetricFamily("fanfold_partition_failures", "Lives that ended", labels=["partition"])
        for partition in self._partitions:
            serves.add_metric([str(partition.number)], int(partition.reason is None))
            overtaken.add_metric([str(partition.number)], int(partition.standing is Standing.OVERTAKEN))
            failures.add_metric([str(partition.number)], partition.failures)
        yield from (serves, overtaken, failures)
        if self._taker is not None:
            yield CounterMetricFamily("fanfold_snapshots_taken", "Snapshots taken", self._taker.taken)
            yield CounterMetricFamily("fanfold_snapshot_failures", "Snapshots not taken", self._taker.failures)
        if self._trimmer is not None:
            trimmed = GaugeMetricFamily(
                "fanfold_commands_trimmed_to", "Commands before this offset were given back", labels=["partition"]
            )
            for number, offset in self._trimmer.trimmed_to.items():
                trimmed.add_metric([str(number)], offset)
            yield trimmed
            yield CounterMetricFamily(
                "fanfold_commands_trim_failures", "Consumed commands could not be given back", self._trimmer.failures
            )
        if self._archiver is not None:
            yield CounterMetricFamily(
                "fanfold_log_archive_files", "Files put into the log's archive", self._archiver.put
            )
            yield CounterMetricFamily(
                "fanfold_log_archive_failures", "Times that the log was not archived", self._archiver.failures
            )
        for partition, writer in [(each, each.part) for each in self._partitions if isinstance(each.part, Writer)]:
            labels = [str(writer.partition)]
            blocks.add_metric(labels, len(writer.replay.offsets) - 1)
            unreadable.add_metric(labels, writer.unreadable_records)
            for reason in Skip:
                skipped.add_metric([*labels, reason.value], writer.replay.skipped[reason])
            if partition.standing is not Standing.SERVING:
                continue  # what is empty or half folded is no number of this partition: no sample rather than a wrong one
            epoch.add_metric(labels, writer.state.chained.epoch)
            consumed.add_metric(labels, writer.state.chained.consumed_to)
            accounts.add_metric(labels, writer.state.count)
            holds.add_metric(labels, _open_holds(writer.state.pending))
            ids.add_metric(labels, writer.state.ids.count)
            remembered = id_window(writer.state, self._ids_max)
            window.add_metric(labels, remembered.seconds)
            timeless.add_metric(labels, remembered.timeless)
            if writer.ids is None:
                room.add_metric(labels, remembered.timeless_room)
        sent = CounterMetricFamily("fanfold_relay_messages", "Messages sent to other partitions", labels=["partition"])
        again = CounterMetricFamily("fanfold_relay_asked_again", "Messages sent again", labels=["partition"])
        failed = CounterMetricFamily("fanfold_relay_failures", "Records of messages not sent", labels=["partition"])
        open_transfers = GaugeMetricFamily(
            "fanfold_open_transfers", "Transfers across partitions that are under way", labels=["partition"]
        )
        stuck = GaugeMetricFamily(
            "fanfold_stuck_transfers", "Of those the ones that have not got on for 10 s", labels=["partition"]
        )
        for number, relay in [(each.number, each.relay) for each in self._partitions]:
            if relay is None:
                continue
            labels = [str(number)]
            sent.add_metric(labels, relay.sent)
            again.add_metric(labels, relay.asked_again)
            failed.add_metric(labels, relay.failures)
            open_transfers.add_metric(labels, relay.open)
            stuck.add_metric(labels, relay.stuck)
        yield from (sent, again, failed, open_transfers, stuck)
        yield from (blocks, epoch, consumed, accounts, holds, ids, window, timeless, room, skipped, unreadable)


def _open_holds(pending: PendingTable) -> int:
    """Counted now, 1 ms for 100,000 rows: a count that is kept would cost each command. A block that is being decided beside it
    may move a row meanwhile, so it may be wrong by what one block changes."""
    return int(np.count_nonzero(pending.rows[: pending.count, WHAT] == PendingKinds.HOLD))
