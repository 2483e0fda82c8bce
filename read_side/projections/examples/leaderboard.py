"""Who has most: a run of events at a time, in columns; the ten best are told live."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from read_side.projections.projection import Rows


class Leaderboard:
    name, version = "leaderboard", 1
    key = {"asset": str, "account": str}
    row = {"score": int}
    question = "SELECT asset, account, score FROM leaderboard ORDER BY score DESC, account, asset LIMIT 10"

    def evolve(self, rows: Rows, events: pa.Table) -> None:
        people = events.filter(pc.invert(pc.starts_with(events["account"], "@")))
        accounts = np.asarray(people["account"].combine_chunks().to_numpy(zero_copy_only=False), str)
        _, last = np.unique(accounts[::-1], return_index=True)  # of each the newest: versions rise
        newest = people.take(len(people) - 1 - last)
        columns = (newest[name].to_pylist() for name in ("asset", "account", "posted"))
        for asset, account, posted in zip(*columns, strict=True):
            rows[asset, account] = posted
