"""The headers of answers. `POSITION`, `HISTORY`, `REPLAYED` and `STALE_SINCE` are for everybody; `WRITTEN`, `LOST` and
`PRINCIPAL` are between a gateway and the sides, and no gateway passes them on, in or out."""

from __future__ import annotations

from typing import Final

POSITION: Final = "Fanfold-Position"
"""Of an answer to a write: the position of everything that it tells, such as `0:17`, of a batch `0:17,3:9`. Left out where the
log was not asked, and towards clients where it would be longer than `POSITION_BYTES_MAX`: each line of a batch tells its own."""
POSITION_BYTES_MAX: Final = 4_000
"""Proxies take heads of 8 KB at least, many no more: this is some 300 partitions. Between our own processes what is longer goes
in several lines."""
POSITION_MEANS: Final = (
    "The position of the write, of a batch that of all its lines. Reads through the same gateway wait for it by themselves; "
    "anywhere else give it as `min_position`. Left out where the log was not asked, and where a batch went to too many "
    "partitions for a header; each of its lines tells its own."
)

HISTORY: Final = "Fanfold-History"
"""Of an answer that tells an account: which history of its log it is of, such as `4f0c9d1e2b3a5867`. Versions and positions of
two histories must not be compared: a log that was put back to an earlier moment, or replaced, has another one. So has one whose
writer has started again, or whose view was made again. Left out where it is not known."""
HISTORY_MEANS: Final = (
    "Which history of its partition's log the answer is of: another one once the log was put back to an earlier moment or "
    "replaced, or its view was made again (and when its writer has started again). Versions and positions of two histories must "
    "not be compared."
)

REPLAYED: Final = "Idempotency-Replayed"
"""`true` on the answer to a single command whose id ran before; left out otherwise. The document says the same as `repeated`."""
REPLAYED_MEANS: Final = (
    "`true` when this id ran before: nothing was run by this request, and the answer is what became of it then. Left out "
    "otherwise. In a batch each line says so itself (`repeated`)."
)

STALE_SINCE: Final = "Fanfold-Stale-Since"
"""Of entries that are answered as lines, which have no place for it: what `stale_since` of their document says."""
STALE_SINCE_MEANS: Final = (
    "Of lines (`format=ndjson` or `csv`), only while the log of the partition is damaged: the time of the last block that could "
    "be read. What came later is not in this answer."
)

WRITTEN: Final = "Fanfold-Written"
"""Of a read: the newest positions that writes were answered with through the gateway that asks. Unlike `min_position` it counts
only for the partitions that are read."""
LOST: Final = "Fanfold-Lost"
"""Of an answer to such a read: positions that are beyond the end of the log, so that no wait would bring them."""

PRINCIPAL: Final = "Fanfold-Principal"
"""Of a write: who asks, as the gateway knows it; left out where it asks nobody. Each has their own space of Idempotency-Keys."""
