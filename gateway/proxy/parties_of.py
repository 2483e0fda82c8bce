"""Whom commands are about, as the read side says it, in questions of many."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from fanfold.api import routes
from fanfold.api.questions import IDS_MAX
from fanfold.doors.answer import JSON
from gateway.identity.commands_allowed import Party
from gateway.identity.owners import QUESTIONS_AT_ONCE, NotLookedUp
from gateway.proxy.asgi import Scope, nothing_more, own_request, said_again
from gateway.proxy.reverse_proxy import ReverseProxy
from gateway.proxy.whole_answer import CutShort, WholeAnswer, whole_answer


async def parties_of(proxy: ReverseProxy, ids: Sequence[str], *, at_once: bool) -> dict[str, Sequence[Party]]:
    """None of an id that nothing has, or of which nobody knows who they are. at_once: nor of one of which not everything is known
    by now; else all that is in the log is waited for. Raises NotLookedUp."""
    parts = [ids[at : at + IDS_MAX] for at in range(0, len(ids), IDS_MAX)]
    found = dict[str, Sequence[Party]]()
    for at in range(0, len(parts), QUESTIONS_AT_ONCE):
        asked = parts[at : at + QUESTIONS_AT_ONCE]
        for part, told in zip(
            asked, await asyncio.gather(*(_asked(proxy, each, at_once) for each in asked)), strict=True
        ):
            found |= zip(part, told, strict=True)
    return found


async def _asked(proxy: ReverseProxy, ids: Sequence[str], at_once: bool) -> list[Sequence[Party]]:
    body = msgspec.json.encode({"ids": ids, "at_once": at_once})
    headers = ((b"content-type", JSON), (b"content-length", b"%d" % len(body)))
    found = await _answer(proxy, own_request(routes.MANY_PARTIES.method, routes.MANY_PARTIES.path, headers), body)
    if found.status != 200:
        raise NotLookedUp
    return [
        [Party(each["account"], each["gives"]) for each in parties or ()] for parties in found.document()["parties"]
    ]


async def _answer(proxy: ReverseProxy, question: Scope, body: bytes) -> WholeAnswer:
    try:
        return await whole_answer(lambda send: proxy.inquire(question, said_again(body, nothing_more), send))
    except CutShort:
        raise NotLookedUp from None
