"""`python -m tests.simulation SEEDS FROM`: run seeds one after the other; the first that fails prints itself and ends the run."""

from __future__ import annotations

import gc
import sys
import time

from tests.simulation.simulation import run_seed


def main() -> None:
    seeds, first = int(sys.argv[1]), int(sys.argv[2])
    started_s, blocks, answers, looks = time.perf_counter(), 0, 0, 0
    faults: dict[str, int] = {}
    for seed in range(first, first + seeds):
        try:
            story = run_seed(seed)
        except BaseException:
            print(f"seed {seed} fails. Again: make simulate SEEDS=1 FROM={seed}", file=sys.stderr)
            raise
        gc.collect()  # the states of a story hang together in circles, and the collector does not see how large they are
        blocks, answers, looks = blocks + story.blocks, answers + story.answers, looks + story.looks
        for what, count in story.faults.items():
            faults[what] = faults.get(what, 0) + count
    took_s = time.perf_counter() - started_s
    print(
        f"{seeds} seeds from {first} hold: {blocks} blocks, {answers} answers, {looks} audits, {seeds / took_s:.1f} seeds/s"
    )
    for what, count in sorted(faults.items()):
        print(f"  {count:7d} {what}")


main()
