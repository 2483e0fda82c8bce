"""Every address of the service: its method and path, which side answers, what is asked and what is answered.

The doors of both sides, the gateway's table, the client and the documents are made from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from fanfold.api import answers, questions, requests

Side = Literal["write", "read"]

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
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
    refused: HTTP statuses beside 400, 500 and 503, and what each means here
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
    refused: Mapping[int, str] = {}
    public: bool = True


_BODY: Final = {
    408: "The body did not arrive in time. Nothing changed.",
    413: "The body is too large. Nothing changed.",
    415: "The content type is not taken. Nothing changed.",
    422: "Refused. No money moved by it.",
}
_LATE: Final = {409: "The wanted position was not reached in time."}


def _command(path: str, operation: str, asked: tuple[type[Any], ...], summary: str, done: str, more: str = "") -> Route:
    """What all addresses of one command with an id have in common."""
    answered = {
        201: Answered(answers.Done, done),
        202: Answered(answers.Pending, "It is under way between partitions."),
    }
    return Route(
        "POST", path, "write", operation, summary, answered, more, asked, waits=True, keyed=True, refused=_BODY
    )


OPEN_ACCOUNT: Final = Route(
    "PUT",
    "/v1/accounts/{account}",
    "write",
    "open_account",
    "Open an account, or find it open with the same terms",
    {
        200: Answered(answers.OpenedAccount, "It was there with the same terms."),
        201: Answered(answers.OpenedAccount, "It is open."),
    },
    asked=(requests.Open,),
    refused={409: "It is there with other terms."} | _BODY,
)
CHANGE_ACCOUNT: Final = Route(
    "PATCH",
    "/v1/accounts/{account}",
    "write",
    "change_account",
    "Freeze, free, close or reopen an account",
    {200: Answered(answers.Done, "The flags are as asked.")},
    "A frozen account gives nothing (`debit`) or receives nothing (`credit`); what was held or begun before goes on. "
    "Only an account at zero can be closed.",
    (requests.Change,),
    keyed=True,
    refused=_BODY,
)
TRANSFER: Final = _command(
    "/v1/transfers",
    "transfer",
    (requests.Transfer, requests.LegsTransfer),
    "Move money between accounts, at most once for each id",
    "The money has moved; the same answer again for a repeat.",
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
)
HOLD: Final = _command(
    "/v1/holds",
    "hold",
    (requests.HoldBetween, requests.Hold),
    "Authorise: hold what is to be given until it is captured, voided, or its deadline comes",
    "It is held: nobody can spend it meanwhile.",
)
CAPTURE: Final = _command(
    "/v1/holds/{hold}/capture",
    "capture",
    (requests.Capture,),
    "Move what a hold holds: all that is left, an amount of it, or these legs of it",
    "The money has moved.",
)
VOID: Final = _command(
    "/v1/holds/{hold}/void", "void", (requests.Void,), "Let a hold go", "Nothing is held by it any more."
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
    "status, code and position. A dry run is not possible here.",
    query=questions.OfBatch,
    waits=True,
    refused=_BODY,
)
ACCOUNT: Final = Route(
    "GET",
    "/v1/accounts/{account}",
    "read",
    "get_account",
    "The balance of an account",
    {200: Answered(answers.AccountState, "The account at `position`.")},
    query=questions.OfAccount,
    refused={
        404: "No such account, up to `position`: everything in the log at arrival was looked at.",
        409: "The wanted position or version was not reached in time; `position` and `version` are held.",
    },
)
OUTCOME: Final = Route(
    "GET",
    "/v1/transfers/{transfer}",
    "read",
    "get_transfer",
    "The outcome of a transfer or hold, as its POST answered it, and what became of it since",
    {
        200: Answered(
            answers.Outcome, "What became of it: `result` is done, refused, or pending with its phase and steps."
        )
    },
    "Beside what the POST answers: the `legs` of a transfer across partitions and the accounts after each step, `reversed_by`, "
    "and of a hold what is left of it. `accounts` are as the outcome left them, of a transfer across partitions those of its "
    "home partition only: for a balance as it is now ask for the account.",
    query=questions.Waiting,
    refused={
        404: "No such transfer is remembered, up to `position`: every partition was asked. Where `remembered_since` is told, one "
        "of that time or older may have moved money and be forgotten: `fanfold explain` asks the whole log.",
        409: "The wanted position was not reached in time, or two partitions hold this id.",
    },
)
UNDER_WAY: Final = Route(
    "GET",
    "/v1/transfers",
    "read",
    "get_transfers",
    "Transfers across partitions that are under way, oldest first",
    {200: Answered(answers.OpenTransfers, "What is under way, and what each waits for, as of `position`.")},
    query=questions.OfTransfers,
    refused=_LATE,
)
SYSTEM: Final = Route(
    "GET",
    "/v1/system",
    "read",
    "get_system",
    "The system accounts of an asset: what came from outside, and what is in flight",
    {200: Answered(answers.System, "Sums over all partitions (or those asked for), and each at its position.")},
    query=questions.OfSystem,
    refused=_LATE,
)
BALANCES: Final = Route(
    "POST",
    "/internal/balances",
    "read",
    "get_balances",
    "Many balances at once, for gateways; null for an account that does not exist as of its partition's position",
    {200: Answered(answers.Balances, "In the order asked for.")},
    "`undecided`: places of accounts that are null while the view is behind the log. `failed`: partitions that were not read, "
    "and why, as codes; their accounts are null and have no position. When none can be read, the answer is a 503.",
    (questions.ManyBalances,),
    refused=_LATE | {413: "The body is too large."},
    public=False,
)

ROUTES: Final = (
    OPEN_ACCOUNT, CHANGE_ACCOUNT, TRANSFER, REVERSE, HOLD, CAPTURE, VOID, BATCH, ACCOUNT, OUTCOME, UNDER_WAY, SYSTEM, BALANCES
)  # fmt: skip

STREAM_PATH: Final = "/v1/stream"
SUBPROTOCOL: Final = "wallet.v1"
