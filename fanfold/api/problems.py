"""Every way in which a request is refused: the word that never changes, its HTTP status, its title, what it means for the money.

The words of outcomes are also the log's (`write_side/contract/words/codes.py`); what is said of them over HTTP is said here
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple


class Problem(NamedTuple):
    """How a refusal is told over HTTP: RFC 9457's status and title, and what it means for the money."""

    status: int
    title: str
    detail: str


_NOTHING: Final = "Nothing changed by this request."
"""Said where the log was not asked: an earlier request with the same id may have done something."""

PROBLEMS: Final[dict[str, Problem]] = {
    # Outcomes in the log.
    "id_reused_with_other_content": Problem(
        422,
        "This id was used for another command",
        "No money moved by this request; what the id was used for first stands. Use a new id for a new command.",
    ),
    "id_expired": Problem(
        422,
        "The time in this id is older than what is remembered",
        "No money moved by this request, and none ever will under this id; an earlier request with it may have moved some. "
        "Ids of a time from `remembered_from` on are remembered. "
        "If the id was made just now, the clock of the client that made it is behind: set it right; or a clock was ahead here "
        "once, as `fanfold log clock` tells: use an id without a time. Else look at the accounts, or ask for the transfer by its "
        "id, before asking again under a new one.",
    ),
    "id_in_future": Problem(
        422,
        "The time in this id is more than 5 minutes ahead",
        "No money moved by this request. The clock of the client that made the id is ahead: set it right, then use a new id.",
    ),
    "id_memory_full": Problem(
        503,
        "The memory for ids without a time is full",
        "No money moved by this request: nothing was run. Send it again later, unchanged. "
        "An Idempotency-Key, or an id that is no UUID of version 7, is remembered for 7 days, and is not run rather than "
        "forgotten sooner. An id of version 7 is taken now. FANFOLD_IDS_MAX sets for how many ids there is room; where "
        "FANFOLD_IDS names a folder, every id that ran is kept there and there is always room.",
    ),
    "partitions_differ": Problem(
        422,
        "A line of an atomic batch spans partitions",
        "No money moved. Send it alone, with a new id: it is all or nothing by itself.",
    ),
    "account_unknown": Problem(
        422,
        "An account that is named does not exist",
        "No money moved. Look at how the accounts and the asset are written; accounts are opened first, and the @world of an "
        "asset is there once an account of its partition has that asset.",
    ),
    "asset_mismatch": Problem(
        422, "An account that is named has another asset", "No money moved. An account has one asset."
    ),
    "insufficient_available": Problem(
        422, "Not enough available", "No money moved. Available is posted - held - floor."
    ),
    "balance_limit_exceeded": Problem(
        422,
        "A balance would pass 10^18 minor units",
        "No money moved. No account, the @world of each partition included, may be further from zero than 10^18 minor "
        "units of its asset: 10^16 of USD/2, a thousand of ETH/15. GET /v1/system tells how far each @world is. An asset with a "
        "smaller exponent has room for more.",
    ),
    "account_frozen_for_debit": Problem(
        422, "An account that is named may not give", "No money moved. Its debits are frozen."
    ),
    "account_frozen_for_credit": Problem(
        422, "An account that is named may not receive", "No money moved. Its credits are frozen."
    ),
    "account_closed": Problem(422, "An account is closed", "No money moved. Reopen the account first."),
    "account_not_empty": Problem(
        422, "Only an account at zero can be closed", "Nothing changed. Its posted and held sums must be zero."
    ),
    "version_differs": Problem(
        422, "An account has another version than if_version", "No money moved. Read the account, then decide."
    ),
    "available_below_condition": Problem(422, "An account has less than if_available_at_least", "No money moved."),
    "hold_unknown": Problem(
        422,
        "No such hold is open",
        "No money moved by this request. The hold was never made, or is over: captured, voided or expired.",
    ),
    "capture_exceeds_hold": Problem(
        422, "The hold has less left than this capture asks", "No money moved. The hold is as it was."
    ),
    "hold_busy": Problem(
        422,
        "A capture of this hold is under way",
        "No money moved by this one. Wait until the other has ended.",
    ),
    "transfer_unknown": Problem(
        422,
        "The transfer to reverse is not remembered",
        "No money moved by this request. The transfer was never made, or is not remembered any more: it may be reversed already. "
        "`GET /v1/transfers/{id}` says what became of it, and what reversed it: look there before you move money back another "
        "way.",
    ),
    "already_reversed": Problem(
        422, "The transfer is reversed already", "No money moved by this one. A transfer is reversed at most once."
    ),
    "not_reversible": Problem(
        422,
        "Only a done transfer can be reversed",
        "No money moved by this request. Under that id is something else: a hold, a capture, a reversal or a change of an "
        "account, or a transfer that was refused or is under way. A done capture or reversal is answered with a transfer the "
        "other way round.",
    ),
    "batch_refused": Problem(
        422, "Another line of this atomic batch was refused", "No line of this request moved money."
    ),
    "not_run": Problem(
        422,
        "An earlier line of this batch was refused",
        "This request did not run this line. If its id was asked for before, what was answered then holds.",
    ),
    "timed_out": Problem(422, "A partition did not answer in time", "No money moved: what was held is let go."),
    "deadline_passed": Problem(422, "The hold's deadline has passed", "Nothing is held. Ask for a later deadline."),
    "hold_spans_partitions": Problem(
        422,
        "The accounts that give live in different partitions",
        "Nothing is held. Make one hold for each partition.",
    ),
    "account_exists_with_other_terms": Problem(
        409, "This account exists with other terms", "Nothing changed. Read the account to see its terms."
    ),
    "asset_collides": Problem(
        422,
        "This asset's name cannot be told from another one's",
        "Nothing changed. An asset with the same 64-bit hash is in use; that does not happen by chance. Choose another code.",
    ),
    # Malformed input, said at the door: nothing reached the log.
    "body_malformed": Problem(400, "The body is not the JSON asked for", _NOTHING),
    "body_too_large": Problem(413, "The body is too large", f"{_NOTHING} Send it in smaller parts."),
    "body_timeout": Problem(408, "The body did not arrive in time", f"{_NOTHING} Try again with the same id."),
    "content_type_unsupported": Problem(415, "The content type is not supported", _NOTHING),
    "field_unknown": Problem(400, "The body has a field that is not known", _NOTHING),
    "field_missing": Problem(400, "The body lacks a field", _NOTHING),
    "idempotency_key_malformed": Problem(400, "The Idempotency-Key is malformed", _NOTHING),
    "ids_differ": Problem(400, "The id and the Idempotency-Key name different transfers", f"{_NOTHING} Send one."),
    "id_malformed": Problem(400, "The id is malformed", _NOTHING),
    "account_malformed": Problem(400, "An account id is malformed", _NOTHING),
    "asset_malformed": Problem(400, "The asset is malformed", _NOTHING),
    "amount_malformed": Problem(400, "The amount is malformed", _NOTHING),
    "floor_malformed": Problem(400, "The floor is malformed", _NOTHING),
    "legs_malformed": Problem(400, "The legs are malformed", _NOTHING),
    "owner_malformed": Problem(400, "The owner is malformed", _NOTHING),
    "position_malformed": Problem(400, "The position is malformed", _NOTHING),
    "parameter_malformed": Problem(400, "A parameter is malformed", _NOTHING),
    "deadline_malformed": Problem(400, "The deadline is malformed", _NOTHING),
    "protocol_malformed": Problem(400, "The protocol is malformed", _NOTHING),
    "reference_malformed": Problem(400, "The reference is malformed", _NOTHING),
    "metadata_malformed": Problem(400, "The metadata is malformed", _NOTHING),
    "condition_malformed": Problem(400, "A condition is malformed", _NOTHING),
    "flags_malformed": Problem(400, "The flags are malformed", _NOTHING),
    "mode_malformed": Problem(400, "The batch mode is malformed", _NOTHING),
    "batch_spans_partitions": Problem(
        422,
        "An atomic batch must stay in one partition",
        "No money moved by this request. A transfer of many legs may span partitions.",
    ),
    "batch_too_large": Problem(
        413,
        "An atomic batch must fit into one block of the log",
        "No money moved by this request. Send fewer lines, or lines with fewer legs.",
    ),
    "batch_kind_unsupported": Problem(422, "An atomic batch takes transfers only", _NOTHING),
    "same_account_twice": Problem(422, "A transfer needs two different accounts", _NOTHING),
    # Reads.
    "account_not_found": Problem(404, "No such account", "There is none up to the position of this answer."),
    "transfer_not_found": Problem(
        404, "No such transfer is remembered", "There is none up to the position of this answer."
    ),
    "id_ambiguous": Problem(
        409,
        "Two partitions hold a transfer with this id",
        "Each has done what it was asked: read the accounts to see both. Use an id once only, in all partitions.",
    ),
    "position_not_reached": Problem(409, "The view has not reached that position", "Try again, or read what is held."),
    "version_not_reached": Problem(409, "The account has not reached that version", "Try again, or read what is held."),
    "view_rebuilding": Problem(
        503,
        "The view is being made right from the log",
        "Nothing is said rather than something old, and what was done is in the log. Try again soon.",
    ),
    "starting": Problem(
        503,
        "The service is starting",
        "The log is being folded; before that, on the first start of a version, code is compiled for a minute or more. Nothing "
        "is said meanwhile, and what was done is in the log. /readyz tells how far it is. Try again soon.",
    ),
    "partition_elsewhere": Problem(
        503,
        "This process does not project that partition",
        "What was done there is in the log, and was not looked at here. Ask a read side that projects the partition.",
    ),
    "partition_unavailable": Problem(
        503,
        "One partition cannot be read now",
        "What was done there is in the log, and other partitions are answered. The reason says what is the matter.",
    ),
    "history_unavailable": Problem(
        503,
        "The past cannot be asked here now",
        "No balance is affected, and what is so now is answered. The reason says what is the matter.",
    ),
    "version_unknown": Problem(
        404,
        "The account has not had that version",
        "Nothing is wrong with the account: `position` says how far this answer knows it.",
    ),
    "cursor_malformed": Problem(400, "The cursor is not of this question", _NOTHING),
    # Who asks, where the gateway asks that.
    "unauthenticated": Problem(
        401,
        "This request does not say who asks",
        "Nothing was done. Send a token or a key as `Authorization: Bearer ...`; whoever runs the service gives them out.",
    ),
    "token_invalid": Problem(
        401,
        "This token or key is not accepted",
        "Nothing was done by this request. Get a new one, and send the same request with the same id.",
    ),
    "forbidden": Problem(
        403,
        "Who asks has no right to this",
        "Nothing was done by this request. Whether what it names is there is not said. Rights are given by whoever runs the "
        "service.",
    ),
    # Environment.
    "not_found": Problem(404, "There is nothing at this address", _NOTHING),
    "method_not_allowed": Problem(405, "This address does not take that method", _NOTHING),
    "not_ready": Problem(
        503, "The service is not ready yet", "No money is affected. The reasons say what it waits for."
    ),
    "overloaded": Problem(503, "Too many requests are waiting", "This one was not taken. Try again with the same id."),
    "rate_limited": Problem(
        429,
        "Who asks has asked more than is granted to one",
        "Nothing was done by this request, and it moved no money. Send it again, with the same id, after as many seconds as "
        "Retry-After says. RateLimit-Policy says how much is granted, and RateLimit how much of it is left; a batch counts by "
        "its size, not by its lines.",
    ),
    "too_many_connections": Problem(
        429,
        "Who asks has as many streams open as are granted to one",
        "Nothing was done, and the streams that are open go on. Close some, or watch more accounts over each.",
    ),
    "partition_stopped": Problem(
        503,
        "The accounts' partition does not serve just now",
        "This request was not taken and moved no money; an earlier one with the same id may have. The reason says why. "
        "Other partitions go on. Try again with the same id.",
    ),
    "stopping": Problem(503, "The service is stopping", "This request was not taken. Try again with the same id."),
    "outcome_unknown": Problem(
        503,
        "The outcome was not seen in time",
        "The transfer may have been made. Send it again with the same id: it can never run twice.",
    ),
    "upstream_unavailable": Problem(
        503,
        "The service behind the gateway cannot be reached",
        "Nothing was done by this request, and it moved no money. Send it again soon with the same id.",
    ),
    "upstream_failed": Problem(
        502,
        "The service behind the gateway gave no whole answer",
        "A write may have been made. Send it again with the same id: it can never run twice.",
    ),
    "upstream_timeout": Problem(
        504,
        "The service behind the gateway did not answer in time",
        "A write may have been made. Send it again with the same id: it can never run twice.",
    ),
    "internal": Problem(500, "Something failed that should not", "Send it again with the same id."),
    # HTTP itself, before an address is looked at.
    "request_malformed": Problem(400, "This is no request of HTTP/1.1", "Nothing was done, and the connection ends."),
    "version_unsupported": Problem(
        505, "This version of HTTP is not spoken here", "Nothing was done. Ask in HTTP/1.1."
    ),
    "host_malformed": Problem(
        400,
        "The request does not say which host it is for",
        "Nothing was done. Send exactly one Host header with a name or an address.",
    ),
    "host_refused": Problem(
        421,  # RFC 9110 section 15.5.20: the request reached a server that does not answer for this name
        "This service does not answer to that name",
        "Nothing was done. FANFOLD_ALLOWED_HOSTS names the hosts that are answered besides; without it only loopback names and "
        "the address it listens on are, so that no other page can use it.",
    ),
    # The stream.
    "op_unknown": Problem(400, "The op is not known", _NOTHING),
    "topic_not_found": Problem(
        404,
        "There is no such topic",
        "Nothing is watched. FANFOLD_TOPICS of the read side says which topics there are.",
    ),
    "topic_unavailable": Problem(
        503,
        "The topic has no answer yet",
        "It is watched, and told once there is one. No balance is affected; /readyz says what is the matter.",
    ),
    "topic_too_large": Problem(
        503,
        "The topic's answer is too large",
        "It is not told, and a smaller one will be. No balance is affected. LIMIT the question of the projection.",
    ),
    "prefix_refused": Problem(
        403,
        "Who asks may watch no prefix here",
        "Nothing is watched by this request. Name the accounts instead. FANFOLD_STREAM_PREFIXES of the gateway says who may "
        "watch all accounts with a prefix: it makes a gateway take every change of everybody.",
    ),
    "too_many_subscriptions": Problem(400, "This connection has too many subscriptions", _NOTHING),
    "handshake_malformed": Problem(
        400, "The handshake is malformed", "Nothing changed. Connect with a WebSocket client."
    ),
    "origin_refused": Problem(
        403,
        "A page of another origin may not open this stream",
        "Nothing changed. FANFOLD_ALLOWED_ORIGINS names the origins that may.",
    ),
    "upgrade_required": Problem(
        426, "This address speaks WebSocket only", "Nothing changed. Connect with a WebSocket client."
    ),
}

NOT_TAKEN: Final = frozenset(
    {
        "id_memory_full",
        "not_ready",
        "overloaded",
        "partition_stopped",
        "rate_limited",
        "starting",
        "stopping",
        "too_many_connections",
    }
)
"""Of the answers that are worth asking again (5xx, 429) those that say that this request did nothing."""

PASSING: Final = frozenset({"upstream_unavailable", "overloaded", "not_ready", "view_rebuilding", "stopping"})
"""Why a subscribe is refused for now only: any other says that what was asked is wrong. `clients/javascript` has them, too."""

OF_AN_ACCOUNT: Final = {
    "account_unknown": "Nothing changed. Look at how the account is written; it is opened first.",
    "account_closed": "Nothing changed. Reopen the account first.",
}
"""Details where the command was to change an account, and no money was to move: in the place of the table's."""


def one_of(accounts: Sequence[str]) -> str:
    """Said behind a detail: the accounts one of which is meant, which the refusal itself does not tell further."""
    if not accounts:
        return ""
    return f" It is {accounts[0]}." if len(accounts) == 1 else f" It is one of {', '.join(accounts)}."


def not_there(accounts: Sequence[str], world_of: Sequence[str]) -> str:
    """The same of accounts that may not be open. world_of: the assets whose @world takes part, too."""
    if not accounts:
        return ""
    names = accounts[0] if len(accounts) == 1 else f"One of {', '.join(accounts)}"
    no_world = f", or no account of its partition has {' or '.join(world_of)} yet" if world_of else ""
    return f" {names} is not open{no_world}."


def has_another_asset(account: str, has: str, asked: str) -> str:
    """Said behind the detail of an asset that is not the account's."""
    return f" {account} has {has}, not {asked}."


KEPT_BY_ID: Final = " This id keeps this answer: to try again, use a new one."
"""Said behind the detail of a refusal that the log remembers."""


NOBODY_HAS_IT: Final = (
    "No account has this asset up to the position of this answer, in any partition. An asset is written as it was opened, such "
    "as USD/2."
)
"""Of `account_not_found`, where the system accounts of an asset were asked for."""


def problem_document(word: str, **more: object) -> dict[str, object]:
    """An RFC 9457 document. `more` adds members such as `id` or `available`, or replaces `detail`; None is left out."""
    problem = PROBLEMS[word]
    document: dict[str, object] = {
        "type": f"urn:fanfold:problem:{word}",
        "title": problem.title,
        "status": problem.status,
        "code": word,
        "detail": problem.detail,
    }
    return document | {name: value for name, value in more.items() if value is not None}
