"""The console in a real Chromium, before a stub wallet and before `fanfold up`. `target` alone knows what serves the page."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect

from deploy.key_file import add_key
from tests.end_to_end.console_page import console, shows, watch
from tests.end_to_end.console_targets import Target, real_target, stub_console, stub_target
from tests.gateway_server import serving
from tests.tokens import AUDIENCE, ISSUER, Signer, claims, jwks, some
from tests.wallet_stub import WalletStub
from write_side.contract.words.atoms import partition_of
from write_side.contract.words.codes import Flag

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session", params=["stub", "fanfold up"])
async def target(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Target]:
    running = stub_target() if request.param == "stub" else real_target(tmp_path)
    async with running as target:
        yield target


@pytest_asyncio.fixture(loop_scope="session")
async def page(target: Target, browser: Browser) -> AsyncIterator[Page]:
    async with console(target.url, browser) as page:
        yield page


async def test_a_newcomer_gets_two_funded_accounts_and_moves_money(page: Page) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await shows(page, "alice", "$100.00")
    await shows(page, "bob", "$100.00")
    await expect(page.get_by_label("Amount")).to_have_value("12.50")
    await page.get_by_role("button", name="Send").click()
    await shows(page, "alice", "$87.50")
    await shows(page, "bob", "$112.50")


async def test_a_transfer_made_elsewhere_appears_and_flashes(page: Page, target: Target) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await shows(page, "bob", "$100.00")
    await target.transfer("alice", "bob", 1)
    await shows(page, "alice", "$99.99")
    await expect(page.locator('.card[data-account="alice"] .figure')).to_have_class(re.compile("fell"))
    await expect(page.locator('.card[data-account="bob"] .figure')).to_have_class(re.compile("rose"))


async def test_a_lost_connection_is_shown_and_resumed(page: Page, target: Target) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await shows(page, "bob", "$100.00")
    await target.drop_streams()
    await target.transfer("bob", "alice", 250)
    await shows(page, "bob", "$97.50")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")


async def test_a_refusal_says_what_it_means_for_the_money(page: Page) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await expect(page.get_by_label("Amount")).to_have_value("12.50")
    await page.get_by_label("Amount").fill("1,000")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator(".activity li.refused")).to_contain_text("No money moved. alice has $100.00 available.")
    await shows(page, "alice", "$100.00")


async def test_an_unanswered_transfer_is_sent_again_with_its_id_however_it_was_typed_until_an_answer_comes(
    page: Page,
) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await expect(page.get_by_label("Amount")).to_have_value("12.50")
    ids: list[str] = []
    answered = False

    async def lose_the_answer(route: Route) -> None:
        assert route.request.post_data_json is not None
        ids.append(route.request.post_data_json["id"])
        answer = await route.fetch()
        await (route.fulfill(response=answer) if answered else route.abort())

    async def send() -> None:
        button, before = page.get_by_role("button", name="Send", exact=True), len(ids)
        await button.click()
        await expect(button).to_be_enabled()
        assert len(ids) == before + 1

    await page.route("**/v1/transfers", lose_the_answer)
    await send()
    await send()
    await page.reload()
    for label, value in (("From", "alice"), ("To", "bob"), ("Amount", "12.5")):
        await page.get_by_label(label, exact=True).press_sequentially(value)
    await send()
    assert len(set(ids)) == 1, "sent again unchanged, even after loading the page again and typing it anew"
    await page.get_by_label("Amount").fill("12.51")
    await send()
    await page.get_by_label("Amount").fill("12.50")
    await send()
    assert len(set(ids)) == 2, "what differs is another transfer; what is the same again may be done already"
    answered = True
    await send()
    await expect(page.get_by_label("Amount")).to_have_value("")
    await page.get_by_label("Amount").fill("12.50")
    await send()
    assert ids[-2] == ids[-3]
    assert ids[-1] not in ids[:-1], "an answer came: the next one is another transfer"
    await shows(page, "alice", "$62.49")


async def test_what_nobody_answered_is_told_when_the_page_is_loaded_again_and_can_be_sent_again_or_asked_for(
    page: Page,
) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await expect(page.get_by_label("Amount")).to_have_value("12.50")

    async def lose_the_answer(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await page.route("**/v1/transfers", lose_the_answer)
    button, told = page.get_by_role("button", name="Send", exact=True), page.locator(".activity li.unknown")
    for amount in ("12.50", "1"):
        await page.get_by_label("Amount").fill(amount)
        await button.click()
        await expect(button).to_be_enabled()
    await page.unroute("**/v1/transfers")
    await page.reload()
    await expect(told).to_have_count(2)
    await expect(told.last).to_contain_text(re.compile("12.50 from alice to bob, id [0-9a-f-]{36}: No answer arrived"))
    await expect(told.last.get_by_role("button", name="Ask what became of it")).to_be_visible()
    for line in (told.first, told.last):
        await line.get_by_role("button", name="Send again with the same id").click()
    await expect(page.locator(".activity li.done")).to_have_count(2)
    await shows(page, "alice", "$86.50")
    await page.reload()
    await shows(page, "alice", "$86.50")
    await expect(page.locator("#accounts-found li").first).to_be_visible()
    await expect(told).to_have_count(0)


async def test_an_unanswered_transfer_is_not_called_failed_and_leaves_nothing_to_send_twice(page: Page) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await expect(page.get_by_label("Amount")).to_have_value("12.50")
    await page.route("**/v1/transfers", lambda route: route.abort())
    await page.get_by_role("button", name="Send", exact=True).click()
    told = page.locator(".activity li.unknown")
    await expect(told).to_contain_text(re.compile("12.50 from alice to bob, id [0-9a-f-]{36}: No answer arrived"))
    await expect(told).not_to_contain_text("did not go through")
    await page.unroute("**/v1/transfers")
    await page.get_by_role("button", name="Send again with the same id").click()
    await shows(page, "alice", "$87.50")
    await expect(page.get_by_label("Amount")).to_have_value("")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (408, {"error": "time-out"}),
        (425, {}),
        (429, {"title": "Too many requests"}),
        (200, {"welcome": "sign in"}),
        (502, []),
    ],
)
async def test_what_something_in_between_says_is_no_answer_and_what_is_sent_again_has_the_same_id(
    page: Page, status: int, said: object
) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await expect(page.get_by_label("Amount")).to_have_value("12.50")
    ids: list[str] = []

    async def answer_for_it(route: Route) -> None:
        assert route.request.post_data_json is not None
        ids.append(route.request.post_data_json["id"])
        await route.fetch()
        await route.fulfill(status=status, json=said)

    await page.route("**/v1/transfers", answer_for_it)
    button = page.get_by_role("button", name="Send", exact=True)
    for _ in range(2):
        await button.click()
        await expect(button).to_be_enabled()
    assert len(ids) == 2
    assert len(set(ids)) == 1, "nobody said that it was done, or refused"
    await expect(page.locator(".activity li.unknown").first).to_contain_text("No answer arrived")
    await shows(page, "alice", "$87.50")


async def test_a_wrong_field_is_the_one_that_is_marked(page: Page) -> None:
    right = {"from": "alice", "to": "bob", "amount": "1.00", "asset": "USD/2"}
    for name, wrong in (("from", "al ice"), ("to", "@transit"), ("amount", "1,23"), ("asset", "usd")):
        for field, value in (right | {name: wrong}).items():
            await page.locator(f"#transfer-form [name={field}]").fill(value)
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.locator(f"#transfer-form [name={name}]")).to_have_attribute("aria-invalid", "true")
        assert await page.locator("#transfer-form [aria-invalid]").count() == 1


async def test_a_narrow_page_is_read_without_going_sideways(page: Page) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await shows(page, "bob", "$100.00")
    await page.set_viewport_size({"width": 320, "height": 700})
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320


async def test_the_page_is_not_live_while_nothing_is_served_and_takes_up_again_by_itself(browser: Browser) -> None:
    wallet = WalletStub()
    await wallet.open("alice")
    async with (
        serving(wallet, wallet.feed, cut_wait_ms=0, snapshot_wait_ms=50) as served,
        console(served.url, browser) as page,
    ):
        wallet.available = False
        await watch(page, "alice")
        connection = page.locator("#connection")
        await expect(connection).to_have_attribute("data-state", "connecting")
        await expect(page.locator("#connection-text")).to_have_text("Connected, some balances cannot be read")
        wallet.available = True
        await shows(page, "alice", "$0.00")
        await expect(connection).to_have_attribute("data-state", "live")


async def test_what_cannot_be_read_keeps_nothing_from_the_other_cards_also_after_a_reload(browser: Browser) -> None:
    wallet = WalletStub()
    here, there = (next(n for i in range(99) if partition_of(n := f"a{i}", 2) == p) for p in range(2))
    await wallet.open(here)
    wallet.rows[there] = wallet.rows[here]._replace(account=there)
    wallet.unreadable = {there: "partition_unavailable"}
    async with (
        serving(wallet, wallet.feed, partitions=2, cut_wait_ms=0) as served,
        console(served.url, browser) as page,
    ):
        await wallet.heartbeat()
        await watch(page, here)
        await watch(page, there)
        for _ in range(2):
            await shows(page, here, "$0.00")
            await shows(page, there, "Cannot be read now")
            await expect(page.locator("#connection")).to_have_attribute("data-state", "partly")
            await page.reload()
        await shows(page, here, "$0.00")
        wallet.unreadable = {}
        await shows(page, there, "$0.00")
        await expect(page.locator("#connection")).to_have_attribute("data-state", "live")


async def test_an_account_that_was_not_known_to_be_there_is_shown_as_live_once_it_is_opened(browser: Browser) -> None:
    wallet = WalletStub()
    await wallet.open("alice")
    wallet.behind = True
    async with (
        serving(wallet, wallet.feed, cut_wait_ms=0) as served,
        console(served.url, browser) as page,
    ):
        await wallet.heartbeat()
        await watch(page, "carol")
        card = page.locator('.card[data-account="carol"]')
        await expect(card).to_have_attribute("data-unread", "view_rebuilding")
        wallet.behind = False
        await wallet.open("carol")
        await shows(page, "carol", "$0.00")
        await expect(card).not_to_have_attribute("data-unread", "view_rebuilding")
        await expect(card).not_to_have_attribute("title", re.compile("cannot be read"))


async def test_a_page_that_was_left_and_is_shown_again_goes_on(page: Page, target: Target) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await shows(page, "bob", "$100.00")
    await page.evaluate("window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "lost")
    await page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    await target.transfer("bob", "alice", 250)
    await shows(page, "bob", "$97.50")
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")


async def test_an_account_can_be_watched_before_it_is_opened_and_is_remembered(page: Page) -> None:
    await page.locator("#watch-account").fill("carol")
    await page.get_by_role("button", name="Watch", exact=True).click()
    await shows(page, "carol", "Not opened yet")
    form = page.locator("#open-form")
    await form.get_by_label("Account").fill("carol")
    await form.get_by_label("Asset").fill("JPY/0")
    await form.get_by_role("button").click()
    await shows(page, "carol", "¥0")
    await page.reload()
    await shows(page, "carol", "¥0")
    await page.get_by_role("button", name="Stop watching carol").click()
    await expect(page.locator("#welcome")).to_be_visible()


async def test_a_frozen_and_a_closed_account_say_so(browser: Browser) -> None:
    wallet = WalletStub()
    await wallet.open("alice")
    async with stub_console(wallet, browser) as page:
        await wallet.heartbeat()
        await watch(page, "alice")
        await shows(page, "alice", "$0.00")
        flags = page.locator('.card[data-account="alice"] .flags')
        await expect(flags).to_be_hidden()
        await wallet.flag("alice", Flag.DEBIT_FROZEN | Flag.CLOSED)
        await expect(flags).to_have_text("Debits frozen, Closed")
        await wallet.flag("alice", 0)
        await expect(flags).to_be_hidden()


async def test_a_transfer_under_way_is_told_step_by_step_and_follows_its_phases(browser: Browser) -> None:
    wallet = WalletStub()
    await wallet.open("alice")
    id = uuid.uuid4()
    first = {
        "step": 0,
        "action": "try",
        "partition": 0,
        "code": "done",
        "position": "0:2",
        "at": "2026-01-01T00:00:00.000001Z",
    }
    credit = first | {"step": 1, "partition": 1, "position": "1:7", "at": "2026-01-01T00:00:00.000002Z"}
    legs = [
        {"account": "alice", "amount": "-1250", "asset": "USD/2"},
        {"account": None, "amount": "1250", "asset": None},
    ]
    told = {"id": str(id), "protocol": "saga", "legs": legs, "position": "0:2", "at": first["at"]}
    waits = [{"step": 1, "partition": 1, "action": "try"}]
    wallet.transfers[str(id)] = told | {
        "result": "pending",
        "phase": "crediting",
        "steps": [first],
        "waiting_for": waits,
    }
    async with stub_console(wallet, browser) as page:
        await wallet.heartbeat()
        await watch(page, "alice")
        await shows(page, "alice", "$0.00")
        await page.get_by_label("Transfer id").fill(str(id))
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("#timeline-head")).to_have_text("Under way: crediting · saga")
        await expect(page.locator("#timeline-legs li").first).to_have_text("alice −12.50 USD")  # noqa: RUF001
        steps = page.locator("#timeline-steps li")
        await expect(steps).to_have_count(2)
        await expect(steps.last).to_contain_text("Waits for try of step 1")
        wallet.transfers[str(id)] = told | {"result": "done", "phase": "done", "steps": [credit, first]}
        await wallet.tell_phase("alice", id.bytes, "done")
        await expect(page.locator("#timeline-head")).to_have_text("Result: done · saga")
        await expect(steps).to_have_count(2)
        await expect(steps.last).to_contain_text("partition 1 1:7")
        wallet.transfers[str(id)] |= {"stale_since": "2026-01-01T12:00:00.000000Z"}
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("#timeline-head")).to_contain_text("what became of it is shown up to Jan 1, 2026")
        await page.get_by_label("Transfer id").fill(str(uuid.uuid4()))
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator(".activity li.refused")).to_contain_text("No such transfer is remembered")


async def test_a_transfer_between_partitions_shows_its_steps_by_itself(browser: Browser, tmp_path: Path) -> None:
    """alice and bob live in different ones of two partitions."""
    async with real_target(tmp_path, partitions=2) as target, console(target.url, browser) as page:
        await page.get_by_role("button", name="Open two demo accounts and fund them").click()
        await expect(page.get_by_label("Amount")).to_have_value("12.50")
        await page.get_by_role("button", name="Send").click()
        await shows(page, "alice", "$87.50")
        await shows(page, "bob", "$112.50")
        await expect(page.locator("#timeline-head")).to_have_text("Result: done · saga")
        await expect(page.locator("#timeline-steps li")).to_have_count(3)
        await expect(page.locator("#timeline-steps li").nth(0)).to_contain_text("alice 87.50 · in transit 12.50")
        await expect(page.locator("#timeline-steps li").nth(1)).to_contain_text("bob 112.50 · in transit −12.50")  # noqa: RUF001


async def test_a_statement_below_a_card_follows_and_goes_back_page_by_page(browser: Browser, tmp_path: Path) -> None:
    async with real_target(tmp_path) as target, console(target.url, browser) as page:
        await page.get_by_role("button", name="Open two demo accounts and fund them").click()
        await shows(page, "alice", "$100.00")
        card = page.locator('.card[data-account="alice"]')
        lines = card.locator(".statement li")
        await card.get_by_text("Statement").click()
        await expect(lines).to_have_count(1)
        await expect(lines.first).to_contain_text("+100.00")
        await expect(lines.first).to_contain_text("@world:USD/2")
        for amount in range(1, 13):
            await target.transfer("alice", "bob", amount)
        await expect(lines.first).to_contain_text("−0.12")  # noqa: RUF001
        await expect(lines.first).to_contain_text("99.22")
        while await card.get_by_role("button", name="Older").is_visible():
            before = await lines.count()
            await card.get_by_role("button", name="Older").click()
            await expect(lines.nth(before)).to_be_visible()
        shown = [int(await line.get_attribute("data-version") or 0) for line in await lines.all()]
        assert shown == [*range(13, 0, -1)]


async def test_a_line_says_whether_readers_see_all_of_the_log(page: Page) -> None:
    await expect(page.locator("#lag")).to_have_text("Readers see all of the log")


async def test_lag_is_told_and_a_partition_that_does_not_get_on_with_its_reason(browser: Browser) -> None:
    wallet = WalletStub()
    await wallet.open("alice")
    async with stub_console(wallet, browser) as page:
        line = page.locator("#lag")
        await expect(line).to_have_text("Readers see all of the log")
        wallet.lag = {"unread": 3, "unstored": 1, "oldest_unapplied_ms": 12_900}
        await expect(line).to_have_text("Behind the log: 3 records to read, 1 block to show, the oldest 12 s old")
        wallet.lag = {"unread": None}
        await expect(line).to_have_text("How far the log is ahead is not known")
        wallet.reason = "nothing moves: its log has records that were not read for 31 s"
        await expect(line).to_have_text(f"partition 0: {wallet.reason}")
        await expect(line).to_have_attribute("data-state", "held")
        wallet.stale_since, wallet.reason = (
            "2026-01-01T12:00:00.000000Z",
            "partition 0 stops before block 18: its hash is wrong",
        )
        await expect(line).to_contain_text("Partition 0 is shown up to Jan 1, 2026")
        await expect(line).to_contain_text("what came later is not shown")
        await expect(line).to_contain_text(wallet.reason)


async def test_a_statement_that_is_old_says_so_instead_of_that_nothing_has_moved(browser: Browser) -> None:
    wallet = WalletStub()
    await wallet.open("alice")
    async with stub_console(wallet, browser) as page:
        await watch(page, "alice")
        wallet.stale_since = "2026-01-01T12:00:00.000000Z"
        statement = page.locator('.card[data-account="alice"] .statement')
        await statement.get_by_text("Statement").click()
        await expect(statement.locator(".said")).to_contain_text("Shown up to Jan 1, 2026")


async def test_amounts_are_never_floating_point(page: Page) -> None:
    formatted = await page.evaluate(
        """async () => {
            const { format, parse } = await import("/console/money.js");
            const refused = (typed, asset) => { try { parse(typed, asset); return false; } catch { return true; } };
            return [
                format("999999999999999999", "USD/2"), format("-5", "USD/2"), format("1", "BTC/8"), format("1234", "JPY/0"),
                parse("9,999,999,999,999,999.99", "USD/2"), parse("0.1", "BTC/8"), parse("-3", "USD/2"),
                refused("1.234", "USD/2"), refused("1e3", "USD/2"), refused("1,23", "USD/2"), refused("", "USD/2"),
                refused("1", "usd"),
            ];
        }"""
    )
    assert formatted == [
        "9,999,999,999,999,999.99",
        "−0.05",  # noqa: RUF001 - the real minus sign
        "0.00000001",
        "1,234",
        "999999999999999999",
        "10000000",
        "-300",
        *[True] * 5,
    ]


async def test_the_api_page_works_without_internet(page: Page, target: Target) -> None:
    await page.goto(target.url + "/docs")
    await expect(page.locator(".opblock-summary-path").first).to_be_visible()


async def test_who_signs_in_sees_what_may_be_read_and_the_token_stays_in_the_tab(
    tmp_path: Path, browser: Browser
) -> None:
    """Where the service asks who asks; where it does not, the page says so."""
    signer, keys = Signer("EdDSA"), tmp_path / "keys.json"
    keys.write_bytes(jwks(signer))
    wallet = WalletStub()
    for name in ("alice", "bob"):
        await wallet.open(name)
    asks: dict[str, Any] = {
        "auth": "tokens",
        "auth_keys": f"file:{keys}",
        "auth_issuer": ISSUER,
        "auth_audience": AUDIENCE,
    }
    async with AsyncExitStack() as stack:
        page = await browser.new_page()
        stack.push_async_callback(page.close)
        served = await stack.enter_async_context(serving(wallet, wallet.feed, **asks))
        await page.goto(served.url)
        await expect(page.locator("#connection-text")).to_have_text("Sign in to see balances")
        token = signer.token(claims("anna", [some("alice", "read")], now_s=time.time()))
        await page.get_by_label("Token or key").fill(token)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#connection-text")).to_have_text("Live")
        await expect(page.locator("#who")).to_have_text(re.compile("Signed in"))
        for name in ("alice", "bob"):
            await page.locator("#watch-account").fill(name)
            await page.get_by_role("button", name="Watch", exact=True).click()
        await shows(page, "alice", "$0.00")
        await expect(page.locator('.card[data-account="bob"]')).to_contain_text("Not opened yet")
        kept = await page.evaluate("JSON.stringify(localStorage) + document.cookie + location.href")
        assert token not in kept
        open_door = await stack.enter_async_context(serving(wallet, wallet.feed))
        await page.goto(open_door.url)
        await expect(page.locator("#who")).to_have_text("Nobody is asked who asks")
        await expect(page.locator("#connection-text")).to_have_text("Live")


async def test_what_nobody_answered_is_told_to_nobody_else_and_outlives_the_token_that_it_was_sent_with(
    tmp_path: Path, browser: Browser
) -> None:
    signer, keys = Signer("EdDSA"), tmp_path / "keys.json"
    keys.write_bytes(jwks(signer))
    wallet = WalletStub()
    asks: dict[str, Any] = {
        "auth": "tokens",
        "auth_keys": f"file:{keys}",
        "auth_issuer": ISSUER,
        "auth_audience": AUDIENCE,
    }
    ids: list[str] = []
    is_turned_away = False

    async def answer_for_it(route: Route) -> None:
        assert route.request.post_data_json is not None
        ids.append(route.request.post_data_json["id"])
        if is_turned_away:
            await route.fulfill(status=401, json={"code": "token_invalid", "title": "This token is not accepted"})
        else:
            await route.abort()

    async with serving(wallet, wallet.feed, **asks) as served, console(served.url, browser, "lost") as page:
        await page.route("**/v1/transfers", answer_for_it)
        told = page.locator(".activity li.unknown")

        async def sign_in(name: str, at_s: float) -> None:
            token = signer.token(claims(name, [some("alice", "read")], now_s=at_s))
            await page.get_by_label("Token or key").fill(token)
            async with page.expect_event("load"):
                await page.get_by_role("button", name="Sign in").click()
            await expect(page.locator("#connection-text")).to_have_text("Live")

        async def send() -> None:
            for label, value in (("From", "alice"), ("To", "bob"), ("Amount", "12.50")):
                await page.get_by_label(label, exact=True).fill(value)
            button, before = page.get_by_role("button", name="Send", exact=True), len(ids)
            await button.click()
            await expect(button).to_be_enabled()
            assert len(ids) == before + 1

        now_s = time.time()
        await sign_in("anna", now_s)
        await send()
        await expect(told).to_have_count(1)
        await sign_in("ben", now_s)
        await send()
        await expect(told).to_have_count(1)
        await expect(told).to_contain_text(ids[1])
        assert ids[1] != ids[0], "what ben sends is his own"
        await sign_in("anna", now_s - 10)
        await expect(told).to_have_count(1)
        await expect(told).to_contain_text(ids[0])
        is_turned_away = True
        await told.get_by_role("button", name="Send again with the same id").click()
        await expect(page.locator(".activity li.refused")).to_have_count(1)
        await page.reload()
        await expect(told).to_contain_text(ids[0])
        await send()
        assert ids[2:] == [ids[0]] * 2, "who asks was turned away: that says nothing of what was sent before"


async def test_a_key_that_signs_out_is_told_first_what_it_sent_and_nobody_answered(
    tmp_path: Path, browser: Browser
) -> None:
    key = add_key(tmp_path / "keys", "shop", ["*=read,debit,credit"])
    wallet, ids = WalletStub(), list[str]()

    async def lose(route: Route) -> None:
        ids.append(route.request.post_data_json["id"])  # type: ignore[index]
        await route.abort()

    asks: dict[str, Any] = {"auth": "tokens", "api_keys": str(tmp_path / "keys")}
    async with serving(wallet, wallet.feed, **asks) as served, console(served.url, browser, "lost") as page:
        await page.route("**/v1/transfers", lose)
        sign_in, who = page.get_by_role("button", name="Sign in"), page.locator("#who")
        await page.get_by_label("Token or key").fill(key)
        async with page.expect_event("load"):
            await sign_in.click()
        for label, value in (("From", "alice"), ("To", "bob"), ("Amount", "12.50")):
            await page.get_by_label(label, exact=True).fill(value)
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.locator(".activity li.unknown")).to_have_count(1)
        await page.get_by_label("Token or key").fill("")
        await sign_in.click()
        await expect(who).to_contain_text(ids[0])
        assert await page.evaluate("sessionStorage.getItem('fanfold.token')") == key, (
            "nobody is signed out before that is read"
        )
        async with page.expect_event("load"):
            await sign_in.click()
        assert ids[0] not in await page.evaluate("JSON.stringify(sessionStorage)")
        await page.get_by_label("Token or key").fill(key)
        async with page.expect_event("load"):
            await sign_in.click()
        await page.get_by_label("Token or key").fill("")
        async with page.expect_event("load"):
            await sign_in.click()  # nothing is lost: nothing is told
