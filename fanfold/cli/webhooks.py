"""Commands about webhooks: who is told of changes by a POST, and what became of that."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Final, cast

import typer

from fanfold.cli.asking import AsJson
from fanfold.cli.known_failures import failures_told
from fanfold.cli.output import complain, laid_out, say
from fanfold.cli.sheet import Column, Sheet
from fanfold.cli.times import time_of
from write_side.contract.words.position import parse_positions
from write_side.contract.words.times import format_time, time_us

BAD: Final = 1
ATTEMPTS_MAX: Final = 1_000
HOURS_MAX: Final = 24 * 30
NOTICED_S: Final = 3.0
"""How long a process may take to notice the first webhook of all."""

WebhookId = Annotated[str, typer.Argument(metavar="ID", help="which webhook, as `fanfold webhook list` has it")]
From = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="POSITION",
        help="where it begins: `now`, `start`, a position (0:17, the block that is delivered first), or a time",
    ),
]
COLUMNS: Final = (
    Column("webhook"),
    Column("url", folds=True),
    Column("is told of", folds=True),
    Column("state", folds=True),
    Column("behind", right=True),
    Column("dead", right=True),
)


def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="where deliveries are sent, https://...")],
    account: Annotated[str | None, typer.Option(help="tell it of this account")] = None,
    prefix: Annotated[str | None, typer.Option(help="tell it of every account whose id begins so")] = None,
    everything: Annotated[bool, typer.Option("--all", help="tell it of every account")] = False,
    begin: From = "now",
    exhausted: Annotated[
        str,
        typer.Option(
            "--exhausted",
            metavar="go-on|pause",
            help="after the last try: a dead letter and the next one, or everything waits",
        ),
    ] = "go-on",
    attempts: Annotated[int, typer.Option(help="tries of a delivery", min=1, max=ATTEMPTS_MAX)] = 40,
    hours: Annotated[float, typer.Option(help="and for how long it is tried", min=0.01, max=HOURS_MAX)] = 24.0,
    paused: Annotated[
        bool,
        typer.Option(
            "--paused", help="send nothing before `fanfold webhook resume`: the receiver gets its secret first"
        ),
    ] = False,
    private: Annotated[
        bool, typer.Option("--allow-private", help="let it go to private networks and this machine, and over http")
    ] = False,
) -> None:
    """Add a webhook: changes of accounts are sent to its URL, at least once, those of an account in order.

    The secret that signs deliveries is shown once. read_side/webhooks/RECEIVERS.md is for who receives them.

    Examples:

      fanfold webhook add https://example.com/hooks/fanfold --all

      fanfold webhook add http://127.0.0.1:9000/ --account alice --from start --allow-private
    """
    from deploy.webhook_file import add_hook

    if exhausted not in ("go-on", "pause"):
        raise typer.BadParameter("it is go-on or pause", param_hint="--exhausted")
    with failures_told(BAD):
        hook_id, secret = add_hook(
            url,
            account,
            prefix,
            everything,
            private=private,
            paused=paused,
            exhausted=cast(Any, exhausted),
            attempts=attempts,
            hours=hours,
            begin=_begin(begin),
        )
    say(f"{hook_id}\n{secret}", changed=True)
    complain("Keep the secret now, it is shown once: the receiver checks signatures with it.")
    if not paused:
        tell_where_delivered(NOTICED_S)


def list_hooks(as_json: AsJson = False) -> None:
    """List the webhooks: how far behind each is, what went wrong last and when it is tried again.

    Example:

      fanfold webhook list
    """
    from deploy.webhook_file import is_delivered, told_hooks

    with failures_told(BAD):
        hooks, delivered = told_hooks(), is_delivered()
    if as_json:
        say(json.dumps({"delivered_from_here": delivered, "webhooks": [_as_json(each) for each in hooks]}))
        return
    rows = [(each["id"], each["url"], _wants(each), _state(each), _behind(each), str(each["dead"])) for each in hooks]
    say(laid_out(Sheet(COLUMNS, rows)))
    if hooks:
        tell_where_delivered()


def remove(hook_id: WebhookId) -> None:
    """Remove a webhook, with its secrets and its dead letters.

    Example:

      fanfold webhook remove wh_0123456789ab
    """
    from deploy.webhook_file import remove_hook

    with failures_told(BAD):
        remove_hook(hook_id)
    say(f"{hook_id} is removed")


def pause(hook_id: WebhookId) -> None:
    """Pause a webhook: nothing is sent, and nothing is lost.

    Example:

      fanfold webhook pause wh_0123456789ab
    """
    from deploy.webhook_file import pause_hook

    with failures_told(BAD):
        pause_hook(hook_id)
    say(f"{hook_id} is paused")


def resume(hook_id: WebhookId) -> None:
    """Resume a webhook where it was. What failed is tried at once, with all its tries before it.

    Example:

      fanfold webhook resume wh_0123456789ab
    """
    from deploy.webhook_file import resume_hook

    with failures_told(BAD):
        resume_hook(hook_id)
    say(f"{hook_id} goes on")


def replay(hook_id: WebhookId, begin: From) -> None:
    """Deliver again from a position, of the partitions that it names, or from a time or the start, of all of them.

    A later position than where it is leaves out what lies between.

    Examples:

      fanfold webhook replay wh_0123456789ab --from 0:17

      fanfold webhook replay wh_0123456789ab --from 2026-01-31T12:00:00Z
    """
    from deploy.webhook_file import replay_hook

    with failures_told(BAD):
        replay_hook(hook_id, _begin(begin))
    say(f"{hook_id} delivers from {begin}")
    tell_if_paused(hook_id)


def rotate(
    hook_id: WebhookId,
    keep_hours: Annotated[float, typer.Option(help="how long the old secrets sign, too", min=0, max=8_760)] = 24.0,
) -> None:
    """Make a new secret for a webhook. For a while both sign, so that no delivery is refused meanwhile.

    Example:

      fanfold webhook rotate wh_0123456789ab
    """
    from deploy.webhook_file import rotate_secret

    with failures_told(BAD):
        secret = rotate_secret(hook_id, keep_hours)
    say(secret, changed=True)
    complain(f"Keep it now, it is shown once. The old one signs as well for {keep_hours:g} hours.")


def test(hook_id: WebhookId) -> None:
    """Send a signed test delivery now, from this machine. Ends with 1 where the receiver does not take it.

    Example:

      fanfold webhook test wh_0123456789ab
    """
    from deploy.webhook_file import send_probe

    with failures_told(BAD):
        answer = asyncio.run(send_probe(hook_id))
    say(f"{hook_id}: the receiver {answer}" if answer.status else f"{hook_id}: {answer}")
    raise typer.Exit(0 if answer.is_taken else BAD)


def _begin(text: str) -> dict[int, int] | int:
    """Raises Malformed."""
    from deploy.webhook_file import now_us

    if text == "start":
        return 0
    if text == "now":
        return now_us()
    if text[:5].count("-") == 0:
        return parse_positions(text, "--from")
    moment = time_of(text, "--from")
    assert moment is not None, "something was typed"
    return max(1, time_us(moment))


def tell_where_delivered(wait_s: float = 0.0) -> None:
    """Where no process of this machine delivers: that it is so. wait_s: for one to notice."""
    from deploy.webhook_file import is_delivered, webhook_file

    if not is_delivered(wait_s):
        complain(
            f"No process of this machine delivers from {webhook_file()} now: `fanfold up` over that data folder does, or "
            "`fanfold webhooks`. Nothing is lost meanwhile."
        )


def tell_if_paused(hook_id: str) -> None:
    """Why a webhook sends nothing, where a person has to resume it."""
    from deploy.webhook_file import why_paused

    if (reason := why_paused(hook_id)) is not None:
        complain(f"It is paused ({reason}), so that is once it goes on: `fanfold webhook resume {hook_id}`.")


def _behind(each: dict[str, Any]) -> str:
    """Nobody knows before it has begun in every partition."""
    return f"{each['behind_blocks']:,}" if each["begun"] else ""


def _wants(each: dict[str, Any]) -> str:
    if each["account"] is not None:
        return str(each["account"])
    return "all accounts" if each["prefix"] is None else f"{each['prefix']}*"


def _state(each: dict[str, Any]) -> str:
    again = "" if each["next_try_us"] is None else f", next try {format_time(each['next_try_us'])[:19]}Z"
    if each["paused"] is not None:
        return f"paused: {each['paused']}"
    if each["error"] is not None:
        return f"failing ({each['failures']}): {each['error']}{again}"
    return "delivering" if each["begun"] else "not begun"


def _as_json(each: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in each.items() if name != "next_try_us"}
    return told | {"next_try": None if each["next_try_us"] is None else format_time(each["next_try_us"])}
