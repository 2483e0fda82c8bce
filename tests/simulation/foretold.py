"""What the rules say would become of a command, were it decided next: the model of the wallet goes on by itself, on a copy."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from tests.unit.write_side.ledger.model.across import PHASES
from tests.unit.write_side.ledger.wallet_model import Ask, Item, Outcome, Tell, WalletModel
from write_side.ledger.commands.commands import Command, OpenAccount

ROUNDS_MAX = 1_000


def foretold(
    models: Sequence[WalletModel], home: int, command: Command, at_us: int, first: int = 0
) -> list[Outcome] | None:
    """Its outcomes at home: one, or those from its beginning to its end across partitions. None: time ends something first.

    first: which of the steps that are waited for answers first, counted round. Where several partitions refuse their part, the
    first of them to answer says why, and each may be that.
    """
    if any(model.holds.due(at_us) or model.coordinator.due(at_us) for model in models):
        return None
    models = copy.deepcopy(models)

    def decided(partition: int, item: Item) -> Outcome:
        [outcome] = models[partition].block([item], at_us)
        return outcome

    outcomes = [decided(home, models[home].filled(command))]
    if isinstance(command, OpenAccount) or outcomes[0].word != "pending":
        return outcomes
    process = models[home].coordinator.open[command.id]
    for _ in range(ROUNDS_MAX):
        if models[home].coordinator.is_over(process):
            break
        waits_for = process.waits_for()
        number = waits_for[first % len(waits_for)]
        step, key = process.steps[number], (home, command.id, number)
        tell = Tell(home, command.id, number, "none", "", process.begun)
        if step.partition != home:
            other = models[step.partition]
            decided(step.partition, Ask(*key, PHASES[process.phase].action, step, process.begun, 0))
            row = other.participant.rows[key]
            tell = Tell(step.partition, command.id, number, row.state, row.word, process.begun)
        outcomes.append(decided(home, tell))
    return outcomes
