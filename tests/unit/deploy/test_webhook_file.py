"""The file of the webhooks as commands see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy import webhook_file
from read_side.webhooks.addresses import BadUrl
from read_side.webhooks.kept_hooks import KeptHooks, NoHook

URL = "https://example.com/hook"


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FANFOLD_DATA", str(tmp_path / "data"))
    for name in ("FANFOLD_LOG", "FANFOLD_WEBHOOKS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "data" / "webhooks.db"


def added(url: str = URL, **more: Any) -> str:
    plain: dict[str, Any] = {
        "private": False, "paused": False, "exhausted": "go-on", "attempts": 3, "hours": 1.0, "begin": 0
    }  # fmt: skip
    return webhook_file.add_hook(url, None, None, True, **(plain | more))[0]


def test_looking_for_webhooks_makes_no_file_and_no_folder(path: Path) -> None:
    assert webhook_file.told_hooks() == []
    with pytest.raises(NoHook, match="FANFOLD_DATA"):
        webhook_file.pause_hook("wh_1")
    with pytest.raises(BadUrl):
        added("http://example.com/")
    assert not path.parent.exists()


def test_what_is_told_of_a_webhook_has_no_secret_in_it() -> None:
    hook_id = added()
    secret = webhook_file.rotate_secret(hook_id, 1.0)
    [told] = webhook_file.told_hooks()
    assert (told["id"], told["secrets"], told["paused"], told["begun"]) == (hook_id, 2, None, True)
    assert secret not in str(told)
    assert not webhook_file.is_delivered()


def test_a_position_that_the_log_has_not_got_is_refused_and_changes_nothing(path: Path) -> None:
    hook_id = added()
    kept = KeptHooks.opened(path)
    kept.store_heads({0: 17, 1: 3})
    for begin, says in (({0: 19}, "0:17"), ({2: 0}, "no partition 2")):
        with pytest.raises(NoHook, match=says):
            webhook_file.replay_hook(hook_id, begin)
    assert kept.lanes(hook_id) == {}
    webhook_file.replay_hook(hook_id, {0: 18})
    [told] = webhook_file.told_hooks()
    assert (told["position"], told["behind_blocks"], told["begun"]) == ("0:17", 0, False)
    kept.close()


def test_a_time_that_has_not_come_is_no_beginning(path: Path) -> None:
    later = webhook_file.now_us() + 3_600_000_000
    with pytest.raises(NoHook, match="has not come"):
        added(begin=later)
    assert not path.exists()
    hook_id = added(begin=webhook_file.now_us(), paused=True)
    with pytest.raises(NoHook, match="has not come"):
        webhook_file.replay_hook(hook_id, later)
    assert webhook_file.why_paused(hook_id) is not None
    webhook_file.resume_hook(hook_id)
    assert webhook_file.why_paused(hook_id) is None
