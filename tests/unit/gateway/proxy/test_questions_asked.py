"""What is there and may not be known of is not told from what is not there, nor by how often all of the log is waited for."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from fanfold.api import routes
from fanfold.api.ids import new_id
from fanfold.api.requests import Void
from gateway.identity.grants import Principal, grant_of_text
from gateway.identity.owners import Owners
from gateway.identity.requests_allowed import asked_of
from gateway.proxy.asgi import nothing_more, own_request
from gateway.proxy.checked_commands import CheckedCommands
from gateway.proxy.checked_reads import CheckedReads
from gateway.proxy.owners_of import owners_of

THERE, ABSENT = new_id(), new_id()
ANNA = Principal("anna", (grant_of_text("@owner:anna=read,debit"),))


class Proxy:
    """Before a read side that knows of one transfer, between accounts of Ben's. waits: answers that had to wait for all of the
    log, because something asked for was not there."""

    def __init__(self) -> None:
        self.waits = 0
        self._chance = 0
        self.owners = Owners(partial(owners_of, self), lambda: 4, self.chance, lambda: 0.0)  # type: ignore[arg-type]

    def chance(self, bits: int) -> int:
        self._chance = (self._chance * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        return self._chance >> (64 - bits)

    async def inquire(self, scope: Any, _: Any, send: Any) -> None:
        status, document = 200, dict[str, Any]()
        if scope["path"] == routes.ACCOUNTS.path:
            self.waits += 1  # a name that nobody has is always among them
            document = {"accounts": []}
        elif THERE in scope["path"]:
            document = {"parties": [{"account": "ben", "gives": True}], "outcome": {}}
        else:
            status = 404
            self.waits += 1
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(document).encode()})

    __call__ = inquire


async def test_a_hold_of_others_takes_as_long_to_be_refused_as_none() -> None:
    waits = []
    for hold in (THERE, ABSENT):
        proxy: Any = Proxy()
        judged = await CheckedCommands(proxy, proxy.owners, proxy.chance).judge(ANNA, Void(id=new_id(), hold=hold))
        assert not judged.may
        waits.append(proxy.waits)
    assert waits[0] == waits[1]


async def test_a_transfer_of_others_takes_as_long_to_be_not_there_as_none() -> None:
    waits = []
    for id in (THERE, ABSENT):
        proxy: Any = Proxy()
        reads = CheckedReads(proxy, proxy, proxy.owners, lambda: 4, proxy.chance)
        path, told = routes.OUTCOME.path.format(transfer=id), list[Any]()
        asked = asked_of("GET", path)
        assert asked is not None

        async def send(message: Any, told: list[Any] = told) -> None:
            told.append(message)

        await reads.outcome(ANNA, asked, own_request("GET", path), nothing_more, send)
        assert told[0]["status"] == 404
        waits.append(proxy.waits)
    assert waits[0] == waits[1]
