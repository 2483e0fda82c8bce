"""The statement of an account in a program: what `Client.entries` gives, a page or all of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any

from fanfold.answers import Refusal
from fanfold.api.answers.statement import Entries

Page = Entries | Refusal


class Statement(Awaitable[Page]):
    """Nothing is asked before it is awaited, which gives one page, or before `async for` takes the first page of all.

    A refusal is the last that is given. Where `NotAnswered` is raised on the way, `cursor=` of the last page's `next` goes on: no
    entry is left out or given twice, however much moves meanwhile.
    """

    def __init__(self, page: Callable[[str | None], Awaitable[Page]], cursor: str | None) -> None:
        self._page = page
        self._cursor = cursor

    def __await__(self) -> Generator[Any, Any, Page]:
        return self._page(self._cursor).__await__()

    async def __aiter__(self) -> AsyncGenerator[Page, None]:
        cursor = self._cursor
        while True:
            page = await self._page(cursor)
            yield page
            if isinstance(page, Refusal) or page.next is None:
                return
            cursor = page.next
