"""Random command streams that meet every rule: few accounts, amounts at the edges, ids that come again or at the wrong time."""

from __future__ import annotations

import random
from typing import NamedTuple

from tests.unit.write_side.deciding import NOON_US, id_at, timeless_id
from write_side.contract.words.atoms import LIMIT, NO_FLOOR
from write_side.ledger.commands.commands import Command, OpenAccount, Transfer

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

NAMES = [*(f"account-{n}" for n in range(14)), "x" * 64, "a.b:c_d"]
ASSETS = ["USD/2", "EUR/2", "BTC/8"]
AMOUNTS = (1, 2, 5, 7, 40, 1_000, LIMIT - 1, LIMIT)
FLOORS = (0, 0, 0, -5, -1_000, 3, NO_FLOOR, LIMIT, -LIMIT)


class Segment(NamedTuple):
    """Commands that meet the same time, however they are cut into blocks (each a microsecond after the one before)."""

    at_us: int
    commands: list[Command]


def random_stream(seed: int, *, segments: int, commands: int, past_ids_only: bool = False) -> list[Segment]:
    """`past_ids_only`: every id has a time, and not one ahead. Then nothing remembered depends on the microsecond of a block."""
    chance = random.Random(seed)
    at_us = NOON_US
    sent: list[Transfer] = []
    stream = []
    for _ in range(segments):
        # Never between one step of the cut-off and one millisecond less: there the cut itself would be a question of time.
        at_us += chance.choice((1_000_000, 7_000, HOUR_US // 2, HOUR_US, 2 * HOUR_US, 3 * DAY_US))
        stream.append(Segment(at_us, [_command(chance, at_us, sent, past_ids_only) for _ in range(commands)]))
    return stream


def _command(chance: random.Random, at_us: int, sent: list[Transfer], past_ids_only: bool = False) -> Command:
    dice = chance.random()
    if dice < 0.15:
        owner = chance.choice(("", "", "ann", "bob"))
        return OpenAccount(chance.choice(NAMES), _asset(chance), chance.choice(FLOORS), owner)
    if dice < 0.25 and sent:
        return chance.choice(sent[-40:])
    if dice < 0.29 and sent:
        again = chance.choice(sent[-40:])
        return chance.choice(
            (
                again._replace(amount=again.amount % LIMIT + 1),
                again._replace(debit=again.credit, credit=again.debit),
                again._replace(asset=_asset(chance)),
                again._replace(credit=chance.choice([name for name in NAMES if name != again.debit])),
            )
        )
    ends = chance.sample([*NAMES, "@world", "@world", "@world", "@world"], 2)
    if ends[0] == ends[1]:
        ends[1] = NAMES[0]
    new = Transfer(_id(chance, at_us, past_ids_only), ends[0], ends[1], chance.choice(AMOUNTS), _asset(chance))
    sent.append(new)
    return new


def _asset(chance: random.Random) -> str:
    return chance.choices(ASSETS, (12, 2, 1))[0]


def _id(chance: random.Random, at_us: int, past_ids_only: bool = False) -> bytes:
    number = chance.getrandbits(44)
    past = (0, 0, 0, 0, 1_000_000, HOUR_US, DAY_US, 7 * DAY_US, 8 * DAY_US)
    if past_ids_only:
        return id_at(at_us - chance.choice(past), number)
    if chance.random() < 0.2:
        return timeless_id(number)
    return id_at(at_us - chance.choice((*past, -1_000_000, -300_000_000, -302_000_000)), number)


def cut(stream: list[Segment], seed: int) -> list[Segment]:
    """The same commands, every segment in blocks of random sizes: one for each result here."""
    chance = random.Random(seed)
    blocks = []
    for segment in stream:
        at, block_at_us = 0, segment.at_us
        while at < len(segment.commands):
            end = min(len(segment.commands), at + chance.choice((1, 1, 2, 3, 10, 50)))
            blocks.append(Segment(block_at_us, segment.commands[at:end]))
            at, block_at_us = end, block_at_us + 1
    return blocks
