"""The read side's HTTP edge: strict parameters to questions, answers and refusals to JSON.

What is accepted `fanfold/api` says, how a request is read and answered `fanfold/doors`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from fanfold.api import questions, routes
from fanfold.api.answer_headers import HISTORY
from fanfold.api.malformed import Malformed, malformed_of
from fanfold.api.openapi import side_document
from fanfold.api.problems import NOBODY_HAS_IT, PROBLEMS, problem_document
from fanfold.api.values import read
from fanfold.doors.answer import Headers, Response, json_response, problem
from fanfold.doors.application import Door, Handle, application, probes
from fanfold.doors.incoming import Incoming
from fanfold.doors.metrics import HttpMetrics
from fanfold.doors.request import Scope, named_by_path, read_body, read_headers, read_query, refuse_query
from read_side.ask.account_list import AccountList
from read_side.ask.balances import BalanceReader
from read_side.ask.health import Health
from read_side.ask.lists import Lists
from read_side.ask.parties import parties_of, parties_of_many
from read_side.ask.past import Past
from read_side.ask.positions import Positions
from read_side.ask.stale import stale_partitions, stale_since
from read_side.ask.system_document import system_document
from read_side.ask.transfers import Transfers
from read_side.contract.how_far import wanted
from read_side.contract.no_answer import Ambiguous, Behind, NotFound, NotReached, Unanswerable
from read_side.doors.entry_lines import page_response
from read_side.doors.written_header import lost_headers, written
from read_side.tell.transfer_documents import parse_partitions, parse_phases
from write_side.contract.block.limits import PARTITIONS_MAX
from write_side.contract.log.log import LogFailed
from write_side.contract.words.atoms import parse_account, parse_transfer_id, partition_of
from write_side.contract.words.position import TOKEN_BYTES_MAX, format_positions, parse_positions
from write_side.contract.words.times import format_time

BALANCES_BYTES_MAX: Final = 1024 * 1024
"""A gateway asks for what one socket may subscribe to; 10,000 ids of 64 characters are 670 KB."""
QUERY_BYTES_MAX: Final = 4_096 + TOKEN_BYTES_MAX + 4 * PARTITIONS_MAX
"""A position token with its colons and commas percent-encoded, and whatever else may be asked."""
IDS_BYTES_MAX: Final = 56 * 1024
"""Of a query with ids: what a head may be (`deploy/bounded_http.py`, 64 KiB) with room for its other lines."""

_HISTORY: Final = HISTORY.lower().encode()
_BEHIND: Final = (
    "A write that was answered here before is in the log and not in the view yet, and nothing is said rather than something "
    "older. Try again soon. What is held at `position` is answered to who asks with that as `min_position`."
)

T = TypeVar("T")


class ReadDoors(NamedTuple):
    """What the edge answers from."""

    balances: BalanceReader
    transfers: Transfers
    past: Past
    accounts: AccountList
    lists: Lists
    health: Health
    positions: Positions


def create_app(doors: ReadDoors, *, registry: CollectorRegistry) -> FastAPI:
    """The application."""
    edge = _Edge(doors)
    handles: dict[str, Handle] = {
        routes.ENTRIES.operation: edge.entries,
        routes.HOLDS.operation: edge.holds,
        routes.ACCOUNTS.operation: edge.accounts,
        routes.REFERRED.operation: edge.referred,
        routes.ACCOUNT.operation: edge.account,
        routes.UNDER_WAY.operation: edge.transfers,
        routes.OUTCOME.operation: edge.transfer,
        routes.PARTIES.operation: edge.parties,
        routes.MANY_PARTIES.operation: edge.many_parties,
        routes.SYSTEM.operation: edge.system,
        routes.POSITIONS.operation: edge.positions,
        routes.BALANCES.operation: edge.balances,
    }
    reads = [
        Door((route.method,), route.path, handles[route.operation]) for route in routes.ROUTES if route.side == "read"
    ]
    told = probes(registry, edge.ready, partial(side_document, "read"))
    return application("fanfold read side", [*reads, *told], HttpMetrics(registry, "read"), _refusal)


def _refusal(failure: Exception) -> Response | None:
    match failure:
        case NotReached():
            return problem(failure.word, position=failure.position, version=failure.version)
        case Ambiguous():
            return problem("id_ambiguous")
        case Unanswerable():
            return problem(
                failure.word,
                detail=_BEHIND if isinstance(failure, Behind) else None,
                partitions=list(failure.partitions) or None,
                reason=failure.reason,
                position=failure.position,
            )
        case LogFailed():
            return problem("partition_unavailable", reason=str(failure))
        case _:
            return None


def _version(asked: questions.OfAccount) -> int | None:
    """The version to wait for. Raises Malformed."""
    if asked.after_version is None:
        return asked.min_version
    if asked.as_of is not None or asked.min_version is not None:
        raise Malformed("parameter_malformed", "after_version", "takes neither as_of nor min_version beside it")
    return asked.after_version + 1


class _Edge:
    def __init__(self, doors: ReadDoors) -> None:
        self._doors = doors

    async def account(self, scope: Scope, _incoming: Incoming) -> Response:
        account = parse_account(named_by_path(scope, routes.ACCOUNT))
        asked = _query(questions.OfAccount, scope)
        want = wanted(asked, _version(asked), written(scope["headers"]))
        try:
            if asked.after_version is not None:
                with suppress(NotReached, Unanswerable):  # then it is told as it is
                    await self._doors.balances.account(account, want)
                want = want._replace(version=None, wait_s=0.0)
            if asked.as_of is not None:
                was = await self._doors.past.as_of(account, asked.as_of, want)
                return json_response(200, self._was(was, self._partition_of(account)), lost_headers(want))
            row, position = await self._doors.balances.account(account, want)
        except NotFound as nothing:
            return problem("account_not_found", position=nothing.positions)._replace(headers=lost_headers(want))
        partition = self._partition_of(account)
        headers = self._history(partition)
        if want.lost:
            headers += lost_headers(want)
        return json_response(200, row.document(position) | self._stale(partition), headers)

    async def entries(self, scope: Scope, _incoming: Incoming) -> Response:
        account = parse_account(named_by_path(scope, routes.ENTRIES))
        asked = _query(questions.OfEntries, scope)
        want = wanted(asked, None, written(scope["headers"]))
        try:
            page = await self._doors.past.entries(account, asked, want)
        except NotFound as nothing:
            return problem("account_not_found", position=nothing.positions)._replace(headers=lost_headers(want))
        response = page_response(page | self._stale_of(account), asked, scope)
        return response._replace(headers=response.headers + lost_headers(want))

    async def accounts(self, scope: Scope, _incoming: Incoming) -> Response:
        asked = read_query(questions.OfAccounts, scope["query_string"], bytes_max=IDS_BYTES_MAX)
        want = wanted(asked, None, written(scope["headers"]))
        found = await self._doors.accounts.document(asked, want, self._some(asked.partitions))
        return json_response(200, found, lost_headers(want))

    async def holds(self, scope: Scope, _incoming: Incoming) -> Response:
        account = parse_account(named_by_path(scope, routes.HOLDS))
        asked = _query(questions.OfHolds, scope)
        want = wanted(asked, None, written(scope["headers"]))
        try:
            page = await self._doors.lists.holds(account, asked.limit, want)
        except NotFound as nothing:
            return problem("account_not_found", position=nothing.positions)._replace(headers=lost_headers(want))
        return json_response(200, page | self._stale_of(account), lost_headers(want))

    async def referred(self, scope: Scope, _incoming: Incoming) -> Response:
        asked = _query(questions.OfReference, scope)
        want = wanted(asked, None, written(scope["headers"]))
        page = await self._doors.lists.with_reference(asked.reference, asked.limit, want, self._some(asked.partitions))
        return json_response(200, page | self._stale_of_some(asked.partitions), lost_headers(want))

    async def transfer(self, scope: Scope, _incoming: Incoming) -> Response:
        return await self._outcome(scope, routes.OUTCOME)

    async def parties(self, scope: Scope, _incoming: Incoming) -> Response:
        """For gateways: the same with those whom it was about."""
        return await self._outcome(scope, routes.PARTIES)

    async def many_parties(self, scope: Scope, incoming: Incoming) -> Response:
        """For gateways: whom each of these was about; null where nothing, or more than one, has the id."""
        refuse_query(scope["query_string"], "takes no parameters")
        headers = read_headers(scope["headers"])
        body = await read_body(headers, incoming, bytes_max=BALANCES_BYTES_MAX)
        asked = _many(questions.ManyParties, body, "ids", questions.IDS_MAX)
        want = wanted(asked, None, written(scope["headers"]))
        found = await parties_of_many(
            self._doors.transfers, [parse_transfer_id(each) for each in asked.ids], want, at_once=asked.at_once
        )
        documents = [None if each is None else [party.document() for party in each] for each in found]
        return json_response(200, {"parties": documents}, lost_headers(want))

    async def _outcome(self, scope: Scope, route: routes.Route) -> Response:
        transfer_id = parse_transfer_id(named_by_path(scope, route))
        want = wanted(_query(questions.Waiting, scope), None, written(scope["headers"]))
        try:
            document = (await self._doors.transfers.outcome(transfer_id, want)).document
            if route is routes.PARTIES:
                parties = await parties_of(self._doors.transfers, transfer_id)
                document = {"outcome": document, "parties": [each.document() for each in parties]}
        except NotFound as nothing:
            return problem("transfer_not_found", position=nothing.positions, **_forgotten(nothing))
        # The reading succeeded, whatever became of the transfer: the document says that, as the answer to its POST did.
        return json_response(200, document, lost_headers(want))

    async def transfers(self, scope: Scope, _incoming: Incoming) -> Response:
        """Transfers across partitions that are under way, oldest first."""
        asked = _query(questions.OfTransfers, scope)
        phases = parse_phases(asked.phase)
        partitions = self._some(asked.partitions)
        want = wanted(asked, None, written(scope["headers"]))
        found = await self._doors.transfers.under_way(phases, asked.older_than, asked.limit, want, partitions)
        return json_response(200, found | self._stale_of_some(asked.partitions), lost_headers(want))

    async def system(self, scope: Scope, _incoming: Incoming) -> Response:
        asked = _query(questions.OfSystem, scope)
        partitions = self._some(asked.partitions)
        want = wanted(asked, None, written(scope["headers"]))
        try:
            if asked.as_of is not None:
                were = await self._doors.past.system(asked.asset, asked.as_of, want, partitions)
                found = [each for each, _ in were]
                more = {each.partition: self._was(told, each.partition) for each, told in were}
            else:
                found = await self._doors.balances.system(asked.asset, want, partitions)
                more = {each.partition: self._stale(each.partition) for each in found}
        except NotFound as nothing:
            return problem("account_not_found", position=nothing.positions or None, detail=NOBODY_HAS_IT)
        return json_response(200, system_document(asked.asset, found, more), lost_headers(want))

    def _partition_of(self, account: str) -> int:
        return partition_of(account, self._doors.balances.partitions)

    def _was(self, told: dict[str, Any], partition: int) -> dict[str, Any]:
        """What was at a moment; of one that may not be over it may lack something."""
        return told if told["final"] else told | self._stale(partition)

    def _stale_of(self, account: str) -> dict[str, str]:
        return self._stale(self._partition_of(account))

    def _stale(self, partition: int) -> dict[str, str]:
        return stale_since(self._doors.balances.here(partition))

    def _stale_of_some(self, text: str | None) -> dict[str, Any]:
        """text: the partitions as they were asked for; None: all."""
        balances, some = self._doors.balances, self._some(text)
        found = stale_partitions(map(balances.here, range(balances.partitions) if some is None else some))
        return {"stale": found} if found else {}

    def _history(self, partition: int) -> Headers:
        history = self._doors.balances.history(partition)
        return () if history is None else ((_HISTORY, history.encode()),)

    def _some(self, text: str | None) -> list[int] | None:
        return None if text is None else parse_partitions(text, self._doors.balances.partitions)

    async def balances(self, scope: Scope, incoming: Incoming) -> Response:
        """For gateways: many balances, each partition's from one moment; null for an account that is not there as of it."""
        refuse_query(scope["query_string"], "takes no parameters")
        headers = read_headers(scope["headers"])
        body = await read_body(headers, incoming, bytes_max=BALANCES_BYTES_MAX)
        asked = _many(questions.ManyBalances, body, "accounts", questions.BALANCES_MAX)
        want = wanted(asked, None, {} if asked.written is None else parse_positions(asked.written, "written"))
        found = await self._doors.balances.many(asked.accounts, want)
        documents = [None if each is None else each[0].document(each[1]) for each in found.rows]
        failed = [{"partition": p, "code": each.word} for each in found.failed for p in each.partitions]
        answer: dict[str, Any] = {"positions": found.positions, "accounts": documents}
        if found.undecided:
            answer["undecided"] = found.undecided
        if failed:
            answer["failed"] = failed
        balances = self._doors.balances
        partitions = {partition_of(account, balances.partitions) for account in asked.accounts}
        if stale := stale_partitions(map(balances.here, sorted(partitions))):
            answer["stale"] = [each["partition"] for each in stale]
        histories = {str(p): history for p in sorted(partitions) if (history := balances.history(p)) is not None}
        if histories:
            answer["histories"] = histories
        if want.lost:
            answer["lost"] = format_positions(want.lost)
        return json_response(200, answer)

    async def positions(self, scope: Scope, _incoming: Incoming) -> Response:
        refuse_query(scope["query_string"], "takes no parameters")
        return json_response(200, await self._doors.positions.document())

    async def ready(self) -> Response:
        document, reasons = await self._doors.health.document(), self._doors.health.not_ready()
        if reasons:
            return json_response(503, problem_document("not_ready", reasons=reasons) | document)
        return json_response(200, {"status": "ready"} | document)


def _query(kind: type[T], scope: Scope) -> T:
    return read_query(kind, scope["query_string"], bytes_max=QUERY_BYTES_MAX)


Many = TypeVar("Many", questions.ManyBalances, questions.ManyParties)


def _many(model: type[Many], body: bytes, named: str, count_max: int) -> Many:
    """Raises Malformed. A gateway asks with thousands of accounts at each start: one decode in C, not a strict parse."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        raise Malformed("body_malformed", "body", "must be a JSON object") from None
    several = document.get(named) if isinstance(document, dict) else None
    if isinstance(several, list) and len(several) > count_max:
        raise Malformed("body_too_large", named, f"must not be more than {count_max}")
    try:
        return read(model, document)
    except ValidationError as error:
        found = malformed_of(error, {})
        if found.code in PROBLEMS:
            raise found from None
        raise Malformed(
            "body_malformed", "body", f"must have {named}, and may have what else the document says"
        ) from None


def _forgotten(nothing: NotFound) -> dict[str, str]:
    """What is added to an unknown id that may have run so long ago that it is not remembered: that is not known to be nothing."""
    if nothing.forgotten_before_us is None:
        return {}
    since = format_time(nothing.forgotten_before_us)
    detail = (
        f"It is not among the ids remembered since {since}. One that was sent before may have moved money: `fanfold explain` "
        "with this id asks the whole log. That is so up to the position of this answer."
    )
    return {"detail": detail, "remembered_since": since}
