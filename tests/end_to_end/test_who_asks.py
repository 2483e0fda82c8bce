"""A service that others can reach, set up by hand as the README says: a key pair, tokens, keys of machines, and what each may."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.end_to_end import load, processes
from tests.servers import free_port
from tests.tokens import Signer

USD = "USD/2"


async def test_a_door_to_the_world_asks_who_asks_in_every_command(tmp_path: Path) -> None:
    signer, private, public = Signer("EdDSA"), tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(signer.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(signer.pem())
    keys, errors = tmp_path / "keys.json", tmp_path / "errors.txt"
    environment = load.folder_of(tmp_path / "data") | {
        "FANFOLD_HOST": "0.0.0.0",
        "FANFOLD_AUTH": "tokens",
        "FANFOLD_AUTH_KEYS": f"file:{public}",
        "FANFOLD_AUTH_ISSUER": "me",
        "FANFOLD_AUTH_AUDIENCE": "wallet",
        "FANFOLD_API_KEYS": str(keys),
        "FANFOLD_ADMIN_PORT": str(admin_port := free_port()),
    }

    async def fanfold(*arguments: str, token: str = "", code: int = 0) -> str:
        asked = environment | {"FANFOLD_URL": url, "FANFOLD_TOKEN": token}
        ended, out, told = await processes.command(*arguments, environment=asked)
        assert ended == code, told
        assert not token or token not in out + told
        return out.strip() if code == 0 else told

    url = "http://127.0.0.1:1"
    shop = await fanfold("key", "add", "shop", "--grant", "shop=read,debit", "--grant", "*=credit")
    admin, alice = [
        await fanfold("token", name, "--key", str(private), *(word for grant in grants for word in ("--grant", grant)))
        for name, grants in (
            ("admin", ["*=read,debit,credit,open,freeze,system"]),
            ("alice", ["alice=read,debit", "*=credit"]),
        )
    ]
    async with processes.running("up", environment=environment, errors=errors) as service:
        assert "Nobody is asked" not in service.errors
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{admin_port}/metrics") as answer:
                assert "fanfold_writer_sequence" in await answer.text()
            async with http.get(f"{service.address.replace('0.0.0.0', '127.0.0.1')}/readyz") as answer:
                assert await answer.json() == {"status": "ready", "auth": "tokens"}
        url = service.address.replace("0.0.0.0", "127.0.0.1")
        assert "unauthenticated" in await fanfold("open", "alice", USD, code=1)
        assert "token_invalid" in await fanfold("open", "alice", USD, token="a.b.c", code=1)
        for account in ("alice", "shop"):
            await fanfold("open", account, USD, token=admin)
        await fanfold("transfer", "@world", "alice", "10.00", USD, token=admin)
        assert "forbidden" in await fanfold("transfer", "@world", "alice", "10.00", USD, token=alice, code=1)
        await fanfold("transfer", "alice", "shop", "4.00", USD, token=alice)
        assert "account_not_found" in await fanfold("balance", "shop", token=alice, code=1)
        told = json.loads(await fanfold("balance", "shop", "--json", token=shop))
        assert (told["posted"], told["version"]) == (400, 1)
        watching = await asyncio.create_subprocess_exec(
            *processes.COMMAND, "watch", "shop", "--json",
            env=environment | {"FANFOLD_URL": url, "FANFOLD_TOKEN": shop, "PATH": ""},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert watching.stdout is not None
            async with asyncio.timeout(processes.READY_S):
                assert json.loads(await watching.stdout.readline())["posted"] == 400
                assert "shop is revoked" in await fanfold("key", "revoke", "shop")
                _, ended = await watching.communicate()
            assert watching.returncode == 2
            assert "revoked" in ended.decode()
        finally:
            if watching.returncode is None:
                watching.kill()
        assert "token_invalid" in await fanfold("balance", "shop", token=shop, code=1)
        listed = json.loads(await fanfold("key", "list", "--json"))["keys"]
        assert [(each["name"], "revoked" in each, "sha256" in each) for each in listed] == [("shop", True, False)]
        assert await service.interrupt() == 0
        for secret in (admin, alice, shop):
            assert secret not in service.errors
