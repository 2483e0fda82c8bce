"""Signatures as the specification has them, and a receiver that knows nothing of ours."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import read_side.webhooks
from fanfold.api.values import adapter
from fanfold.api.webhooks import BalancesWebhook
from read_side.webhooks.signing import headers, new_secret, signature

RECEIVERS = (Path(read_side.webhooks.__file__).parent / "RECEIVERS.md").read_text()
SECRETS = ["whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in range(2)]
BODY = '{"type":"fanfold.balances.v1","data":"é"}'.encode()


def test_the_signature_is_the_one_of_the_specifications_example() -> None:
    made = signature(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_has_a_prefix_and_as_many_bytes_as_the_specification_asks_for() -> None:
    secret = new_secret(lambda count: b"\xff" * count)
    assert secret.startswith("whsec_")
    assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"))) <= 64


def code(language: str) -> str:
    [found] = re.findall(rf"```{language}\n(.*?)```", RECEIVERS, re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def check() -> Callable[..., Any]:
    """The Python of the page for receivers."""
    names: dict[str, Any] = {}
    exec(compile(code("python"), "RECEIVERS.md", "exec"), names)
    checked: Callable[..., Any] = names["check"]
    return checked


def test_the_python_for_receivers_takes_what_is_signed_by_either_secret_and_nothing_else(
    check: Callable[..., Any],
) -> None:
    now = int(time.time())
    signed = headers(SECRETS, "msg_1", now, BODY)
    assert check(SECRETS[:1], signed, BODY) == check(SECRETS[1:], signed, BODY) == json.loads(BODY)
    other = "whsec_" + base64.b64encode(b"x" * 32).decode()
    for secrets, told, body in (
        ([other], signed, BODY),
        (SECRETS, signed, BODY + b" "),
        (SECRETS, signed | {"webhook-id": "msg_2"}, BODY),
        (SECRETS, signed | {"webhook-timestamp": str(now + 1)}, BODY),
        (SECRETS, signed | {"webhook-signature": ""}, BODY),
        (SECRETS, headers(SECRETS, "msg_1", now - 301, BODY), BODY),
        (SECRETS, headers(SECRETS, "msg_1", now + 301, BODY), BODY),
    ):
        with pytest.raises(ValueError, match="webhook"):
            check(secrets, told, body)


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_the_javascript_for_receivers_takes_what_is_signed_and_nothing_else(tmp_path: Path) -> None:
    now = int(time.time())
    cases = [
        (SECRETS[1:], headers(SECRETS, "msg_1", now, BODY), BODY.decode(), True),
        (SECRETS[1:], headers(SECRETS, "msg_1", now, BODY), BODY.decode() + " ", False),
        (SECRETS[1:], headers(SECRETS[:1], "msg_1", now, BODY), BODY.decode(), False),
        (SECRETS, headers(SECRETS, "msg_1", now - 301, BODY), BODY.decode(), False),
        (SECRETS, headers(SECRETS, "msg_1", now, BODY) | {"webhook-signature": "v1,AAAA v2,x"}, BODY.decode(), False),
    ]
    script = tmp_path / "check.mjs"
    script.write_text(
        code("javascript")
        + f"\nconst cases = {json.dumps(cases)};\n"
        + "for (const [secrets, headers, body, good] of cases) {\n"
        + "  let took = true;\n  try { check(secrets, headers, Buffer.from(body)); } catch { took = false; }\n"
        + "  if (took !== good) throw new Error(`${body} ${good}`);\n}\n"
    )
    ended = subprocess.run(["node", script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr


def test_the_example_for_receivers_is_a_delivery_as_it_is_declared() -> None:
    told = adapter(BalancesWebhook).validate_json(code("json"))
    assert told.data.changes[0].account == "alice"
    assert told.data.position == told.data.changes[-1].position
