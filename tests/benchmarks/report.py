"""The one JSON line of a benchmark (DESIGN 11)."""

from __future__ import annotations

import json
import os
import platform
import resource
from importlib.metadata import version
from typing import Any

import numpy as np

LIBRARIES = ("numpy", "numba", "pyarrow", "blake3", "aiokafka")


def line(
    name: str, *, rate: float, unit: str, durable: bool, latencies_ms: list[float] | None = None, **more: Any
) -> str:
    """rate: per second. cpu_s and rss_mb are this process's, whole life and peak."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report: dict[str, Any] = {"name": name, "rate": round(rate), "unit": unit}
    if latencies_ms:
        report["p50_ms"], report["p99_ms"] = (round(float(v), 2) for v in np.percentile(latencies_ms, (50, 99)))
    report |= {
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "rss_mb": usage.ru_maxrss // 1024,
        "durable": durable,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "versions": {"python": platform.python_version()} | {library: version(library) for library in LIBRARIES},
    }
    return json.dumps(report | more)
