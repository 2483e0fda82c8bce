"""What the console does with money: many legs, holds and what ends them, once each, also where an answer is lost on its way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, expect

from tests.end_to_end.console_page import console, shows
from tests.end_to_end.console_targets import real_target

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def funded(page: Page) -> None:
    await page.get_by_role("button", name="Open two demo accounts and fund them").click()
    await expect(page.get_by_label("Amount")).to_have_value("12.50")
    await shows(page, "bob", "$100.00")


class Answers:
    """Lets requests through and loses their answers for as long as `lost`. Keeps what was asked."""

    def __init__(self) -> None:
        self.lost = True
        self.asked: list[dict[str, Any]] = []

    async def __call__(self, route: Route) -> None:
        if route.request.method != "POST":
            await route.continue_()
            return
        assert route.request.post_data_json is not None
        self.asked.append(route.request.post_data_json)
        answer = await route.fetch()
        await (route.abort() if self.lost else route.fulfill(response=answer))

    def ids(self) -> set[str]:
        return {each["id"] for each in self.asked}


async def test_legs_are_sent_when_they_are_zero_together_and_run_once_however_often_they_are_sent(
    browser: Browser, tmp_path: Path
) -> None:
    async with real_target(tmp_path) as target, console(target.url, browser) as page:
        await funded(page)
        form, legs = page.locator("#transfer-form"), page.locator("#many-legs")
        send = form.get_by_role("button", name="Send", exact=True)
        await form.get_by_label("Many legs").check()
        await legs.get_by_role("button", name="Add a leg").click()
        for number, (account, amount) in enumerate((("alice", "-30"), ("bob", "20"), ("@world", "9.99")), start=1):
            await legs.get_by_label(f"Account of leg {number}").fill(account)
            await legs.get_by_label(f"Amount of leg {number}").fill(amount)
        await expect(legs.locator(".sum")).to_have_text("0.01 USD more is given than received.")
        await send.click()
        await expect(page.locator(".activity li").first).to_contain_text("must be zero together")
        await expect(legs.get_by_label("Amount of leg 1")).to_have_attribute("aria-invalid", "true")
        await legs.get_by_label("Amount of leg 3").fill("10")
        await expect(legs.locator(".sum")).to_have_text("Zero together: what is given is what is received.")
        answers = Answers()
        await page.route("**/v1/transfers", answers)
        for _ in range(2):
            await send.click()
            await expect(send).to_be_enabled()
        assert len(answers.ids()) == 1
        assert [leg["amount"] for leg in answers.asked[0]["legs"]] == ["-3000", "2000", "1000"]
        answers.lost = False
        await page.get_by_role("button", name="Send again with the same id").first.click()
        await expect(page.locator(".activity li.done").first).to_contain_text("Moved 30.00 USD in 3 legs")
        assert len(answers.ids()) == 1
        await shows(page, "alice", "$70.00")
        await shows(page, "bob", "$120.00")
        await expect(legs.get_by_label("Amount of leg 1")).to_have_value("")
        outside = page.locator('#system-assets li[data-asset="USD/2"]')
        await expect(outside.locator(".world")).to_have_text("−190.00")  # noqa: RUF001 - the real minus sign
        await expect(outside.locator(".wallets")).to_have_text("190.00")


async def test_a_hold_is_captured_in_part_and_let_go_and_nothing_of_it_is_done_twice(
    browser: Browser, tmp_path: Path
) -> None:
    async with real_target(tmp_path) as target, console(target.url, browser) as page:
        await funded(page)
        form, card = page.locator("#transfer-form"), page.locator('.card[data-account="alice"]')
        await form.get_by_label("Hold", exact=True).check()
        answers = Answers()
        await page.route("**/v1/holds**", answers)
        await page.route("**/v1/holds/**", answers)
        send = form.get_by_role("button", name="Send", exact=True)
        for lost in (True, False):
            answers.lost = lost
            await send.click()
            await expect(send).to_be_enabled()
        assert len(answers.ids()) == 1
        await expect(card.locator(".held")).to_have_text("12.50")
        await card.locator(".holds summary").click()
        hold = card.locator(".holds li")
        await expect(hold.locator(".held-amount")).to_have_text("$12.50")
        await hold.locator("[name=part]").fill("99")
        await hold.get_by_role("button", name="Capture").click()
        await expect(page.locator(".activity li.unknown, .activity li.refused").first).to_be_visible()
        await expect(page.locator(".activity li.refused").first).to_contain_text("was not captured")
        await hold.locator("[name=part]").fill("2.50")
        answers.asked.clear()
        for lost in (True, False):
            answers.lost = lost
            await hold.get_by_role("button", name="Capture").click()
            await expect(hold.get_by_role("button", name="Capture")).to_be_enabled()
        assert len(answers.ids()) == 1
        await shows(page, "alice", "$97.50")
        await shows(page, "bob", "$102.50")
        await expect(hold.locator(".held-amount")).to_have_text("$10.00")
        answers.asked.clear()
        answers.lost = True
        await hold.get_by_role("button", name="Void").click()
        await expect(page.locator(".activity li.unknown").first).to_contain_text("Letting go hold")
        await expect(hold).to_have_count(0)
        await page.get_by_role("button", name="Ask what became of it").first.click()
        await expect(page.locator("#timeline")).to_have_attribute("data-result", "voided")
        assert "Letting go" not in await page.evaluate("JSON.stringify(sessionStorage)"), "what is found is its answer"
        answers.lost = False
        await page.get_by_role("button", name="Send again with the same id").first.click()
        await expect(page.locator(".activity li.done").first).to_contain_text("Let go hold")
        assert len(answers.ids()) == 1
        await expect(card.locator(".held-row")).to_be_hidden()
        await shows(page, "alice", "$97.50")
