"""Whose accounts are, as the read side says it."""

from __future__ import annotations

from collections.abc import Sequence

from fanfold.api import routes
from gateway.identity.owners import NotLookedUp
from gateway.proxy.asgi import nothing_more, own_request, said_again
from gateway.proxy.reverse_proxy import ReverseProxy
from gateway.proxy.whole_answer import CutShort, whole_answer


async def owners_of(proxy: ReverseProxy, names: Sequence[str]) -> dict[str, str]:
    """Of those that are there and have one; with what was written through this gateway. Raises NotLookedUp."""
    # No name has anything to be escaped.
    question = own_request(routes.ACCOUNTS.method, f"{routes.ACCOUNTS.path}?ids={','.join(names)}")
    try:
        found = await whole_answer(lambda send: proxy.inquire(question, said_again(b"", nothing_more), send))
    except CutShort:
        raise NotLookedUp from None
    if found.status != 200:
        raise NotLookedUp
    return {each["account"]: each["owner"] for each in found.document()["accounts"] if "owner" in each}
