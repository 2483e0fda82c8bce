"""What a start alone has used of the compiler is no longer resident, and is there again when it is called."""

from __future__ import annotations

import subprocess
import sys

from deploy.code_in_memory import give_back_code_of

_LOOK = """
from pathlib import Path
import numba
from deploy.code_in_memory import COMPILER, give_back_code_of

def resident_kib():
    total, of_it = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            of_it = words[1] == "r-xp" and line.endswith(COMPILER)
        elif of_it and words[0] == "Rss:":
            total += int(words[1])
    return total

compiled = numba.njit(lambda n: n + 1)
assert compiled(1) == 2
before = resident_kib()
give_back_code_of(COMPILER)
print(before, resident_kib(), compiled(2), numba.njit(lambda n: n * 2)(4))
"""


def test_the_compilers_code_is_given_back_and_runs_again() -> None:
    told = subprocess.run([sys.executable, "-c", _LOOK], capture_output=True, text=True, check=True).stdout.split()
    before, after, called, compiled_again = map(int, told)
    assert before > 10_000
    assert after < before / 10
    assert (called, compiled_again) == (3, 8)


def test_a_library_that_is_not_there_is_no_matter() -> None:
    give_back_code_of("none.so")
