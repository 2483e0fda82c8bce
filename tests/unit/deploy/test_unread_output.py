"""A service whose output nobody reads goes on, and says afterwards what is missing."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.unread_output import UnreadOutput, never_waiting

FULL = 2_000_000
"""Bytes: more than any pipe has room for."""


async def test_a_pipe_that_nobody_reads_takes_what_fits_and_nothing_waits_for_it() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        output = UnreadOutput(stream, waiting_max=10)
        for number in range(FULL // 1_000):
            assert output.write(f"{number:>998}.\n") == 1_000
        whole = asyncio.create_task(asyncio.to_thread(_read_all, reading))
        while output._dropped:
            await asyncio.sleep(0.001)
            output.write("again\n")
        await asyncio.to_thread(output.end)
    lines = (await whole).splitlines()
    numbers = [int(line.rstrip(".")) for line in lines if line.endswith(".") and "(" not in line]
    assert numbers == sorted(set(numbers))
    missing = sum(int(line.lstrip("(").split()[0]) for line in lines if "were not written" in line)
    assert missing > 0
    assert missing >= FULL // 1_000 - len(numbers), "whatever is not there is counted"
    assert lines[-1] == "again"


async def test_a_full_pipe_that_was_set_never_to_block_is_waited_for_and_loses_no_line() -> None:
    """Lines that did not fit at once were dropped, and nobody counted them."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(writing, "w") as stream:
        output = UnreadOutput(stream)
        for number in range(1_000):
            output.write(f"{number:>998}.\n")
        whole = asyncio.create_task(asyncio.to_thread(_read_all, reading))
        output._waiting.put(None)
        await asyncio.to_thread(output._thread.join, 30)
    assert [int(line.rstrip(".")) for line in (await whole).splitlines()] == list(range(1_000))


def _read_all(descriptor: int) -> str:
    with os.fdopen(descriptor) as stream:
        return stream.read()


def test_what_is_printed_comes_out_in_order_and_whole(capfd: pytest.CaptureFixture[str]) -> None:
    with open(os.dup(1), "w", encoding="ascii") as stream:
        output = UnreadOutput(stream)
        for number in range(500):
            print(f"line {number} of žluťoučký", file=output)
        output.end()
    told = capfd.readouterr().out.splitlines()
    assert told == [f"line {number} of \\u017elu\\u0165ou\\u010dk\\xfd" for number in range(500)]


def test_a_reader_that_left_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        output = UnreadOutput(stream)
        output.write("to nobody\n")
        output.end()
        assert not output._thread.is_alive()


def test_streams_without_a_descriptor_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)
    with never_waiting():
        assert sys.stdout is stream
        print("told")
    assert stream.getvalue() == "told\n"


_SERVICE = """
import sys
from pathlib import Path
import structlog
from deploy import serving

async def main():
    log = structlog.get_logger()
    for number in range(20_000):
        log.warning("said", number=number, text="x" * 100)
        print("to standard error", number, file=sys.stderr)
    Path(sys.argv[1]).touch()

serving.run(main())
"""


def test_a_service_whose_output_nobody_reads_goes_on_and_ends(tmp_path: Path) -> None:
    went_on = tmp_path / "went on"
    with subprocess.Popen(
        [sys.executable, "-c", _SERVICE, str(went_on)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as service:
        try:
            assert service.wait(60) == 0
        finally:
            service.kill()
    assert went_on.exists()


async def test_texts_of_many_lines_are_bounded_by_their_size_and_their_lines_counted() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        output = UnreadOutput(stream)
        text = f"{'x' * 99}\n" * 1_000
        for _ in range(200):  # 20 MB
            output.write(text)
        dropped = output._dropped
        assert 100_000 <= dropped < 200_000
        whole = asyncio.create_task(asyncio.to_thread(_read_all, reading))
        await asyncio.to_thread(output.end)
    assert f"({dropped} lines were not written here" in await whole
