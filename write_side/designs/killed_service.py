"""A wallet service that kills itself at a step: `python -m write_side.designs.killed_service`, told by JSON on standard input.

A real kill (SIGKILL) of a real process: nothing is rolled back, closed or said that a dying machine would not.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from uuid import UUID

from write_side.designs.design import Transfer, Witness
from write_side.designs.wiring import Name, Places, open_design


@dataclass
class Killing(Witness):
    step: str = ""

    def reached(self, step: str) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


async def run_until(name: Name, places: Places, transfer: Transfer, step: str) -> int:
    """Make the transfer in a process of its own, which is killed at the step; its exit code: -9 when it was."""
    arguments = {"name": name, "places": places._asdict(), "transfer": [str(transfer.id), *transfer[1:]], "step": step}
    # Not as an argument: an address may have a password in it, and everybody on a machine sees those.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "write_side.designs.killed_service", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    await process.communicate(json.dumps(arguments).encode())
    assert process.returncode is not None
    return process.returncode


async def _main(name: str, places: dict[str, object], transfer: list[object], step: str) -> None:
    witness = Killing(one_by_one=True, step=step)
    at = Places(**{key: tuple(value) if isinstance(value, list) else value for key, value in places.items()})  # type: ignore[arg-type]
    design = await open_design(Name(name), at, witness)
    transfer_id, payer, payee, amount = transfer
    await design.transfer(Transfer(UUID(str(transfer_id)), str(payer), str(payee), int(str(amount))))
    await design.close()


if __name__ == "__main__":
    asyncio.run(_main(**json.load(sys.stdin)))
