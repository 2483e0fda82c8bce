"""What a block does not say of what it was decided from."""

from __future__ import annotations

from enum import StrEnum


class Untold(StrEnum):
    """Why outcomes were not decided again, for a person."""

    STEP_REFUSED = "a refused step of another partition"
    ID_MEMORY = "ids forgotten or refused because they were many"
    FORGOTTEN = "lines of a batch answered by an id that memory had forgotten"
    CHAINS = "refused batches side by side"
    COPY = "a repeated message"
    ODD = "an outcome that says too little"


class CannotTell(Exception):
    """A block that cannot be decided again as a whole."""

    def __init__(self, why: Untold) -> None:
        super().__init__(str(why))
        self.why = why
