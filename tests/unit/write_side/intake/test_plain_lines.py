"""Lines that are all plain transfers are read and answered together, and told as they are when another line is among them."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.unit.write_side.http_edge import ask
from tests.unit.write_side.two_partitions import PARTITIONS, TwoPartitions, account, transfer_id

USD = "USD/2"
NAMES = [account(partition, f"{word}-") for partition in range(PARTITIONS) for word in ("a", "b")]
OTHER = json.dumps({"void": {"id": "no id"}})


async def told(two: TwoPartitions, *lines: str) -> list[dict[str, Any]]:
    headers = [(b"content-type", b"application/x-ndjson"), (b"prefer", b"wait=20")]
    reply = await ask(two.app, "POST", "/v1/transfers:batch", "\n".join(lines).encode(), headers)
    assert reply.status == 200
    return [_lasting(json.loads(line)) for line in reply.body.splitlines()]


def _lasting(document: Any) -> Any:
    """Without when it was and in which block."""
    if isinstance(document, list):
        return [_lasting(each) for each in document]
    if isinstance(document, dict):
        return {name: _lasting(each) for name, each in document.items() if name not in ("at", "position")}
    return document


def batches(seed: int) -> list[list[str]]:
    """Of deposits, payments inside and across partitions, repeats, ids with another content, and what there is too little for."""
    chance, made = random.Random(seed), list[list[str]]()
    for first in range(0, 100, 20):
        batch = []
        for number in range(first, first + 20):
            debit, credit = chance.sample([*NAMES, "@world", "@world", "nobody"], 2)
            if debit == credit:
                debit, credit = NAMES[0], NAMES[1]
            used = transfer_id(chance.randrange(number + 1) if chance.random() < 0.2 else number)
            line = {"id": used, "from": debit, "to": credit, "amount": str(chance.randint(1, 300)), "asset": USD}
            batch.append(json.dumps(line))
            if chance.random() < 0.1:
                batch.append(batch[-1])
        made.append(batch)
    return made


@pytest.mark.parametrize("seed", range(5))
async def test_together_they_are_told_as_beside_another_line(seed: int) -> None:
    async with TwoPartitions() as plain, TwoPartitions() as mixed:
        for two in (plain, mixed):
            for name in NAMES:
                await two.done("PUT", f"/v1/accounts/{name}", {"asset": USD})
        for batch in batches(seed):
            *beside, _ = await told(mixed, *batch, OTHER)
            assert await told(plain, *batch) == beside
