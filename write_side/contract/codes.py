"""Every word that an answer can carry: outcome codes of the log, and problem codes of the doors, in one table.

The order of `Code` is the order of precedence: the decision tests the conditions in this order and the first that holds
is the answer (TigerBeetle documents its result codes the same way).  A number, once published, never changes its meaning:
new codes get new numbers and their place in the order is told by `PRECEDENCE`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple


class Kind(IntEnum):
    """What a command asked, in the outcome's `kind` column."""

    OPEN = 1
    TRANSFER = 2


class Code(IntEnum):
    """What became of a command, in the outcome's `code` column."""

    DONE = 0
    EXISTS = 1  # open: the account was there with the same terms
    REPEATED = 2  # same id and content: the first outcome again, named by the `repeats` batch
    ID_REUSED = 3
    ID_EXPIRED = 4
    ID_IN_FUTURE = 5
    PARTITIONS_DIFFER = 6
    ACCOUNT_UNKNOWN = 7
    ASSET_MISMATCH = 8
    INSUFFICIENT_AVAILABLE = 9
    BALANCE_LIMIT = 10
    ACCOUNT_EXISTS = 11  # open: the account was there with other terms


PRECEDENCE: Final = {
    Kind.OPEN: (Code.PARTITIONS_DIFFER, Code.EXISTS, Code.ACCOUNT_EXISTS, Code.DONE),
    Kind.TRANSFER: (
        Code.REPEATED,
        Code.ID_REUSED,
        Code.ID_EXPIRED,
        Code.ID_IN_FUTURE,
        Code.PARTITIONS_DIFFER,
        Code.ACCOUNT_UNKNOWN,
        Code.ASSET_MISMATCH,
        Code.INSUFFICIENT_AVAILABLE,
        Code.BALANCE_LIMIT,
        Code.DONE,
    ),
}

NOT_REMEMBERED: Final = (Code.REPEATED, Code.ID_REUSED, Code.ID_EXPIRED, Code.ID_IN_FUTURE)
"""Outcomes that do not occupy the transfer id: either another outcome does already, or the id can never run."""


class Problem(NamedTuple):
    """How a refusal is told over HTTP: RFC 9457's status and title, and what it means for the money."""

    status: int
    title: str
    detail: str


REFUSALS: Final[dict[Code, tuple[str, Problem]]] = {
    Code.ID_REUSED: (
        "id_reused_with_other_content",
        Problem(422, "This id was used for another transfer", "No money moved. Use a new id for a new transfer."),
    ),
    Code.ID_EXPIRED: (
        "id_expired",
        Problem(
            422,
            "The time in this id is older than what is remembered",
            "No money moved by this request. Ask for the transfer's outcome by its id before trying again with a new one.",
        ),
    ),
    Code.ID_IN_FUTURE: (
        "id_in_future",
        Problem(422, "The time in this id is more than 5 minutes ahead", "No money moved. Check the client's clock."),
    ),
    Code.PARTITIONS_DIFFER: (
        "partitions_differ",
        Problem(422, "The two accounts live in different partitions", "No money moved. This is not supported yet."),
    ),
    Code.ACCOUNT_UNKNOWN: (
        "account_unknown",
        Problem(422, "An account of this transfer does not exist", "No money moved. Open the account first."),
    ),
    Code.ASSET_MISMATCH: (
        "asset_mismatch",
        Problem(422, "An account of this transfer holds another asset", "No money moved. An account has one asset."),
    ),
    Code.INSUFFICIENT_AVAILABLE: (
        "insufficient_available",
        Problem(422, "Not enough available", "No money moved. Available is posted - held - floor."),
    ),
    Code.BALANCE_LIMIT: (
        "balance_limit_exceeded",
        Problem(422, "A balance would pass 10^18 minor units", "No money moved."),
    ),
    Code.ACCOUNT_EXISTS: (
        "account_exists_with_other_terms",
        Problem(409, "This account exists with other terms", "Nothing changed. Read the account to see its terms."),
    ),
}

PROBLEMS: Final[dict[str, Problem]] = dict(REFUSALS.values()) | {
    # Malformed input, said at the door: nothing reached the log.
    "body_malformed": Problem(400, "The body is not the JSON asked for", "Nothing changed."),
    "body_too_large": Problem(413, "The body is too large", "Nothing changed. Send it in smaller parts."),
    "body_timeout": Problem(408, "The body did not arrive in time", "Nothing changed. Try again with the same id."),
    "content_type_unsupported": Problem(415, "The content type is not supported", "Nothing changed."),
    "field_unknown": Problem(400, "The body has a field that is not known", "Nothing changed."),
    "field_missing": Problem(400, "The body lacks a field", "Nothing changed."),
    "idempotency_key_malformed": Problem(400, "The Idempotency-Key is malformed", "Nothing changed."),
    "ids_differ": Problem(400, "The id and the Idempotency-Key name different transfers", "Nothing changed. Send one."),
    "id_malformed": Problem(400, "The id is malformed", "Nothing changed."),
    "account_malformed": Problem(400, "An account id is malformed", "Nothing changed."),
    "asset_malformed": Problem(400, "The asset is malformed", "Nothing changed."),
    "amount_malformed": Problem(400, "The amount is malformed", "Nothing changed."),
    "floor_malformed": Problem(400, "The floor is malformed", "Nothing changed."),
    "legs_malformed": Problem(400, "The legs are malformed", "Nothing changed."),
    "owner_malformed": Problem(400, "The owner is malformed", "Nothing changed."),
    "position_malformed": Problem(400, "The position is malformed", "Nothing changed."),
    "parameter_malformed": Problem(400, "A parameter is malformed", "Nothing changed."),
    "legs_unsupported": Problem(422, "Transfers of many legs are not supported yet", "Nothing changed."),
    "same_account_twice": Problem(422, "A transfer needs two different accounts", "Nothing changed."),
    # Reads.
    "account_not_found": Problem(404, "No such account", "The position tells up to where this is true."),
    "transfer_not_found": Problem(
        404, "No such transfer is remembered", "The position tells up to where this is true."
    ),
    "id_ambiguous": Problem(409, "Two partitions hold a transfer with this id", "Ask by account instead."),
    "position_not_reached": Problem(409, "The view has not reached that position", "Try again, or read what is held."),
    "version_not_reached": Problem(409, "The account has not reached that version", "Try again, or read what is held."),
    "view_rebuilding": Problem(
        503, "The view is being made again from the log", "No money is affected. Try again soon."
    ),
    # Environment.
    "not_found": Problem(404, "There is nothing at this address", "Nothing changed."),
    "method_not_allowed": Problem(405, "This address does not take that method", "Nothing changed."),
    "not_ready": Problem(
        503, "The service is not ready yet", "No money is affected. The reasons say what it waits for."
    ),
    "overloaded": Problem(503, "Too many requests are waiting", "This one was not taken. Try again with the same id."),
    "stopping": Problem(503, "The service is stopping", "This request was not taken. Try again with the same id."),
    "outcome_unknown": Problem(
        503,
        "The outcome was not seen in time",
        "The transfer may have been made. Send it again with the same id: it can never run twice.",
    ),
    "upstream_unavailable": Problem(
        503,
        "The service behind the gateway did not answer",
        "A write may have been made. Send it again with the same id: it can never run twice.",
    ),
    "internal": Problem(500, "Something failed that should not", "Send it again with the same id."),
}


def word_of(code: Code) -> str:
    """The stable word of a refusal, `done` for what changed something or was already so."""
    return REFUSALS[code][0] if code in REFUSALS else "done"


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
