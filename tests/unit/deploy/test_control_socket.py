"""A rebuild in the process that serves a folder: of the service that is meant, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.control_socket import REBUILD, ROLL_BACK, ControlSocket, ask_process
from deploy.named_log import about_view
from read_side.wiring import Wishes


@pytest.mark.parametrize(
    ("url", "is_meant"),
    [
        (None, True),
        ("http://127.0.0.1:8123", True),
        ("http://localhost:8123/", True),
        ("http://wallet.internal:8123", True),
        ("http://127.0.0.1:8080", False),
        ("http://elsewhere.example:8123", False),
        ("http://localhost", False),
    ],
)
async def test_another_service_than_the_one_that_is_meant_is_not_rebuilt(
    tmp_path: Path, url: str | None, is_meant: bool
) -> None:
    rebuilt: list[Wishes] = []
    wishes = Wishes(accept_differences=True, partitions=(0, 2))

    async def rebuild(how: dict[str, Any], _send: Any) -> dict[str, Any]:
        rebuilt.append(Wishes.of(how))
        return {"switched": True}

    control = ControlSocket(tmp_path, {REBUILD: rebuild}, "http://wallet.internal:8123")
    await control.open()
    try:
        lines = [line async for line in ask_process(tmp_path, REBUILD, wishes._asdict(), url)]
    finally:
        await control.close()
    if is_meant:
        assert (lines, rebuilt) == ([{"result": {"switched": True}}], [wishes])
    else:
        assert rebuilt == []
        assert "FANFOLD_URL" in lines[0]["error"]
        assert "http://wallet.internal:8123" in lines[0]["error"]


async def test_a_rollback_is_done_and_what_another_version_asks_for_is_not(tmp_path: Path) -> None:
    async def roll_back(_how: dict[str, Any], send: Any) -> dict[str, Any]:
        send({"progress": {"blocks": 1}})
        return {"verdict": "rolled back"}

    control = ControlSocket(tmp_path, {ROLL_BACK: roll_back}, "http://127.0.0.1:8123")
    await control.open()
    try:
        done = [line async for line in ask_process(tmp_path, ROLL_BACK, {})]
        other = [line async for line in ask_process(tmp_path, "renew", {})]
    finally:
        await control.close()
    assert done == [{"progress": {"blocks": 1}}, {"result": {"verdict": "rolled back"}}]
    assert "of another version" in other[0]["error"]


def test_the_view_is_named_without_a_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FANFOLD_LOG", f"file:{tmp_path}")
    assert about_view() == f"the view of the log {tmp_path}, in the memory of the service over it"
    monkeypatch.setenv("FANFOLD_LOG", "kafka://localhost:9092")
    monkeypatch.setenv("FANFOLD_VIEW", "redis://me:secret@localhost:6379")
    assert about_view() == "the view of the log kafka://localhost:9092, in redis://localhost:6379"
