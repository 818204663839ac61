"""A person answers a run's question in the console, with the keyboard and with a look at what they changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.journeys.browser import chromium, complaints_of, press
from tests.journeys.conftest import Caller, Fleet, offer

pytestmark = pytest.mark.browser

PASSWORD = "a-long-enough-one"
PHONE = {"width": 390, "height": 844}
SECONDS = 1000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def web(browser: Browser, module_fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> str:
    module_fleet.env["LOOM_TEST_FOLDER"] = str(tmp_path_factory.mktemp("paid"))
    address = module_fleet.web()
    module_fleet.worker()
    return address


@pytest.fixture
def ann(web: str, acme: Any, committed_db: None) -> Caller:
    offer(acme, "payer", {"program": "payer"})
    acme.people["ann"].set_password(PASSWORD)
    acme.people["ann"].save()
    return Caller(web, acme.token)


@pytest.fixture
def page(browser: Browser, web: str, ann: Caller, acme: Any) -> Iterator[Page]:
    """Ann, signed in. Her pages must not complain about anything."""
    context = browser.new_context(base_url=f"http://{web}", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(20 * SECONDS)
    complaints = complaints_of(page)
    page.goto("/login")
    page.get_by_label("Name").fill(acme.people["ann"].username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    yield page
    context.close()
    assert complaints == []


def test_a_yes_from_the_keyboard_lets_the_run_go_on_to_its_answer(page: Page, ann: Caller) -> None:
    run_id = ann.start("payer", "Pay the bill")
    page.goto(f"/runs/{run_id}")
    expect(page.locator("#pending .count")).to_have_text("1")

    page.get_by_role("button", name="Look and decide").click()
    expect(page.locator(".question h2")).to_have_text("pay")
    press(page, "a")

    page.wait_for_url(re.compile(f"/runs/{run_id}$"))
    expect(page.locator(".answer pre")).to_have_text("The clerk says: paid 5")
    expect(page.locator("#summary .status")).to_have_text("Succeeded")
    expect(page.locator("#pending .count")).to_have_count(0)
    expect(page.locator("[data-state=done] .name", has_text="pay")).to_be_visible()


def test_an_edit_is_compared_and_then_runs_as_it_was_edited(page: Page, ann: Caller) -> None:
    run_id = ann.start("payer", "Pay the bill")
    page.goto("/approvals/")
    expect(page.locator(".row")).to_have_count(1)

    press(page, "j")
    press(page, "Enter")
    expect(page.locator(".question h2")).to_have_text("pay")
    press(page, "e")
    page.get_by_label("amount").fill("3")
    press(page, "Control+Enter")
    expect(page.locator(".diff del")).to_have_text("5")
    expect(page.locator(".diff ins")).to_have_text("3")
    page.get_by_role("button", name="Approve with edits").click()

    expect(page.locator(".message")).to_contain_text("Approved with edits: pay")
    page.goto(f"/runs/{run_id}")
    expect(page.locator(".answer pre")).to_have_text("The clerk says: paid 3")


def test_what_is_typed_is_no_shortcut_and_the_inbox_fills_and_empties_by_itself(page: Page, ann: Caller) -> None:
    page.goto("/approvals/")
    expect(page.get_by_text("Nothing waits for anybody")).to_be_visible()
    expect(page.locator("#live")).to_be_visible()

    ann.start("payer", "Pay the bill")
    expect(page.locator(".row")).to_have_count(1)
    page.locator(".row a").click()
    expect(page.locator(".question h2")).to_have_text("pay")
    press(page, "r")
    page.keyboard.type("a jest, are we?")

    expect(page.get_by_label("Why?")).to_have_value("a jest, are we?")
    expect(page.locator(".question .decided")).to_have_text("Pending")
    press(page, "Control+Enter")
    expect(page.locator(".question .decided")).to_have_text("Rejected")
    expect(page.locator(".row")).to_have_count(0)
    expect(page.locator("blockquote")).to_have_text("a jest, are we?")


def test_several_are_approved_at_once_and_no_page_is_wider_than_a_phone(page: Page, ann: Caller) -> None:
    runs = [ann.start("payer", "Pay the bill") for _ in range(2)]
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto("/approvals/")
    expect(page.locator(".row")).to_have_count(2)

    def fits() -> None:
        widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert widths[0] <= widths[1], page.url

    fits()
    for address in page.locator(".row a").evaluate_all("links => links.map(link => link.pathname)"):
        for path in (address, f"{address}/edit", "/workers/"):
            page.goto(path)
            fits()
    page.goto("/approvals/")
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="Approve…").click()
    fits()
    page.get_by_role("button", name="Approve 2").click()

    expect(page.locator(".results .decided")).to_have_count(2)
    fits()
    for run_id in runs:
        page.goto(f"/runs/{run_id}")
        expect(page.locator(".answer pre")).to_have_text("The clerk says: paid 5")
