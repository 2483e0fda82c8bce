"""What a design told of a transfer, as a sequence diagram (Mermaid): pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from write_side.designs.design import Capabilities, Request


def sequence(told: Sequence[Request | str], promises: Capabilities, node: str) -> str:
    """told: by a witness that was telling. node: what a node is called in this design."""
    return "\n".join(_lines(told, promises, node)) + "\n"


def _lines(told: Sequence[Request | str], promises: Capabilities, node: str) -> Iterator[str]:
    yield "sequenceDiagram"
    yield "    participant S as wallet service"
    for number in range(2):
        yield f"    participant N{number} as {node} {number}"
    for each in told:
        if isinstance(each, Request):
            forced = " (forced to disk)" if each.forced else ""
            yield f"    S->>N{each.node}: {each.what.replace(';', ',')}{forced}"
        else:
            yield f"    Note over S: {each}{_if_it_dies(each, promises)}"


def _if_it_dies(step: str, promises: Capabilities) -> str:
    """What a kill at this step leaves, until somebody recovers or for ever."""
    left = [
        "the money is lost for ever" if step in promises.loses_money_at else "readers find less"
        for _ in range(step in promises.unbalanced_at)
    ]
    left += ["accounts stay locked" for _ in range(step in promises.locked_at)]
    return f". Killed here, {' and '.join(left)}" if left else ""
