"""What the console shows beside live balances: which accounts there are, how a balance went, and how good what is shown is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, WebSocketRoute, expect

from tests.end_to_end.console_page import console, shows, watch
from tests.end_to_end.console_targets import real_target, stub_console
from tests.gateway_server import serving
from tests.wallet_stub import WalletStub

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_accounts_are_found_by_the_beginning_of_their_names_and_picked_to_be_watched(browser: Browser) -> None:
    wallet = WalletStub()
    for number in range(45):
        await wallet.open(f"shop-{number:02}")
    await wallet.open("alice")
    async with stub_console(wallet, browser) as page:
        await wallet.heartbeat()
        found = page.locator("#accounts-found li")
        await expect(found).to_have_count(20)
        await page.get_by_label("Name begins with").fill("shop")
        await expect(found.first).to_contain_text("shop-00")
        for count in (40, 45):
            await page.get_by_role("button", name="More accounts").click()
            await expect(found).to_have_count(count)
        await expect(page.get_by_role("button", name="More accounts")).to_be_hidden()
        await found.last.get_by_role("button").click()
        await shows(page, "shop-44", "$0.00")
        await wallet.transfer("@world", "shop-44", 250)
        await expect(found.last).to_contain_text("2.50 USD")
        wallet.mute = True  # what is read now is newer than what was told
        await wallet.transfer("@world", "shop-44", 50)
        await page.get_by_label("Name begins with").fill("shop-44")
        await expect(found).to_have_count(1)
        await expect(found).to_contain_text("3.00 USD")
        await shows(page, "shop-44", "$2.50")
        await page.get_by_label("Name begins with").fill("nobody")
        await expect(page.locator("#accounts-said")).to_have_text("No account's name begins so.")


async def test_a_chart_is_read_with_keys_and_says_what_the_log_says(browser: Browser, tmp_path: Path) -> None:
    async with real_target(tmp_path) as target, console(target.url, browser) as page:
        await page.get_by_role("button", name="Open two demo accounts and fund them").click()
        await shows(page, "bob", "$100.00")
        for amount in (100, 200, 300):
            await target.transfer("alice", "bob", amount)
        await shows(page, "alice", "$94.00")
        await page.get_by_role("button", name="Chart of alice").click()
        summary, then, log = (page.locator(f"#chart-{part}") for part in ("summary", "then", "log"))
        await expect(summary).to_contain_text("4 changes, from")
        await expect(summary).to_contain_text("lowest 94.00 USD, highest 100.00 USD, last 94.00 USD.")
        await expect(page.locator("#chart-plot canvas")).to_be_visible()
        await expect(then).to_contain_text("94.00 USD after −3.00")  # noqa: RUF001 - the real minus sign
        slider = page.get_by_label("Which change")
        await slider.focus()
        await page.keyboard.press("ArrowLeft")
        await expect(then).to_contain_text("97.00 USD after −2.00")  # noqa: RUF001
        assert await slider.get_attribute("aria-valuetext") == await then.text_content()
        await expect(log).to_contain_text("The log itself says so, at position 0:")
        await target.transfer("alice", "bob", 50)
        await expect(summary).to_contain_text("5 changes, from")
        await expect(then).to_contain_text("97.00 USD after −2.00")  # noqa: RUF001
        await page.keyboard.press("End")
        await expect(then).to_contain_text("93.50 USD")
        await target.transfer("alice", "bob", 50)
        await expect(then).to_contain_text("93.00 USD")
        plot = await page.locator("#chart-plot .u-over").bounding_box()
        assert plot is not None
        await page.mouse.move(plot["x"] + 2, plot["y"] + 20)
        await expect(then).to_contain_text("100.00 USD after +100.00")
        now = await page.evaluate(
            "new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString().slice(0, 19)"
        )
        await page.get_by_label("As of").fill("2020-01-01T00:00:00")
        await expect(log).to_have_attribute("data-state", "unknown")
        await page.get_by_label("As of").fill(now)
        await expect(log).to_have_attribute("data-state", "same")
        await page.get_by_role("button", name="Close the chart").click()
        await expect(page.locator("#chart")).to_be_hidden()
        await expect(page.get_by_role("button", name="Chart of alice")).to_be_focused()


async def test_a_start_and_a_rebuild_are_told_with_how_far_they_are(browser: Browser) -> None:
    wallet = WalletStub()
    wallet.reason = "the log is being folded"
    wallet.progress = {"what": "start", "done": 1200, "total": 4800, "unit": "blocks", "seconds_left": 2.5}
    async with stub_console(wallet, browser, "behind") as page:
        line = page.locator("#lag")
        starts = "Partition 0 starts: its log is folded, 1,200 of about 4,800 blocks, about 3 s left"
        await expect(line).to_have_text(starts)
        wallet.reason = None
        wallet.progress = {"what": "rebuild", "done": 70, "total": None, "unit": "entries", "seconds_left": None}
        again = "Partition 0: its view is made again, 70 entries"
        await expect(line).to_have_text(f"Readers see all of the log · {again}")


async def test_the_page_says_live_behind_and_when_it_connects_again(browser: Browser) -> None:
    wallet = WalletStub()
    await wallet.open("alice")
    async with (
        serving(wallet, wallet.feed, cut_wait_ms=100) as served,
        console(served.url, browser) as page,
    ):
        connection, text = page.locator("#connection"), page.locator("#connection-text")
        await watch(page, "alice")
        await shows(page, "alice", "$0.00")
        await expect(text).to_have_text("Live")
        wallet.lag = {"unread": 3, "oldest_unapplied_ms": 12_900}
        await expect(text).to_have_text("Behind the log")
        wallet.lag = {}
        await expect(text).to_have_text("Live")
        await page.context.set_offline(True)
        for stream in list(served.gateway.hub._streams.values()):
            stream._transport.abort()  # type: ignore[attr-defined]
        await expect(connection).to_contain_text(re.compile(r"Offline, reconnecting in \d s"))
        await expect(connection).to_have_attribute("data-state", "lost")
        await page.context.set_offline(False)
        await wallet.transfer("@world", "alice", 250)
        await shows(page, "alice", "$2.50")
        await expect(text).to_have_text("Live")


async def test_a_page_that_is_gone_back_to_is_the_same_one_and_goes_on(browser: Browser) -> None:
    wallet = WalletStub()
    await wallet.open("alice")
    async with stub_console(wallet, browser) as page:
        await watch(page, "alice")
        await shows(page, "alice", "$0.00")
        await page.evaluate("addEventListener('pageshow', (event) => { window.wasKept = event.persisted; })")
        await page.goto(page.url + "healthz")
        await wallet.transfer("@world", "alice", 250)
        await page.evaluate("history.back()")
        await shows(page, "alice", "$2.50")
        await expect(page.locator("#connection-text")).to_have_text("Live")
        assert await page.evaluate("window.wasKept") is True


async def test_a_connection_that_died_while_the_machine_slept_is_found_out_on_waking(browser: Browser) -> None:
    wallet = WalletStub()
    await wallet.open("alice")
    dead: list[bool] = []

    async def relay(socket: WebSocketRoute) -> None:
        server, is_first = socket.connect_to_server(), not dead
        dead.append(False)
        socket.on_message(lambda said: server.send(said) if not (is_first and dead[0]) else None)
        server.on_message(lambda said: socket.send(said) if not (is_first and dead[0]) else None)

    async with serving(wallet, wallet.feed, cut_wait_ms=100) as served:
        context = await browser.new_context()
        page = await context.new_page()
        await page.route_web_socket("**/v1/stream", relay)
        await page.clock.install()
        await page.goto(served.url)
        await watch(page, "alice")
        await shows(page, "alice", "$0.00")
        dead[0] = True
        await wallet.transfer("@world", "alice", 250)
        await page.evaluate("window.dispatchEvent(new Event('online'))")
        await page.clock.run_for(11_000)
        await shows(page, "alice", "$2.50")
        assert len(dead) == 2
        await context.close()
