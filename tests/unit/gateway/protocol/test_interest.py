"""What may be watched among what changed is found by marks; who is watched is never missed."""

from __future__ import annotations

import numpy as np
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.interest import Interest
from read_side.contract.marks import marks_of, marks_of_keys

NAME = st.text("ab01:", min_size=1, max_size=24)


def key(name: str) -> bytes:
    return blake3(name.encode()).digest(16)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(("watch", "forget", "ask")), st.lists(NAME, min_size=1, max_size=40, unique=True)),
        max_size=30,
    )
)
def test_nobody_who_is_watched_is_missed(steps: list[tuple[str, list[str]]]) -> None:
    accounts: dict[str, None] = {}
    keys: dict[bytes, None] = {}
    interest = Interest(accounts, keys)
    for what, names in steps:
        if what == "ask":
            found = {names[at] for at in interest.accounts(0, marks_of(names)).tolist()}
            assert found >= accounts.keys() & set(names)
            found_keys = {key(names[at]) for at in interest.keys(marks_of_keys([key(name) for name in names])).tolist()}
            assert found_keys >= keys.keys() & {key(name) for name in names}
        for name in names:
            if what == "watch":
                accounts[name] = keys[key(name)] = None
                interest.add(name)
                interest.add_key(key(name))
            elif what == "forget":
                accounts.pop(name, None)
                keys.pop(key(name), None)


def test_of_what_nobody_watches_almost_nothing_is_wanted() -> None:
    interest = Interest(dict.fromkeys(f"watched-{n}" for n in range(20_000)), {})
    assert len(interest.accounts(0, marks_of([f"nobody-{n}" for n in range(100_000)]))) < 100_000 // 250


def test_nobody_wants_anything_where_nothing_is_watched() -> None:
    interest = Interest({}, {})
    assert interest.accounts(5, marks_of(["alice"])).tolist() == []
    assert interest.keys(marks_of_keys([])).tolist() == []
    assert interest.asked_upto == 5


def test_whoever_comes_and_goes_leaves_nothing_behind_that_grows() -> None:
    watched: dict[str, None] = {}
    interest = Interest(watched, {})
    for n in range(20_000):
        watched.clear()
        watched[f"guest-{n}"] = None
        interest.add(f"guest-{n}")
        if n % 500 == 0:
            assert 0 in interest.accounts(0, marks_of([f"guest-{n}", "nobody"]))
            assert interest._accounts._bits is not None
            assert len(interest._accounts._bits) <= 1 << 16


def test_whoever_comes_and_goes_while_nobody_asks_leaves_nothing_behind() -> None:
    watched: dict[str, None] = {}
    interest = Interest(watched, {})
    interest.accounts(0, marks_of(["nobody"]))
    for n in range(20_000):
        watched.clear()
        watched[f"guest-{n}"] = None
        interest.add(f"guest-{n}")
        assert len(interest._accounts._new) < 1_000
    assert np.array_equal(interest.accounts(0, marks_of(["guest-19999"])), [0])
