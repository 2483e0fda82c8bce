"""Connections of clients leave the log its files."""

from __future__ import annotations

import resource

from deploy.descriptors import KEPT_MIN, connections_max, room_for_connections


def test_a_share_of_the_descriptors_is_kept_for_files() -> None:
    assert room_for_connections(1024, 40) == 1024 - 40 - 256
    assert room_for_connections(200, 40) == 200 - 40 - KEPT_MIN


def test_somebody_can_ask_what_the_matter_is_however_few_there_are() -> None:
    assert room_for_connections(64, 60) == 1


def test_the_limit_of_this_process_is_raised_to_what_it_may_have() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = min(before[0], 512)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        room = connections_max()
        raised = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert raised[1] == before[1]
    assert raised[0] >= soft
    assert 1 <= room < raised[0]
