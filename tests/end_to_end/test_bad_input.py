"""Nonsense at the one public door: always a 4xx with a code, never a 5xx, nothing changed, and nothing of it said back."""

from __future__ import annotations

import io
import json
from pathlib import Path

import aiohttp

from tests.end_to_end import load, processes

MARK = "Zebra77"
GOOD: dict[str, object] = {
    "id": "0190e3a0-0000-7000-8000-000000000001",
    "from": "alice",
    "to": "bob",
    "amount": "1",
    "asset": "USD/2",
}
OTHER_ID = "0190e3a0-0000-7000-8000-000000000002"
MEGABYTE = 1024 * 1024

DOORS = [
    ("PUT", "/v1/accounts/carol"),
    ("PATCH", "/v1/accounts/alice"),
    ("POST", "/v1/transfers"),
    ("POST", f"/v1/transfers/{OTHER_ID}/reverse"),
    ("POST", "/v1/holds"),
    ("POST", f"/v1/holds/{OTHER_ID}/capture"),
    ("POST", f"/v1/holds/{OTHER_ID}/void"),
]
"""Everywhere where one command comes in; none of the bodies below is one for any of them."""


def _amounts() -> list[bytes]:
    """One field wrong: the amount, as raw JSON."""
    raw = [
        "NaN", "-Infinity", "1e400", "true", "1.5", "1", '"1_000"', '"١٢"', '"9223372036854775808"', '"-1"', '""', '"0"',
        '"+1"', '" 1"', '"01"', "null", "[]", "{}", '"\\ud800"', '"1\\u0000"', f'"{MARK}"', '"1e3"', '"0x10"',
    ]  # fmt: skip
    return [json.dumps(GOOD).replace('"amount": "1"', f'"amount": {value}').encode() for value in raw]


def _bodies() -> list[bytes]:
    good = json.dumps(GOOD)
    return [
        *_amounts(),
        b"",
        b"null",
        b"[]",
        MARK.encode(),
        b"\xff\xfe" + good.encode(),
        b"\xef\xbb\xbf" + good.encode(),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        good.encode()[:-1],
        good.encode() + b"x",
        good.replace("{", '{"amount": "5", ', 1).encode(),
        good.replace("{", f'{{"{MARK}": 1, ', 1).encode(),
        good.replace("alice", "al\\u0000ice").encode(),
        good.replace("alice", "al\\nice").encode(),
        good.replace("alice", "@transit").encode(),
        good.replace("alice", "x" * 65).encode(),
        good.replace("bob", "alice").encode(),
        good.replace("0190e3a0-0000-7000-8000-000000000001", "00000000-0000-0000-0000-000000000000").encode(),
        good.replace("0190e3a0-0000-7000-8000-000000000001", "ffffffff-ffff-ffff-ffff-ffffffffffff").encode(),
        good.replace("0190e3a0", "0190e3aé").encode(),
        good.replace("USD/2", "usd").encode(),
        b'{"from": "' + b"x" * (10 * MEGABYTE) + b'"}',
    ]


def _orders() -> list[tuple[str, str, dict[str, object]]]:
    """Bodies that are almost right for one door."""
    id: dict[str, object] = {"id": GOOD["id"]}
    legs = [{"account": "alice", "amount": "-1"}, {"account": "bob", "amount": "1"}]
    capture, void = f"/v1/holds/{OTHER_ID}/capture", f"/v1/holds/{OTHER_ID}/void"
    return [
        ("POST", "/v1/transfers", GOOD | {"protocol": MARK}),
        ("POST", "/v1/transfers", GOOD | {"reference": MARK + "\n"}),
        ("POST", "/v1/transfers", GOOD | {"metadata": {MARK: 1}}),
        ("POST", "/v1/transfers", GOOD | {"metadata": {MARK: "\ud800"}}),
        ("POST", "/v1/transfers", GOOD | {"dry_run": MARK}),
        ("POST", "/v1/transfers", id | {"asset": "USD/2", "legs": legs * 20}),
        ("POST", "/v1/transfers", id | {"asset": "USD/2", "legs": [legs[0] | {"if_version": 10**30}, legs[1]]}),
        ("POST", "/v1/transfers", id | {"asset": "USD/2", "legs": [legs[0] | {"if_available_at_least": 1.5}, legs[1]]}),
        ("POST", "/v1/transfers", id | {"legs": [legs[0] | {"asset": "USD/2"}, legs[1] | {"asset": "EUR/2"}]}),
        ("POST", f"/v1/transfers/{MARK}/reverse", id),
        ("POST", "/v1/holds", GOOD | {"deadline": MARK}),
        ("POST", "/v1/holds", GOOD | {"deadline": "2030-02-30T00:00:00Z"}),
        ("POST", "/v1/holds", GOOD | {"protocol": "tcc"}),
        ("POST", f"/v1/holds/{MARK}/capture", id),
        ("POST", f"/v1/holds/{MARK}%0A/void", id),
        ("POST", capture, id | {"amount": "0"}),
        ("POST", capture, id | {"amount": "1", "legs": legs}),
        ("POST", capture, id | {"final": MARK}),
        ("POST", void, id | {MARK: "1"}),
        ("PATCH", "/v1/accounts/alice", id),
        ("PATCH", "/v1/accounts/alice", id | {"state": MARK}),
        ("PATCH", "/v1/accounts/@world", id | {"debit": "frozen"}),
    ]


async def _expect_refused(response: aiohttp.ClientResponse, what: object) -> None:
    text = await response.text()
    assert 400 <= response.status < 500, (response.status, text[:200], str(what)[:200])
    assert json.loads(text)["code"], text
    assert MARK not in text


async def _outcomes(environment: dict[str, str]) -> int:
    _, out, _ = await processes.command("verify", "--json", environment=environment)
    return int(json.loads(out)["outcomes"])


async def test_nonsense_is_refused_at_every_door_and_changes_nothing(tmp_path: Path) -> None:
    environment = load.folder_of(tmp_path / "data")
    async with (
        processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service,
        aiohttp.ClientSession(service.address) as session,
    ):
        await load.open_accounts(session, service.address, ["alice", "bob"])
        before = await _outcomes(environment)
        for body in _bodies():
            headers = {"Content-Type": "application/json"}
            for method, path in DOORS:
                async with session.request(method, path, data=io.BytesIO(body), headers=headers) as response:
                    await _expect_refused(response, (path, body))
            if b"\n" not in body and len(body) < MEGABYTE:
                batch = {"Content-Type": "application/x-ndjson"}
                async with session.post("/v1/transfers:batch", data=body + b"\n", headers=batch) as response:
                    answer = await response.text()
                    assert response.status < 500
                    assert MARK not in answer
                    assert all(400 <= json.loads(line)["status"] < 500 for line in answer.splitlines())
        for method, path, order in _orders():
            async with session.request(method, path, json=order) as response:
                await _expect_refused(response, (path, order))
        lines = {"Content-Type": "application/x-ndjson"}
        for query in (f"mode={MARK}", "mode=stop&mode=stop", MARK):
            async with session.post(f"/v1/transfers:batch?{query}", data=b"{}\n", headers=lines) as response:
                await _expect_refused(response, query)
        for wait in ("31", "-1", MARK):
            async with session.post("/v1/transfers", json=GOOD, headers={"Prefer": f"wait={wait}"}) as response:
                await _expect_refused(response, wait)
        arrow = {"Content-Type": "application/vnd.apache.arrow.stream"}
        for stream in (b"", MARK.encode(), b"\xff\xff\xff\xff" * 100):
            async with session.post("/v1/transfers:batch", data=stream, headers=arrow) as response:
                await _expect_refused(response, stream)
        for content_type in ("text/plain", "application/xml", f"application/{MARK}"):
            async with session.post("/v1/transfers", data=b"{}", headers={"Content-Type": content_type}) as response:
                await _expect_refused(response, content_type)
        for path in (
            "/v1/accounts/al%00ice",
            "/v1/accounts/%ff",
            f"/v1/accounts/{MARK}%0A",
            "/v1/accounts/a%2Fb",
            "/v1/zzz",
        ):
            async with session.get(path) as response:
                await _expect_refused(response, path)
        for query in (
            "min_position=x",
            "min_position=0:1,0:2",
            "min_position=9:1",
            "min_version=-1",
            "wait_ms=1e9",
            MARK,
        ):
            async with session.get(f"/v1/accounts/alice?{query}") as response:
                await _expect_refused(response, query)
        async with session.delete("/v1/accounts/alice") as response:
            await _expect_refused(response, "DELETE")
        async with session.post("/internal/balances", json={"accounts": ["alice"]}) as response:
            await _expect_refused(response, "internal")
        assert await _outcomes(environment) == before
        assert MARK not in service.errors
        assert "Traceback" not in service.errors
