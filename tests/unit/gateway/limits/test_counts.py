"""Places by who holds them, and whose an address is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.doors.shared_room import SharedRoom
from gateway.limits.addresses import NOBODY, address_key
from gateway.limits.counts import Counts
from gateway.limits.terms import Limits
from gateway.streams.stream_places import StreamPlaces


@given(st.integers(0, 3), st.lists(st.tuples(st.booleans(), st.sampled_from("abc"))))
def test_nobody_has_more_than_he_may_and_who_has_none_is_forgotten(most: int, steps: list[tuple[bool, str]]) -> None:
    counts, has = Counts(most), dict.fromkeys("abc", 0)
    for takes, key in steps:
        if takes:
            assert counts.take(key) is (not most or has[key] < most)
            has[key] = min(has[key] + 1, most or has[key] + 1)
        elif has[key]:
            counts.give_back(key)
            has[key] -= 1
        assert {key: counts.has(key) for key in "abc"} == has
        assert len(counts) == sum(number > 0 for number in has.values())


@pytest.mark.parametrize(
    ("client", "key"),
    [
        (("10.1.2.3", 4000), "10.1.2.3"),
        (["10.1.2.3", 4000], "10.1.2.3"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2::9", 1, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 1, 0, 2), "fe80::/64"),
        (("::ffff:10.1.2.3", 1), "10.1.2.3"),
        (("no:address", 1), "no:address"),
        (None, NOBODY),
        ("", NOBODY),
        (("", 0), NOBODY),
    ],
)
def test_an_address_is_its_own_and_of_ipv6_its_network(client: object, key: str) -> None:
    assert address_key(client) == key


def test_a_stream_takes_a_place_of_its_address_and_one_of_its_principal_and_leaves_both_once() -> None:
    places = StreamPlaces(Limits(principal_streams=1, address_streams=2))
    one, other, third = places.one(), places.one(), places.one()
    assert one.refusal("10.0.0.1", "alice") is None
    assert "FANFOLD_PRINCIPAL_STREAMS_MAX" in (other.refusal("10.0.0.1", "alice") or "")
    assert places.addresses.has("10.0.0.1") == 1, "who is refused holds nothing"
    assert other.refusal("10.0.0.1", None) is None
    assert not other.sign_in("alice")
    assert other.sign_in("bob")
    assert other.sign_in("bob"), "again is the same"
    assert "FANFOLD_ADDRESS_STREAMS_MAX" in (third.refusal("10.0.0.1", "carol") or "")
    for place in (one, one, other, third):
        place.leave()
    assert one.sign_in("alice"), "it left while it was found out who is there"
    assert (len(places.addresses), len(places.principals)) == (0, 0)


@given(
    st.integers(1, 100),
    st.integers(1, 100),
    st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.integers(1, 40))),
)
def test_a_room_is_never_over_full_and_nobody_has_more_than_his_share(
    most: int, percent: int, steps: list[tuple[bool, str, int]]
) -> None:
    room, held = SharedRoom(most, percent), list[tuple[str, int]]()
    for takes, key, size in steps:
        if not takes:
            if held:
                room.give_back(*held.pop())
            continue
        before = [other for name, other in held if name == key]
        granted = room.take(key, size)
        if granted:
            held.append((key, size))
        fits = room.used - size * granted + size <= most or not (room.used - size * granted)
        if granted:
            assert fits
            assert not before or sum(before) + size <= percent / 100 * (sum(before) + most - room.used + size)
        elif fits:
            assert before, "who has nothing there finds room where there is some"
        assert room.used == sum(size for _, size in held)
    for each in held:
        room.give_back(*each)
    assert (room.used, room._by_key) == (0, {})


def test_one_address_never_holds_all_places_of_who_has_not_signed_in() -> None:
    room = SharedRoom(1_000, 50)
    assert sum(room.take("10.0.0.1", 1) for _ in range(2_000)) == 500
    assert sum(room.take("10.0.0.2", 1) for _ in range(2_000)) == 250
    assert room.take("10.0.0.3", 1)
