"""Who may use the console: every state of it is walked, looked at by axe-core in dark and light, and read 360 pixels wide."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.end_to_end.console_axe import findings
from tests.end_to_end.console_page import console, shows, watch
from tests.gateway_server import serving
from tests.tokens import AUDIENCE, ISSUER, Signer, claims, jwks, some
from tests.wallet_stub import WalletStub
from write_side.contract.words.atoms import NO_FLOOR
from write_side.contract.words.codes import Flag

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

LONG = "a" * 64
MOST = 10**18
ID = "0197ffff-ffff-7fff-bfff-ffffffffffff"
AT = "2026-01-01T00:00:00.000001Z"
NARROW = {"width": 360, "height": 740}


async def good(page: Page, state: str) -> None:
    """Nothing is found in the page as it is now, and nothing of it stands beside a window of 360 pixels."""
    await page.emulate_media(color_scheme="light", reduced_motion="reduce")
    assert await findings(page) == [], state
    await page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    assert await findings(page, "color-contrast", "link-in-text-block") == [], f"{state}, dark"
    beside = await page.evaluate(
        """(width) => [...document.querySelectorAll("body *")]
            .filter((each) => each.checkVisibility() && each.getBoundingClientRect().right > width + 1)
            .map((each) => each.outerHTML.slice(0, 120))""",
        NARROW["width"],
    )
    assert beside == [], state
    assert await page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], state


@asynccontextmanager
async def narrow(wallet: WalletStub, browser: Browser, **settings: Any) -> AsyncIterator[Page]:
    state = "lost" if settings else "live"
    async with (
        serving(wallet, wallet.feed, cut_wait_ms=100, **settings) as served,
        console(served.url, browser, state, viewport=NARROW) as page,
    ):
        await wallet.heartbeat()
        yield page


async def test_balances_of_every_kind_are_for_everybody(browser: Browser) -> None:
    wallet = WalletStub()
    for name, asset in ((LONG, "ABCDEFGHIJKLMNOP/15"), ("alice", "USD/2"), ("frozen", "JPY/0"), ("broken", "USD/2")):
        await wallet.open(name, asset)
    wallet.rows[LONG] = wallet.rows[LONG]._replace(posted=-MOST, held=MOST, floor=NO_FLOOR, version=10**15)
    await wallet.flag("frozen", Flag.DEBIT_FROZEN | Flag.CREDIT_FROZEN | Flag.CLOSED)
    wallet.holds = [{"id": ID, "amount": str(MOST), "state": "busy", "at": AT, "deadline": AT}]
    wallet.entries = [
        {
            "version": version, "at": AT, "position": f"0:{version}", "transfer": ID, "kind": "transfer", "amount": str(-MOST),
            "posted": str(1 - MOST), "held": "0", "available": None, "accounts": [LONG, LONG], "reference": "r" * 128,
        }
        for version in (10**15, 10**15 - 1)
    ]  # fmt: skip
    async with narrow(wallet, browser) as page:
        await good(page, "nothing is watched")
        for name in (LONG, "alice", "frozen", "nobody"):
            await watch(page, name)
        await shows(page, "frozen", "¥0")
        await shows(page, "nobody", "Not opened yet")
        await shows(page, LONG, "−1,000.000000000000000")  # noqa: RUF001 - the real minus sign
        wallet.unreadable = {"broken": "partition_unavailable"}
        await watch(page, "broken")
        await shows(page, "broken", "Cannot be read now")
        wallet.lag = {"unread": MOST, "unstored": 10**9, "oldest_unapplied_ms": 10**12}
        await expect(page.locator("#lag")).to_have_attribute("data-state", "behind")
        for summary in await page.locator("details:visible > summary").all():
            await summary.click()
        await expect(page.locator(".holds li:visible").first).to_be_visible()
        await expect(page.locator(".statement .lines li:visible").first).to_be_visible()
        await expect(page.locator("#accounts-found li")).to_have_count(4)
        await expect(page.locator("#system-assets li")).to_have_count(3)
        await good(page, "balances, behind")
        form, legs = page.locator("#transfer-form"), page.locator("#many-legs")
        await form.get_by_label("Hold", exact=True).check()
        await form.get_by_label("Many legs").check()
        for number, account in enumerate((LONG, "alice"), start=1):
            await legs.get_by_label(f"Account of leg {number}").fill(account)
            await legs.get_by_label(f"Amount of leg {number}").fill(f"-9,999,999,999,999,999.9{number}")
        await page.get_by_role("button", name=f"Chart of {LONG}").click()
        await expect(page.locator("#chart-log")).to_have_attribute("data-state", "differs")
        await good(page, "legs, a hold, and a chart that the log does not agree with")
        wallet.reason = f"nothing moves: {LONG} {LONG}"
        await expect(page.locator("#lag")).to_have_attribute("data-state", "held")
        await good(page, "a partition does not get on")


async def test_answers_and_steps_are_for_everybody(browser: Browser) -> None:
    wallet = WalletStub()
    await wallet.open(LONG)
    await wallet.open("bob")
    await wallet.transfer("@world", LONG, MOST)
    steps = [
        {"step": step, "action": "try", "partition": step, "code": code, "position": f"{step}:{MOST}", "at": AT}
        for step, code in enumerate(("done", "insufficient_available"))
    ]
    legs = [{"account": LONG, "amount": str(-MOST), "asset": "ABCDEFGHIJKLMNOP/15"}] * 3
    wallet.transfers[ID] = {
        "id": ID, "protocol": "saga", "result": "pending", "phase": "crediting", "legs": legs, "position": "0:2", "at": AT,
        "steps": steps, "waiting_for": [{"step": 1, "partition": 1, "action": "try"}], "stale_since": AT,
        "step_accounts": [[{"account": LONG, "asset": "USD/2", "posted": str(MOST), "held": str(MOST)}], []],
    }  # fmt: skip
    async with narrow(wallet, browser) as page:
        await watch(page, LONG)
        await shows(page, LONG, "$10,000,000,000,000,000.00")
        await page.get_by_label("Transfer id").fill(ID)
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("#timeline-steps li")).to_have_count(3)
        form = page.locator("#transfer-form")

        async def send(amount: str) -> None:
            for field, value in (("from", LONG), ("to", "bob"), ("amount", amount), ("asset", "USD/2")):
                await form.locator(f"[name={field}]").fill(value)
            await form.get_by_role("button", name="Send", exact=True).click()

        await send("1")
        await expect(page.locator(".activity li.done")).to_have_count(1)
        await send("99,999,999,999,999,999.99")
        await expect(page.locator(".activity li.refused")).to_have_count(1)
        await page.route("**/v1/transfers", lambda route: route.abort())
        await send("2")
        await expect(page.locator(".activity li.unknown")).to_have_count(1)
        await send("no amount")
        await expect(page.locator("[aria-invalid]")).to_have_count(1)
        await good(page, "every answer, and a transfer under way")
        for result, code in (("refused", "insufficient_available"), ("done", None)):
            wallet.transfers[ID] |= {"result": result, "code": code}
            await page.get_by_role("button", name="Show").click()
            await expect(page.locator("#timeline")).to_have_attribute("data-result", result)
            assert await findings(page, "color-contrast") == []


async def test_signing_in_and_a_lost_connection_are_for_everybody(browser: Browser, tmp_path: Path) -> None:
    signer, keys = Signer("EdDSA"), tmp_path / "keys.json"
    keys.write_bytes(jwks(signer))
    wallet = WalletStub()
    await wallet.open("alice")
    asks: dict[str, Any] = {
        "auth": "tokens",
        "auth_keys": f"file:{keys}",
        "auth_issuer": ISSUER,
        "auth_audience": AUDIENCE,
    }
    async with narrow(wallet, browser, **asks) as page:
        await expect(page.locator("#connection-text")).to_have_text("Sign in to see balances")
        await good(page, "nobody has signed in")
        await page.get_by_label("Token or key").fill(
            signer.token(claims("anna", [some("alice", "read")], now_s=time.time()))
        )
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
        await watch(page, "alice")
        await shows(page, "alice", "$0.00")
        await page.evaluate("window.dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
        await expect(page.locator("#connection")).to_have_attribute("data-state", "lost")
        await good(page, "the connection is lost")
