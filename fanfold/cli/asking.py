"""How commands talk to the service and to the person: the address, money for the eye, failures as sentences."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, Final, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from fanfold.answers import Refusal
from fanfold.client import NotAnswered
from fanfold.stream import StreamEnded

T = TypeVar("T")

DEFAULT_URL: Final = "http://127.0.0.1:8080"

Url = Annotated[str, typer.Option("--url", envvar="FANFOLD_URL", help="address of the service")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object instead of text")]

REFUSED: Final = 1
NOT_ANSWERED: Final = 2
INTERRUPTED: Final = 130
"""Exit codes: the service said no; nobody knows (2 is also a command that was typed wrongly); Ctrl-C."""


def run(asked: Coroutine[Any, Any, T], *, may_be_done: str | None = None) -> T:
    """What came of it; failures end the command with a sentence and an exit code, never with a traceback.

    may_be_done: what to tell a person who gets no answer or stops waiting, of something that may have changed money; None when
    nothing was asked to change.
    """
    try:
        return asyncio.run(asked)
    except NotAnswered as failure:
        fail(
            f"No answer. {failure}\n"
            "Is the service running? `fanfold up` starts one; --url or FANFOLD_URL names another address.\n"
            f"{may_be_done or 'Nothing was asked to change.'}",
            NOT_ANSWERED,
        )
    except StreamEnded as ended:
        fail(str(ended), NOT_ANSWERED)
    except KeyboardInterrupt:
        if may_be_done is not None:
            fail(f"Interrupted. {may_be_done}", INTERRUPTED)
        raise typer.Exit(INTERRUPTED) from None


def fail(sentence: str, code: int = REFUSED) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(sentence))
    raise typer.Exit(code)


def fail_refused(refusal: Refusal) -> NoReturn:
    available = refusal.document.get("available")
    known = "" if available is None else f" There is {available} available, in minor units."
    fail(f"Refused ({refusal.code}): {refusal.title}. {refusal.detail}{known}")


def check_url(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        fail("The address must begin with http:// or https://, such as http://127.0.0.1:8080.", NOT_ANSWERED)
    return url


def money(amount: int | None, asset: str) -> str:
    """Minor units for the eye: 123456 of USD/2 is `1,234.56`; None is `no limit`."""
    if amount is None:
        return "no limit"
    exponent = int(asset.partition("/")[2] or 0)
    whole, fraction = divmod(abs(amount), 10**exponent)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole:,}.{fraction:0{exponent}}" if exponent else f"{sign}{whole:,}"
