"""A line of an answer that is made as text is the very one that the document of the same outcome is encoded as."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from tests.unit.write_side.two_partitions import PARTITIONS, TwoPartitions, account, transfer_id
from write_side.contract.block.block import Block
from write_side.contract.tell.answers import Answer, BlockAnswers

USD = "USD/2"
NAMES = [account(partition, f"{word}-") for partition in range(PARTITIONS) for word in ("a", "b", "c")]


def command(chance: random.Random, number: int) -> dict[str, Any]:
    debit, credit = chance.sample([*NAMES, "@world", "nobody"], 2)
    plain = {
        "id": transfer_id(number),
        "from": debit,
        "to": credit,
        "amount": str(chance.randint(1, 900)),
        "asset": USD,
    }
    match chance.randrange(9):
        case 0:
            return {"hold": plain}
        case 1:
            return plain | {"reference": "a bill"}
        case 2:
            return {"void": {"id": plain["id"], "hold": transfer_id(max(0, number - 3))}}
        case 3:
            legs = [{"account": name, "amount": str(amount)} for name, amount in zip(NAMES, (-2, 1, 1), strict=False)]
            return {"id": plain["id"], "asset": USD, "legs": legs}
        case 4:
            return {"change": {"id": plain["id"], "account": NAMES[0], "debit": chance.choice(["frozen", "free"])}}
        case _:
            return plain


@pytest.mark.parametrize("seed", range(4))
async def test_a_line_says_what_the_document_says(seed: int) -> None:
    chance = random.Random(seed)
    blocks: list[Block] = []
    async with TwoPartitions() as two:
        accepted = two._accepted

        def kept(block: Block, offset: int) -> None:
            accepted(block, offset)
            blocks.append(block)

        two._accepted = kept  # type: ignore[method-assign]
        await two.restart()
        for name, floor in zip(NAMES, ["0", None, "-500", "0", None, "-10"], strict=True):
            await two.done("PUT", f"/v1/accounts/{name}", {"asset": USD, "floor": floor})
        for first in range(0, 240, 30):
            lines = [command(chance, number) for number in range(first, first + 30)]
            for line in lines:
                body = next(iter(line.values())) if len(line) == 1 else line
                path = "/v1/holds" if "hold" in line and len(line) == 1 and "from" in body else "/v1/transfers"
                if len(line) > 1 or "hold" in line:
                    await two.ask("POST", path, body)
                elif "void" in line:
                    hold = body.pop("hold")
                    await two.ask("POST", f"/v1/holds/{hold}/void", body)
                else:
                    name = body.pop("account")
                    await two.ask("PATCH", f"/v1/accounts/{name}", body)
        as_text = 0
        for block in blocks:
            answers = BlockAnswers(block, two.states[block.header.partition])
            count = len(answers.outcomes)
            told = [line for row in range(count) for line in answers.lines.of(row, 1)]
            assert answers.lines.of(0, count) == told
            for row, text in enumerate(told):
                if text is None:
                    continue
                answer = answers.answer(row)
                assert isinstance(answer, Answer)
                assert text.text == msgspec.json.encode({"status": answer.status} | answer.document)
                assert text.position == answer.document["position"]
                as_text += 1
    assert as_text > 25
