"""What is there and may not be known of is not told from what is not there, nor by how often all of the log is waited for."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from fanfold.api import questions, routes
from fanfold.api.ids import new_id
from fanfold.api.requests import Void
from gateway.identity.grants import Principal, grant_of_text
from gateway.identity.owners import NotLookedUp, Owners
from gateway.identity.requests_allowed import asked_of
from gateway.proxy.asgi import nothing_more, own_request
from gateway.proxy.checked_batch import CheckedBatch
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
        self.asked: list[str] = []
        self.known = {THERE: [{"account": "ben", "gives": True}]}
        self._chance = 0
        self.owners = Owners(partial(owners_of, self), lambda: 4, self.chance, lambda: 0.0)  # type: ignore[arg-type]

    def chance(self, bits: int) -> int:
        self._chance = (self._chance * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        return self._chance >> (64 - bits)

    async def inquire(self, scope: Any, receive: Any, send: Any) -> None:
        status, document = 200, dict[str, Any]()
        self.asked.append(scope["path"])
        if scope["path"] == routes.ACCOUNTS.path:
            self.waits += 1  # a name that nobody has is always among them
            document = {"accounts": []}
        elif scope["path"] == routes.MANY_PARTIES.path:
            asked = json.loads((await receive())["body"])
            assert len(asked["ids"]) <= questions.IDS_MAX
            document = {"parties": [self.known.get(id) for id in asked["ids"]]}
            self.waits += not asked["at_once"] and None in document["parties"]
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


def lines(holds: list[str]) -> list[bytes]:
    return [json.dumps({"void": {"id": new_id(), "hold": hold}}).encode() for hold in holds]


async def test_of_many_lines_that_name_holds_is_asked_in_questions_of_many() -> None:
    proxy: Any = Proxy()
    commands = CheckedCommands(proxy, proxy.owners, proxy.chance)
    mine = [new_id() for _ in range(1_000)]
    proxy.known |= {hold: [{"account": "anna", "gives": True}] for hold in mine}
    by_name = Principal("anna", (grant_of_text("anna=read,debit"),))
    judged = await CheckedBatch(proxy, commands).judge(by_name, lines(mine))
    assert all(each.refused is None for each in judged)
    assert len(proxy.asked) == 2
    assert proxy.waits == 0, "what is known waits for nothing"
    judged = await CheckedBatch(proxy, commands).judge(by_name, lines([*mine, THERE, ABSENT]))
    assert [each.refused is None for each in judged] == [True] * 1_000 + [False] * 2
    assert len(proxy.asked) <= 5


@pytest.mark.parametrize("principal", [ANNA, Principal("anna", (grant_of_text("anna=read,debit"),))])
async def test_a_batch_tells_not_by_its_waits_whether_a_hold_is_of_others_or_of_nobody(principal: Principal) -> None:
    waits = []
    for holds in ([THERE], [ABSENT], [THERE, ABSENT], [ABSENT, new_id()]):
        proxy: Any = Proxy()
        batch = CheckedBatch(proxy, CheckedCommands(proxy, proxy.owners, proxy.chance))
        judged = await batch.judge(principal, lines(holds))
        assert all(each.refused is not None for each in judged)
        waits.append((proxy.waits, len(proxy.asked)))
    assert len({*waits}) == 1


async def test_of_two_commands_about_one_id_each_is_judged_with_what_it_needs() -> None:
    """Whose an account is has to be known for the first, and would only show more of the second."""
    proxy: Any = Proxy()
    ask = proxy.inquire

    async def owners_away(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == routes.ACCOUNTS.path:
            raise NotLookedUp
        await ask(scope, receive, send)

    proxy.inquire = owners_away
    grants = "ben=credit", "@owner:anna=read,debit"
    anna = Principal("anna", tuple(map(grant_of_text, grants)))
    about = [
        json.dumps({verb: {"id": new_id(), word: THERE}}) for verb, word in (("void", "hold"), ("reverse", "transfer"))
    ]
    for first, second in (about, about[::-1]):
        with pytest.raises(NotLookedUp):
            await CheckedBatch(proxy, CheckedCommands(proxy, proxy.owners, proxy.chance)).judge(
                anna, [first.encode(), second.encode()]
            )


async def test_a_hold_that_is_folded_while_it_is_looked_for_is_found() -> None:
    proxy: Any = Proxy()
    ask, hold = proxy.inquire, new_id()

    async def later(scope: Any, receive: Any, send: Any) -> None:
        await ask(scope, receive, send)
        proxy.known[hold] = [{"account": "anna", "gives": True}]

    proxy.inquire = later
    by_name = Principal("anna", (grant_of_text("anna=read,debit"),))
    judged = await CheckedCommands(proxy, proxy.owners, proxy.chance).judge(by_name, Void(id=new_id(), hold=hold))
    assert judged.may


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
