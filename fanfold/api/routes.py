"""Every address of the service: its method and path, which side answers, what is asked and what is answered.

The doors of both sides, the gateway's table, the client, the console and the documents are made from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, cast

from fanfold.api import questions, request_parts, requests
from fanfold.api.answers.accounts import Accounts, AccountState, Balances, OpenedAccount
from fanfold.api.answers.commands import Done, Pending
from fanfold.api.answers.holds import OpenHolds
from fanfold.api.answers.outcomes import Outcome, OutcomeAndParties, PartiesOfMany, Referred
from fanfold.api.answers.positions import PositionsNow
from fanfold.api.answers.statement import Entries
from fanfold.api.answers.system import System
from fanfold.api.answers.tickets import TicketGiven
from fanfold.api.answers.under_way import OpenTransfers
from fanfold.api.field_codes import field_codes
from fanfold.api.problems import PROBLEMS

Side = Literal["write", "read"]

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv; charset=utf-8"
ARROW: Final = "application/vnd.apache.arrow.stream"
PROBLEM: Final = "application/problem+json"
TEXT: Final = "text/plain"


class Answered(NamedTuple):
    """A success: what is in it, and what it means. model: None for what is no JSON of ours."""

    model: Any
    meaning: str


class Route(NamedTuple):
    """One operation.

    path: its `{name}` is one segment, and names the field `about` of the request where there is one
    asked: the commands that the body may be, none for a request without a body
    query: the class of its parameters, None when it takes none
    waits: whether `Prefer: wait` is heard
    keyed: whether an Idempotency-Key may stand for the id, and a dry run may be asked for
    refused: the codes (`problems.py`) that this operation may answer beside those that follow from the rest, see `codes`
    of_lines: the codes that a line of its answer may have, where it answers line by line
    """

    method: str
    path: str
    side: Side
    operation: str
    summary: str
    answered: Mapping[int, Answered]
    description: str = ""
    asked: tuple[type[Any], ...] = ()
    query: type[Any] | None = None
    waits: bool = False
    keyed: bool = False
    refused: tuple[str, ...] = ()
    of_lines: tuple[str, ...] = ()
    public: bool = True

    @property
    def codes(self) -> tuple[str, ...]:
        """Every code that it may answer, in the order of the table of problems."""
        codes = {*BEFORE_AN_ADDRESS, *self.refused}
        if self.path.startswith(_OF_PROCESSES):
            codes |= {*_OF_SERVICES, *(_OF_WRITES if self.side == "write" else _OF_READS)}
        if self.path.startswith(_OF_CLIENTS):
            codes |= {*OF_WHO_ASKS, "rate_limited"}
            if self.method != "GET" or "{" not in self.path:
                codes.add("forbidden")
        if self.method != "GET":
            codes |= {*_OF_BODIES}
        if self.keyed:
            codes |= {"idempotency_key_malformed", "ids_differ"}
        for kind in (*self.asked, *filter(None, (self.query,))):
            codes |= field_codes(cast("Any", kind))
        if any(f"{{{segment}}}" in self.path for segment in ("transfer", "hold")):
            codes.add("id_malformed")
        if "{account}" in self.path:
            codes.add("account_malformed")
        return tuple(word for word in PROBLEMS if word in codes)


BEFORE_AN_ADDRESS: Final = (
    "request_malformed", "host_malformed", "host_refused", "version_unsupported", "parameter_malformed", "overloaded", "internal"
)  # fmt: skip
"""What any request may be answered: HTTP and the host are looked at before the address, its parameters before all else."""
_OF_PROCESSES: Final = ("/v1/", "/internal/")
"""Addresses that only a process answers that knows its partitions; the others tell of the process itself."""
_OF_CLIENTS: Final = "/v1/"
OF_WHO_ASKS: Final = ("unauthenticated", "token_invalid")
"""Where a gateway asks who asks. Whoever may not read what one address is about is told that it is not there, and never
`forbidden`."""
_OF_SERVICES: Final = ("starting", "upstream_unavailable", "upstream_failed", "upstream_timeout", "body_too_large")
"""Where a gateway is before them, it answers also for a side that is away, and for a body that nobody asked for."""
_OF_WRITES: Final = ("stopping", "partition_stopped", "outcome_unknown")
_OF_READS: Final = ("view_rebuilding", "partition_elsewhere", "partition_unavailable")
_OF_BODIES: Final = (
    "body_malformed", "body_too_large", "body_timeout", "content_type_unsupported", "field_unknown", "field_missing"
)  # fmt: skip

_OF_IDS: Final = ("id_reused_with_other_content", "id_expired", "id_in_future", "id_memory_full")
_OF_LEGS: Final = (
    "account_unknown",
    "asset_mismatch",
    "account_closed",
    "account_frozen_for_debit",
    "account_frozen_for_credit",
    "version_differs",
    "available_below_condition",
    "insufficient_available",
    "balance_limit_exceeded",
)
_ACROSS: Final = ("timed_out",)
_LATE: Final = ("position_not_reached",)


def _command(
    path: str,
    operation: str,
    asked: tuple[type[Any], ...],
    summary: str,
    done: str,
    refused: tuple[str, ...],
    more: str = "",
) -> Route:
    """What all addresses of one command with an id have in common."""
    answered = {
        201: Answered(Done, done),
        202: Answered(Pending, "It is under way between partitions."),
    }
    refused = (*_OF_IDS, *refused)
    return Route(
        "POST", path, "write", operation, summary, answered, more, asked, waits=True, keyed=True, refused=refused
    )


OPEN_ACCOUNT: Final = Route(
    "PUT",
    "/v1/accounts/{account}",
    "write",
    "open_account",
    "Open an account, or find it open with the same terms",
    {
        200: Answered(OpenedAccount, "It was there with the same terms."),
        201: Answered(OpenedAccount, "It is open."),
    },
    asked=(requests.Open,),
    refused=("account_exists_with_other_terms", "asset_collides"),
)
CHANGE_ACCOUNT: Final = Route(
    "PATCH",
    "/v1/accounts/{account}",
    "write",
    "change_account",
    "Freeze, free, close or reopen an account",
    {200: Answered(Done, "The flags are as asked.")},
    "A frozen account gives nothing (`debit`) or receives nothing (`credit`); what was held or begun before goes on. "
    "Only an account at zero can be closed.",
    (requests.Change,),
    keyed=True,
    refused=(*_OF_IDS, "account_unknown", "account_closed", "account_not_empty"),
)
TRANSFER: Final = _command(
    "/v1/transfers",
    "transfer",
    (requests.Transfer, requests.LegsTransfer),
    "Move money between accounts, at most once for each id",
    "The money has moved; the same answer again for a repeat.",
    (*_OF_LEGS, *_ACROSS),
    "Between two accounts (`from`, `to`), or in legs that sum to zero in each asset, all or nothing. A leg may have conditions, "
    "tested before anything moves. With accounts in different partitions it can take longer than the answer: then 202, and "
    "`GET /v1/transfers/{id}` tells how far it is.",
)
REVERSE: Final = _command(
    "/v1/transfers/{transfer}/reverse",
    "reverse",
    (requests.Reverse,),
    "Move a done transfer the other way round, at most once",
    "The money is back.",
    ("transfer_unknown", "not_reversible", "already_reversed", *_OF_LEGS, *_ACROSS),
)
HOLD: Final = _command(
    "/v1/holds",
    "hold",
    (requests.HoldBetween, requests.Hold),
    "Authorise: hold what is to be given until it is captured, voided, or its deadline comes",
    "It is held: nobody can spend it meanwhile.",
    ("hold_spans_partitions", "deadline_passed", *_OF_LEGS),
)
CAPTURE: Final = _command(
    "/v1/holds/{hold}/capture",
    "capture",
    (requests.Capture,),
    "Move what a hold holds: all that is left, an amount of it, or these legs of it",
    "The money has moved.",
    ("hold_unknown", "hold_busy", "capture_exceeds_hold", *_OF_LEGS, *_ACROSS),
)
VOID: Final = _command(
    "/v1/holds/{hold}/void",
    "void",
    (requests.Void,),
    "Let a hold go",
    "Nothing is held by it any more.",
    ("hold_unknown", "hold_busy"),
)


def _of_lines() -> tuple[str, ...]:
    """What a line may be answered: what its command alone may, and what follows from the other lines."""
    singly = (OPEN_ACCOUNT, CHANGE_ACCOUNT, TRANSFER, REVERSE, HOLD, CAPTURE, VOID)
    found = {"partitions_differ", "batch_refused", "not_run", *(word for route in singly for word in route.codes)}
    return tuple(
        word
        for word in PROBLEMS
        if word in found - {*BEFORE_AN_ADDRESS, *OF_WHO_ASKS, "body_timeout", "content_type_unsupported"}
    )


BATCH: Final = Route(
    "POST",
    "/v1/transfers:batch",
    "write",
    "transfer_batch",
    "Many commands in one request, one a line, answered line by line in the same order",
    {200: Answered(None, "A result for each line.")},
    "A line is the body of a transfer with its id, or one of "
    '{"open": {"account": ..., "asset": ..., "floor": ...}}, {"hold": {...}}, {"capture": {"hold": ..., ...}}, '
    '{"void": {"hold": ..., "id": ...}}, {"reverse": {"transfer": ..., ...}}, {"change": {"account": ..., ...}}. '
    "Line n of the answer tells line n of the request: its status and the document the single call would give. "
    "As an Arrow stream: columns id (16 bytes or text), from, to, amount (int64), asset; the answer has the columns "
    "status, code, position and repeated. A dry run is not possible here.",
    query=questions.OfBatch,
    waits=True,
    refused=(
        "batch_spans_partitions",
        "batch_too_large",
        "batch_kind_unsupported",
        # Rows of an Arrow stream are refused together.
        *field_codes(request_parts.TwoAccounts),
        *field_codes(request_parts.Once),
    ),
    of_lines=_of_lines(),
)
ENTRIES: Final = Route(
    "GET",
    "/v1/accounts/{account}/entries",
    "read",
    "get_entries",
    "The statement of an account: every change of it, with the balance after each",
    {200: Answered(Entries, "A page of entries.")},
    "An entry is never told twice and none is left out, however much moves between two pages: `next` of a page says where the "
    "next one begins. A page may be shorter than `limit`, also empty, and still have a `next`, where few entries are of the "
    "direction asked for.",
    query=questions.OfEntries,
    refused=("account_not_found", "history_unavailable", *_LATE),
)
ACCOUNTS: Final = Route(
    "GET",
    "/v1/accounts",
    "read",
    "get_accounts",
    "Accounts in the order of their names, or those of some ids, as they are or were",
    {200: Answered(Accounts, "A page of accounts, each at the position of its partition.")},
    "A page may be shorter than `limit`, also empty, and still have a `next`, where few accounts are of the asset or owner asked "
    "for. Accounts are never deleted, so that what is behind a cursor is told once. With `ids` all of those are told, and in "
    "`absent` which of them are not there. With `as_of` the accounts that existed then, as they were, each partition at its last "
    "block of that time or before: `partitions` tells which that is. While one of them is not `final` the next page may be of a "
    "later block, unless it is asked for as of `positions`.",
    query=questions.OfAccounts,
    refused=("history_unavailable", *_LATE),
)
HOLDS: Final = Route(
    "GET",
    "/v1/accounts/{account}/holds",
    "read",
    "get_holds",
    "The holds that are open on an account",
    {200: Answered(OpenHolds, "What each still holds of the account, the oldest first.")},
    query=questions.OfHolds,
    refused=("account_not_found", *_LATE),
)
REFERRED: Final = Route(
    "GET",
    "/v1/transfers:find",
    "read",
    "find_transfers",
    "The commands that had a reference, however long ago",
    {200: Answered(Referred, "Their outcomes, the newest first.")},
    query=questions.OfReference,
    refused=("history_unavailable", *_LATE),
)
ACCOUNT: Final = Route(
    "GET",
    "/v1/accounts/{account}",
    "read",
    "get_account",
    "The balance of an account",
    {200: Answered(AccountState, "The account at `position`.")},
    "With `as_of` as it was at a time, a position or a version, from the log itself: `position` and `block_hash` say which block "
    "that was, and `final` whether anything could still come that belongs to that moment.",
    query=questions.OfAccount,
    refused=(
        "account_not_found",
        "version_not_reached",
        "version_unknown",
        "history_unavailable",
        "too_many_connections",
        *_LATE,
    ),
)
OUTCOME: Final = Route(
    "GET",
    "/v1/transfers/{transfer}",
    "read",
    "get_transfer",
    "The outcome of a transfer or hold, as its POST answered it, and what became of it since",
    {200: Answered(Outcome, "What became of it: `result` is done, refused, or pending with its phase and steps.")},
    "Beside what the POST answers: the `legs` of a transfer across partitions and the accounts after each step, `reversed_by`, "
    "`asked_by`, and of a hold what is left of it. `accounts` are as the outcome left them, of a transfer across partitions "
    "those of its home partition only: for a balance as it is now ask for the account.",
    query=questions.Waiting,
    refused=("transfer_not_found", "id_ambiguous", *_LATE),
)
UNDER_WAY: Final = Route(
    "GET",
    "/v1/transfers",
    "read",
    "get_transfers",
    "Transfers across partitions that are under way, oldest first",
    {200: Answered(OpenTransfers, "What is under way, and what each waits for, as of `position`.")},
    query=questions.OfTransfers,
    refused=_LATE,
)
SYSTEM: Final = Route(
    "GET",
    "/v1/system",
    "read",
    "get_system",
    "The system accounts of an asset: what came from outside, and what is in flight",
    {200: Answered(System, "Sums over all partitions (or those asked for), and each at its position.")},
    "An asset that no account has is `account_not_found`: no balance is not zero. Of some partitions that is not said, for "
    "others may have it: there its accounts are null. With `as_of` as it was then, each partition at its last block of that time "
    "or before: what came from outside, what was in flight and all accounts sum to zero at every block.",
    query=questions.OfSystem,
    refused=("account_not_found", "history_unavailable", *_LATE),
)
POSITIONS: Final = Route(
    "GET",
    "/v1/positions",
    "read",
    "get_positions",
    "How far each partition is, and how far readers are behind the log",
    {200: Answered(PositionsNow, "The marks of each partition, and what is between them.")},
    "Of the partitions that this read side projects. The end of a log is looked at once a second at most, whoever asks.",
)
BALANCES: Final = Route(
    "POST",
    "/internal/balances",
    "read",
    "get_balances",
    "Many balances at once, for gateways; null for an account that does not exist as of its partition's position",
    {200: Answered(Balances, "In the order asked for.")},
    "`undecided`: places of accounts that are null while the view is behind the log. `failed`: partitions that were not read, "
    "and why, as codes; their accounts are null and have no position. When none can be read, the answer is a 503.",
    (questions.ManyBalances,),
    refused=_LATE,
    public=False,
)
PARTIES: Final = Route(
    "GET",
    "/internal/transfers/{transfer}",
    "read",
    "get_parties",
    "The outcome of a transfer or hold with all accounts that it was about, for gateways",
    {200: Answered(OutcomeAndParties, "What became of it, and of whom it was.")},
    "What is refused is refused as `GET /v1/transfers/{transfer}` refuses it, in the same words.",
    query=questions.Waiting,
    refused=("transfer_not_found", "id_ambiguous", *_LATE),
    public=False,
)
MANY_PARTIES: Final = Route(
    "POST",
    "/internal/parties",
    "read",
    "get_parties_of_many",
    "The accounts that each of many transfers and holds was about, for gateways; null for an id that nothing has",
    {200: Answered(PartiesOfMany, "In the order asked for.")},
    "Unless it is asked `at_once` all that is in the log is looked at first, once for all ids that are not found before.",
    (questions.ManyParties,),
    refused=_LATE,
    public=False,
)

ROUTES: Final = (
    OPEN_ACCOUNT, CHANGE_ACCOUNT, TRANSFER, REVERSE, HOLD, CAPTURE, VOID, BATCH, ENTRIES, HOLDS, ACCOUNT, ACCOUNTS,
    OUTCOME, UNDER_WAY, REFERRED, SYSTEM, POSITIONS, BALANCES, PARTIES,
    MANY_PARTIES,
)  # fmt: skip
"""An address that another one is the beginning of stands before it: whatever is no segment of its own belongs to the name.

Of `/v1/accounts/alice/entries` that is the statement of alice, and not an account named so."""

STREAM_PATH: Final = "/v1/stream"
STREAM_REFUSED: Final = (
    *BEFORE_AN_ADDRESS, *OF_WHO_ASKS, "handshake_malformed", "origin_refused", "upgrade_required",
    "stopping", "upstream_unavailable", "too_many_connections"
)  # fmt: skip
"""What a handshake may be answered instead of the stream."""
SUBPROTOCOL: Final = "wallet.v1"

EVENT_STREAM: Final = "text/event-stream"
EVENTS: Final = Route(
    "GET",
    f"{STREAM_PATH}/sse",
    "read",
    "events",
    "Live balances and topics as server-sent events",
    {200: Answered(None, "The events, for as long as the client stays.")},
    "What `GET /v1/stream` tells, for who has only HTTP: each event is one of its frames, named by its `op`, after one subscribe "
    "with these accounts and topics. The `id` of an event says what the client has: an EventSource that comes back sends it "
    "(`Last-Event-ID`), and is told only what is newer. Without it, or where it means nothing any more, the whole state is told. "
    "A comment comes where nothing else does. `retry` says when to come back.",
    query=questions.OfEvents,
    refused=("prefix_refused", "stopping", "too_many_connections"),
)
"""The gateway's own, like the stream."""

TICKETS: Final = Route(
    "POST",
    f"{STREAM_PATH}/tickets",
    "read",
    "give_ticket",
    "A ticket that opens one stream, for who can send no header there",
    {201: Answered(TicketGiven, "The ticket.")},
    "An EventSource of a page cannot say `Authorization`: it is given `?ticket=` in the address instead, of `GET /v1/stream/sse` "
    "or of `GET /v1/stream`. A ticket counts once and for half a minute, at every gateway, and the stream that it opens ends as "
    "one of the token would: when that expires, or within a second of being revoked. An EventSource that comes back by itself "
    "comes with a ticket that is used, and is refused: make another one, with a new ticket and `last_event_id`.",
    refused=("upstream_unavailable",),
)
"""The gateway's own, too, where it is asked who asks. It needs no right: what a stream is told of is looked at there."""
