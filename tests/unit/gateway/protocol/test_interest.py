"""What is watched among what changed, whether names come as strings or packed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.interest import Interest
from read_side.contract.packed_names import ROOM, PackedNames

NAME = st.text("ab01:", min_size=1, max_size=24)


def packed(names: Sequence[str]) -> PackedNames:
    text = "".join(names).encode()
    lengths = np.array([len(name) for name in names], np.uint8)
    return PackedNames(b"x" * ROOM + text + b"y" * ROOM, ROOM, lengths)


@settings(deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.sampled_from(("watch", "forget")), st.lists(NAME, min_size=1, max_size=40)),
            st.tuples(st.sampled_from(("strings", "packed")), st.lists(NAME, min_size=1, max_size=40, unique=True)),
        ),
        max_size=30,
    )
)
def test_exactly_what_is_watched_is_found_in_its_order(steps: list[tuple[str, list[str]]]) -> None:
    watched: dict[str, dict[object, None]] = {}
    interest = Interest(watched)
    for what, names in steps:
        if what == "watch":
            for name in names:
                watched[name] = {}
                interest.add(name)
        elif what == "forget":
            for name in names:
                watched.pop(name, None)
        else:
            accounts = packed(names) if what == "packed" else names
            assert interest.wanted(accounts) == [(at, name) for at, name in enumerate(names) if name in watched]


def test_whoever_comes_and_goes_leaves_nothing_behind_that_grows() -> None:
    watched: dict[str, dict[object, None]] = {}
    interest = Interest(watched)
    interest.wanted(packed(["nobody"]))
    for n in range(20_000):
        watched.clear()
        watched[f"guest-{n}"] = {}
        interest.add(f"guest-{n}")
        if n % 500 == 0:
            assert interest.wanted(packed([f"guest-{n}", "nobody"])) == [(0, f"guest-{n}")]
            assert interest._table is not None
            assert len(interest._table) <= 1 << 15


def test_whoever_comes_and_goes_while_no_packed_names_come_leaves_nothing_behind() -> None:
    watched: dict[str, dict[object, None]] = {}
    interest = Interest(watched)
    interest.wanted(packed(["nobody"]))
    for n in range(20_000):
        watched.clear()
        watched[f"guest-{n}"] = {}
        interest.add(f"guest-{n}")
        assert len(interest._new) < 1_000
    assert interest.wanted(packed(["guest-19999", "nobody"])) == [(0, "guest-19999")]
