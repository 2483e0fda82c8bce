"""The JavaScript client is one file without a dependency, so it types codes and limits again: they are those of the contract."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fanfold.api.close_codes import CloseCode, is_final
from fanfold.api.frames.asked import ACCOUNTS_PER_MESSAGE_MAX
from fanfold.api.frames.kinds import CLIENT_FRAMES, GATEWAY_FRAMES
from fanfold.api.problems import PASSING, PROBLEMS
from fanfold.stream_connection import RETURN_SECONDS_MAX

SOURCE = (Path(__file__).parents[3] / "clients" / "javascript" / "wallet-stream.js").read_text()


def constant(name: str) -> str:
    [found] = re.findall(rf"^(?:export )?const {name} = (.*?);", SOURCE, re.MULTILINE)
    return str(found)


def test_it_passes_over_the_same_refusals() -> None:
    assert set(json.loads(constant("PASSING"))) == PASSING <= PROBLEMS.keys()


def test_it_does_not_come_back_after_the_same_codes() -> None:
    listed, least, most = re.findall(r"\[([\d, ]+)\].*code >= (\d+) && code <= (\d+)", constant("isFinal"))[0]
    known = {*map(int, listed.split(",")), *range(int(least), int(most) + 1)}
    assert known == {code for code in range(1_000, 5_000) if is_final(code)}
    signed_out = {CloseCode.UNAUTHENTICATED, CloseCode.TOKEN_REFUSED, CloseCode.REVOKED}
    assert set(json.loads(constant("SIGNED_OUT"))) == signed_out


def test_it_keeps_to_the_same_limits() -> None:
    assert int(constant("ACCOUNTS_AT_ONCE")) == ACCOUNTS_PER_MESSAGE_MAX
    assert int(constant("RETURN_MS_MAX")) == 1_000 * RETURN_SECONDS_MAX


def test_it_knows_no_frame_that_there_is_not() -> None:
    said = set(re.findall(r'\bop: "([a-z_]+)"', SOURCE))
    heard = set(re.findall(r'case "([a-z_]+)":', SOURCE))
    assert said
    assert said <= {kind.op for kind in CLIENT_FRAMES}
    assert heard <= {kind.op for kind in GATEWAY_FRAMES}
