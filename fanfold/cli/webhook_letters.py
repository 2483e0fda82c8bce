"""Commands about dead letters: deliveries of webhooks that were given up."""

from __future__ import annotations

import json
from typing import Annotated, Final

import typer

from fanfold.cli.asking import AsJson
from fanfold.cli.known_failures import failures_told
from fanfold.cli.output import laid_out, say
from fanfold.cli.sheet import Column, Sheet
from fanfold.cli.webhooks import BAD, WebhookId, tell_if_paused, tell_where_delivered
from write_side.contract.words.times import format_time

Number = Annotated[int, typer.Argument(metavar="NUMBER", help="which letter, as `fanfold webhook dead` has it")]

LETTERS: Final = (
    Column("number", right=True),
    Column("changes", right=True),
    Column("given up at"),
    Column("because", folds=True),
    Column("message", folds=True),
)


def dead(hook_id: WebhookId, as_json: AsJson = False) -> None:
    """List the dead letters of a webhook: deliveries that were given up.

    Example:

      fanfold webhook dead wh_0123456789ab
    """
    from deploy.webhook_file import dead_letters

    with failures_told(BAD):
        letters = dead_letters(hook_id)
    if as_json:
        say(json.dumps({"letters": [each._asdict() | {"due": bool(each.due)} for each in letters]}))
        return
    rows = [
        (str(each.number), str(each.changes), format_time(each.at_us), each.error, each.message_id) for each in letters
    ]
    say(laid_out(Sheet(LETTERS, rows)))


def retry(
    hook_id: WebhookId,
    number: Annotated[int | None, typer.Argument(metavar="NUMBER", help="one letter only, else all")] = None,
) -> None:
    """Have dead letters tried again, once, by the process that delivers. What they tell is old by now: see the versions.

    Example:

      fanfold webhook retry wh_0123456789ab
    """
    from deploy.webhook_file import retry_letters

    with failures_told(BAD):
        count = retry_letters(hook_id, number)
    say(f"{count} of its dead letters are tried again")
    tell_if_paused(hook_id)
    tell_where_delivered()


def discard(hook_id: WebhookId, number: Number) -> None:
    """Discard a dead letter that nobody needs any more.

    Example:

      fanfold webhook discard wh_0123456789ab 1
    """
    from deploy.webhook_file import discard_letter

    with failures_told(BAD):
        discard_letter(hook_id, number)
    say(f"letter {number} is discarded")
