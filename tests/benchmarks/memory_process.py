"""A service that tells what it holds and ends: `python -m tests.benchmarks.memory_process up|projector`, one JSON line.

It is the service itself, over a log that is there, from its start until it would answer; the environment says which.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from pathlib import Path

from deploy import one_heap

COLLECTIONS = 5


def held_mb() -> dict[str, float]:
    """Resident memory of this process: all of it, and what is not the page cache of files (MiB)."""
    lines = (line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    kib = {words[0].rstrip(":"): int(words[1]) for words in lines}
    return {"rss_mb": kib["Rss"] / 1024, "own_mb": (kib["Pss_Anon"] + kib["Pss_Shmem"]) / 1024}


def collect_ms() -> float:
    """The longest of some full collections."""
    took_ms = []
    for _ in range(COLLECTIONS):
        began = time.perf_counter()
        gc.collect()
        took_ms.append((time.perf_counter() - began) * 1000)
    return max(took_ms)


def tell(*_: object) -> None:
    """To be called when the service is ready. `collect_all_ms` is with nothing left out of what the collector walks."""
    said = held_mb() | {"collect_ms": collect_ms()}
    gc.unfreeze()
    # Past what a service prints through (`deploy/unread_output.py`), which is on its way when this process is gone.
    os.write(1, json.dumps(said | {"collect_all_ms": collect_ms()}).encode())
    os._exit(0)


def main(service: str) -> None:
    """As the command of this name begins (`fanfold/cli/main.py`)."""
    one_heap.for_all_threads()
    one_process, services, serving, settings = (
        importlib.import_module(f"deploy.{name}") for name in ("one_process", "services", "serving", "settings")
    )
    if service == "up":
        one_process.main(settings.ProcessSettings(), tell)
    else:
        serving.run(services.projector(tell))


if __name__ == "__main__":
    main(sys.argv[1])
