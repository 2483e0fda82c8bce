"""The types of what answers hold. Texts are documented and not checked: a newer service may know more words."""

from __future__ import annotations

from typing import Annotated, Any, Final, get_args

from pydantic import Field, WithJsonSchema

from fanfold.api import grammar
from fanfold.api.words.beside import Across


def text_like(pattern: str, description: str, **more: Any) -> Any:
    """A text of an answer: what it is like is documented and not checked, for a newer service may know more words."""
    return WithJsonSchema({"type": "string", "pattern": grammar.whole(pattern), "description": description} | more)


def one_of(*words: str, means: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(words), "description": means})


def says(description: str) -> Any:
    return Field(description=description)


OPEN_PHASES: Final = (
    "trying", "debiting", "crediting", "capturing", "paying", "releasing", "compensating", "cancelling"
)  # fmt: skip
RESULTS: Final = ("done", "held", "voided", "changed", "expired")

AccountName = Annotated[str, text_like(grammar.ACCOUNT, "The id of the account.")]
AssetName = Annotated[
    str, text_like(grammar.ASSET, "Code and exponent: how many decimals the unit has.", examples=["USD/2"])
]
Id = Annotated[str, text_like(grammar.UUID, "The id of the command: its UUID.")]
Flag = Annotated[str, one_of("debit_frozen", "credit_frozen", "closed", means="Something that an account may not do.")]
STALE: Final = says(
    "Only while the log of its partition is damaged: the time of the last block that could be read, UTC, 1970 where none could. "
    "What came later is not in this answer."
)
STALE_OUTCOME: Final = says(
    "Only of a read, while the log of its home partition is damaged: the time of the last block that could be read, UTC. What "
    "has become of it since is not in this answer. Never of what is refused, for nothing can become of that."
)
Flags = Annotated[tuple[Flag, ...], says("What the account may not do.")]
Action = Annotated[
    str, one_of("try", "confirm", "cancel", means="What the home of the transfer asks the partition of the step.")
]
Protocol = Annotated[str, one_of(*get_args(Across), means="How a transfer across partitions is run.")]
REPEATED: Final = (
    "Only when this id ran before: nothing was run by this request, and this is what became of it, however long ago."
)
OpenPhase = Annotated[str, one_of(*OPEN_PHASES, means="Where a transfer that is under way stands.")]
Phase = Annotated[str, one_of(*OPEN_PHASES, "done", "refused", means="Where a transfer across partitions stands.")]
Word = Annotated[str, says("A code of the table of problems (`ProblemCode`), or `done`.")]
Count = Annotated[int, Field(ge=0)]
Version = Annotated[
    Count, says("How often the account has changed; its opening is 0. The greater one is the newer one.")
]
Partition = Annotated[Count, says("The number of a partition.")]
StepNumber = Annotated[Count, says("The number of a step of a transfer across partitions.")]
Positions = Annotated[
    str, says("How far each partition is reflected, such as `0:19,3:9`; empty when nothing is there.")
]
BLOCK_HASH: Final = "Only as of a moment: the hash of the block at `position`, by which anyone finds the same blocks."
FINAL: Final = (
    "Only as of a moment: whether a later block is known, so that nothing can come that belongs to this moment; true for every "
    "version and position."
)
EntryKind = Annotated[
    str,
    one_of(
        "transfer", "hold", "capture", "void", "reverse", "change", "expire", "step", "answer", "timeout",
        means="What made it: a command, the deadline of a hold, or (`step`, `answer`, `timeout`) a transfer across partitions.",
    ),
]  # fmt: skip


More = Annotated[bool, says("Whether there are more than `limit`.")]


HoldId = Annotated[Id, says("Of a capture or void: the id of the hold.")]
ReversedId = Annotated[Id, says("Of a reversal: the id of the transfer that it reverses.")]
KnownAccount = Annotated[str | None, says("The account; null where no log that this process reads names it.")]
KnownAsset = Annotated[str | None, says("Its asset; null where the account is not known.")]


Age = Annotated[Count, says("For how long it has been under way, milliseconds.")]
