"""A person at the console: signs in, starts runs and watches them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from django.db import connections
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, expect

from agents import services
from agents.core.runtime.writer import Append
from agents.models import Run
from loom.events import Record
from tests.journeys.browser import chromium, complaints_of, press
from tests.journeys.conftest import Caller, Fleet, offer

pytestmark = pytest.mark.browser

T = TypeVar("T")
PASSWORD = "a-long-enough-one"
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
TEN_WORDS = "one two three four five six seven eight nine ten"
SECONDS = 1000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def web(browser: Browser, module_fleet: Fleet) -> str:
    address = module_fleet.web()
    module_fleet.worker()
    return address


@pytest.fixture
def ann(web: str, acme: Any, committed_db: None) -> Caller:
    for name in ("forecaster", "slow-echo", "quick-echo"):
        offer(acme, name, {"program": name})
    person = acme.people["ann"]
    person.set_password(PASSWORD)
    person.is_superuser = True
    person.save()
    return Caller(web, acme.token)


@pytest.fixture
def context(browser: Browser, web: str) -> Iterator[BrowserContext]:
    context = browser.new_context(base_url=f"http://{web}", viewport=WIDE)  # type: ignore[arg-type]
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page that must not complain about anything."""
    page = context.new_page()
    page.set_default_timeout(20 * SECONDS)
    complaints = complaints_of(page)
    yield page
    assert complaints == []


@pytest.fixture
def signed_in(page: Page, ann: Caller, acme: Any) -> Page:
    page.goto("/login")
    page.get_by_label("Name").fill(acme.people["ann"].username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    return page


def _start(page: Page, agent: str, said: str) -> None:
    page.get_by_role("button", name="New run").click()
    page.get_by_label("Agent").select_option(agent)
    page.get_by_label("Input").fill(said)
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}$"))


def _mark(page: Page) -> None:
    """Leave a trace in the page that a reload would wipe away."""
    page.evaluate("window.stayed = true")


def _has_stayed(page: Page) -> bool:
    return bool(page.evaluate("window.stayed === true"))


def test_the_answer_of_a_run_appears_without_reloading(signed_in: Page) -> None:
    _start(signed_in, "slow-echo", TEN_WORDS)
    _mark(signed_in)

    expect(signed_in.locator(".answer pre")).to_have_text(f"Echo: {TEN_WORDS}", timeout=20 * SECONDS)

    assert _has_stayed(signed_in)
    expect(signed_in.locator("#summary .status")).to_have_text("Succeeded")
    expect(signed_in.locator(".saying")).to_have_count(0)
    kinds = signed_in.locator("#events > li").evaluate_all("lines => lines.map(line => line.dataset.kind)")
    assert (kinds[0], kinds[-1]) == ("run.started", "run.succeeded")
    numbers = signed_in.locator("#events > li").evaluate_all("lines => lines.map(line => Number(line.dataset.seq))")
    assert numbers == list(range(1, len(numbers) + 1))


def test_what_a_model_says_is_seen_before_it_has_finished(signed_in: Page) -> None:
    _start(signed_in, "slow-echo", TEN_WORDS)

    saying = signed_in.locator(".saying .text")
    expect(saying).to_contain_text("Echo: one two")
    assert "ten" not in (saying.text_content() or "")
    expect(signed_in.locator(".saying .step")).to_have_text("turn:1/model")
    assert signed_in.locator("#summary").get_attribute("data-over") == "false"
    expect(signed_in.locator(".answer")).to_be_visible()


def test_a_run_shows_its_tool_calls_and_what_it_cost(signed_in: Page) -> None:
    _start(signed_in, "forecaster", "How is Lisbon?")
    expect(signed_in.locator(".answer")).to_contain_text("The report says: sunny in Lisbon")

    events = signed_in.locator("#events")
    expect(events).to_contain_text("How is Lisbon?")
    expect(events.locator("[data-kind='tool.started']")).to_contain_text("weather")
    expect(events.locator("[data-kind='tool.started']")).to_contain_text('"city": "Lisbon"')
    expect(events.locator("[data-kind='tool.completed']")).to_contain_text("sunny in Lisbon")
    expect(signed_in.locator("#summary")).to_contain_text("240")
    expect(signed_in.locator("#summary")).to_contain_text("60")
    expect(signed_in.locator("#summary")).to_contain_text("$0.0024")
    expect(signed_in.locator("#summary")).to_contain_text(re.compile(r"Duration\s*[\d.]+ s"))


def test_the_list_shows_new_runs_and_their_ends_by_itself(signed_in: Page, ann: Caller) -> None:
    expect(signed_in.locator("#live")).to_be_visible()
    _mark(signed_in)

    run_id = ann.start("slow-echo", "from a program")

    row = signed_in.locator(f"#runs tr:has(a[href='/runs/{run_id}'])")
    expect(row).to_contain_text("from a program")
    expect(row.locator(".status")).to_have_text("Succeeded")
    assert _has_stayed(signed_in)


def test_without_the_socket_the_page_asks_instead(context: BrowserContext, ann: Caller, acme: Any) -> None:
    context.route_web_socket(re.compile("/ws/"), lambda socket: socket.close(code=1011, reason="blocked"))
    page = context.new_page()
    page.goto("/login")
    page.get_by_label("Name").fill(acme.people["ann"].username)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    _start(page, "slow-echo", TEN_WORDS)
    _mark(page)

    expect(page.locator(".answer pre")).to_have_text(f"Echo: {TEN_WORDS}", timeout=20 * SECONDS)

    assert _has_stayed(page)
    expect(page.locator("#live")).to_be_hidden()


def test_the_console_can_be_used_from_the_keyboard(signed_in: Page) -> None:
    signed_in.get_by_role("button", name="New run").focus()
    press(signed_in, "Enter")
    expect(signed_in.get_by_label("Input")).to_be_focused()

    signed_in.keyboard.type("by hand")
    press(signed_in, "Control+Enter")

    signed_in.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}$"))
    expect(signed_in.locator("#events")).to_contain_text("by hand")


def test_no_page_of_the_console_is_wider_than_a_phone(signed_in: Page, ann: Caller) -> None:
    run_id = ann.start("forecaster", "W" * 300 + " " + "word " * 60)
    ann.socket(run_id)
    plan = {"slug": "s", "name": "W" * 200, "agent": "forecaster", "input": "W" * 300, "cron": f"{'1,' * 90}1 * * * *"}
    with ann.http as http:
        assert http.post("/api/v1/schedules", json=plan).status_code == 201
    signed_in.set_viewport_size(PHONE)  # type: ignore[arg-type]

    pages = ("/", "/runs/new", "/approvals/", "/schedules/", "/schedules/new")
    of_it = ("", "?view=events", "/retry?from_seq=2", "/fork?from_seq=2")
    for path in (*pages, *(f"/runs/{run_id}{part}" for part in of_it)):
        signed_in.goto(path)
        for part in signed_in.locator("details > summary:visible").all():
            part.click()
        widths = signed_in.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert widths[0] <= widths[1], path


def _elsewhere(work: Callable[..., T], *args: Any) -> T:
    """Do something in another thread: the browser's has an event loop, beside which synchronous code must not wait."""

    def run() -> T:
        try:
            return work(*args)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def _run_in_hand(place: Any) -> UUID:
    """A run that no worker takes, because to them it is in other hands from its first moment."""
    with place.scope():
        run = place.run("quick-echo")
        until = timezone.now() + timedelta(hours=1)
        Run.objects.filter(pk=run.pk).update(status=Run.Status.RUNNING, lease_until=until, fence=1)
    return UUID(str(run.pk))


def _append(place: Any, run_id: UUID, records: list[Record]) -> None:
    with place.scope():
        assert services.append_events([Append(run_id, 1, records)])


def test_a_run_with_five_thousand_events_is_usable(signed_in: Page, ann: Caller, acme: Any) -> None:
    run_id = _elsewhere(_run_in_hand, acme)
    for begin in range(0, 5000, 1000):
        notes = [Record(kind="architecture.note", data={"number": begin + n, "text": "x" * 200}) for n in range(1000)]
        _elsewhere(_append, acme, run_id, notes)

    signed_in.goto(f"/runs/{run_id}")
    lines = signed_in.locator("#events > li")
    expect(lines).to_have_count(200)
    took = signed_in.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    expect(signed_in.locator("#live")).to_be_visible()
    _elsewhere(_append, acme, run_id, [Record(kind="run.succeeded", data={"output": "at last", "parsed": None})])

    expect(signed_in.locator(".answer")).to_contain_text("at last")
    print(f"a page of 5,000 events is complete after {took:.0f} ms")  # noqa: T201
    signed_in.get_by_role("link", name=re.compile("earlier")).click()
    expect(lines).to_have_count(400)


def test_the_admin_does_without_anything_that_the_policy_forbids(signed_in: Page, ann: Caller) -> None:
    for path in ("/admin/", "/admin/agents/run/", "/admin/agents/agent/", "/admin/governance/apikey/"):
        signed_in.goto(path)
        expect(signed_in.locator("#content, main").first).to_be_visible()
