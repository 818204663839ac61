"""The page of one run: what it waits for, its steps, and what people can do with it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from agents.models import Run
from loom.events import Record


@pytest.fixture
def over(acme: Any) -> Run:
    """A run that asked a model, called a tool and succeeded."""
    acme.agent()
    run = acme.run()
    _finish(acme, run)
    return run  # type: ignore[no-any-return]


def _finish(place: Any, run: Run) -> None:
    usage = {"input_tokens": 12, "output_tokens": 3}
    calls = [{"id": "call_1", "tool": "weather", "args": {"city": "Lisbon"}}]
    said = {"text": "Let me look.", "tool_calls": calls, "usage": usage, "finish_reason": "tool_calls"}
    done = {"call_id": "call_1", "ok": True, "output": "<b>sunny</b>", "duration_ms": 250}
    began = {"tool": "weather", "args": {"city": "Lisbon"}, "effect": "read", "idempotency_key": "k"}
    place.work(run)(
        Record(kind="model.started", step_key="turn:1/model", data={"model": "gpt-5", "digest": "x", "messages": 2}),
        Record(kind="model.completed", step_key="turn:1/model", data={"value": said}),
        Record(kind="tool.started", step_key="turn:1/tool:call_1", data=began),
        Record(kind="run.resumed", data={"attempt": 2}),
        Record(kind="tool.completed", step_key="turn:1/tool:call_1", data={"value": done}),
        Record(kind="run.succeeded", data={"output": "It is sunny.", "parsed": None}),
    )


def _text(page: str, pattern: str) -> list[str]:
    return [" ".join(re.sub(r"<[^>]+>", " ", found).split()) for found in re.findall(pattern, page, re.DOTALL)]


def _post(client: Any, path: str, **data: Any) -> Any:
    return Client.post(client, path, data)


def _run(place: Any, run: Run) -> Run:
    with place.scope():
        return Run.objects.get(pk=run.pk)  # type: ignore[no-any-return]


def test_each_step_is_told_once_with_what_went_in_and_what_came_out(acme: Any, over: Run) -> None:
    page = acme.member("ben").get(f"/runs/{over.pk}").content.decode()

    steps = _text(page, r'<li class="step .*?</li>')
    assert len(steps) == 2
    assert "model gpt-5 done 12 → 3" in steps[0]
    assert "Let me look. Calls weather" in steps[0]
    assert "weather done 250 ms" in steps[1]
    assert "&lt;b&gt;sunny&lt;/b&gt;" in steps[1]
    assert 'id="step:turn:1/tool:call_1"' in page


def test_attempts_stand_between_the_steps(acme: Any, over: Run) -> None:
    page = acme.member("ben").get(f"/runs/{over.pk}").content.decode()

    assert [mark.split()[0] for mark in _text(page, r'<li class="mark .*?</li>')] == ["Started", "Attempt", "Succeeded"]


def test_what_had_begun_when_a_run_ended_is_cut_off(acme: Any) -> None:
    acme.agent()
    run = acme.run()
    work = acme.work(run)
    work(Record(kind="tool.started", step_key="turn:1/tool:call_1", data={"tool": "pay", "args": {}}))
    ben = acme.member("ben")

    assert 'data-state="running"' in ben.get(f"/runs/{run.pk}").content.decode()
    work(Record(kind="run.failed", data={"error": {"type": "X", "message": "no"}}))

    assert 'data-state="cut off"' in ben.get(f"/runs/{run.pk}").content.decode()


@pytest.mark.parametrize("path", ["", "/events?after=0"])
def test_a_page_shows_no_event_that_its_summary_does_not_know_of(acme: Any, over: Run, path: str) -> None:
    with acme.scope():
        Run.objects.update(last_seq=3, status="running")  # as it was read while a worker went on

    page = acme.member("ben").get(f"/runs/{over.pk}{path}").content.decode()

    assert re.findall(r'data-seq="(\d+)" data-kind', page) == ["1", "2", "3"]
    assert "It is sunny" not in page.partition("data-steps")[2]


def test_a_run_that_waits_says_for_what_and_leads_there(acme: Any) -> None:
    acme.agent()
    asked = acme.question(acme.run(), amount=5)

    page = acme.member("ann").get(f"/runs/{asked.run_id}").content.decode()

    assert "Waits for a person" in page
    assert f'href="/approvals/{asked.pk}?next=/runs/{asked.run_id}"' in page
    assert 'data-state="waiting"' in page


def test_a_run_is_cancelled_with_a_reason_from_its_page(acme: Any) -> None:
    acme.agent()
    run = acme.run()
    ann = acme.member("ann")
    assert "Cancel the run" in ann.get(f"/runs/{run.pk}").content.decode()

    answer = _post(ann, f"/runs/{run.pk}/cancel", reason="a mistake")

    assert answer["Location"] == f"/runs/{run.pk}"
    assert _run(acme, run).status == "cancelled"
    page = ann.get(f"/runs/{run.pk}").content.decode()
    assert "a mistake" in page
    assert "Cancel the run" not in page


def test_cancelling_what_is_over_says_so(acme: Any, over: Run) -> None:
    answer = Client.post(acme.member("ann"), f"/runs/{over.pk}/cancel", {}, follow=True)

    assert "there is nothing to cancel" in answer.content.decode()


@pytest.mark.parametrize("do", ["cancel", "retry", "fork"])
def test_who_may_only_look_steers_nothing(acme: Any, over: Run, do: str) -> None:
    ben = acme.member("ben")
    page = ben.get(f"/runs/{over.pk}").content.decode()

    answer = _post(ben, f"/runs/{over.pk}/{do}", from_seq=2)

    assert answer.status_code == 403
    for words in ("Retry", "Fork", "Cancel the run", "New run"):
        assert words not in page
    with acme.scope():
        assert Run.objects.count() == 1


@pytest.mark.parametrize("do", ["cancel", "retry", "fork"])
def test_a_form_of_another_site_steers_nothing(acme: Any, over: Run, do: str) -> None:
    answer = _post(acme.member("ann", enforce_csrf_checks=True), f"/runs/{over.pk}/{do}", from_seq=2)

    assert answer.status_code == 403
    with acme.scope():
        assert Run.objects.count() == 1


@pytest.mark.parametrize("do", ["retry", "fork"])
def test_one_sees_what_would_be_done_again_before_it_is(acme: Any, over: Run, do: str) -> None:
    page = acme.member("ann").get(f"/runs/{over.pk}/{do}?from_seq=4").content.decode()

    assert "1 finished step, not done again" in page
    assert "safe to repeat" in page
    assert "Lisbon" in page
    with acme.scope():
        assert Run.objects.count() == 1


def test_a_retry_goes_on_in_a_new_run_that_names_the_old_one(acme: Any, over: Run) -> None:
    ann = acme.member("ann")

    answer = _post(ann, f"/runs/{over.pk}/retry", from_seq=4)

    with acme.scope():
        again = Run.objects.exclude(pk=over.pk).get()
    assert answer["Location"] == f"/runs/{again.pk}"
    assert (again.parent_id, again.status) == (over.pk, "queued")
    assert f'href="/runs/{over.pk}"' in ann.get(f"/runs/{again.pk}").content.decode()


def test_a_fork_begins_with_the_event_as_it_was_edited(acme: Any, over: Run) -> None:
    ann = acme.member("ann")
    shown = ann.get(f"/runs/{over.pk}/fork?from_seq=4").content.decode()
    assert "&lt;b&gt;sunny&lt;/b&gt;</textarea>" in shown

    _post(ann, f"/runs/{over.pk}/fork", from_seq=4, agent_version=1, edit="rain")

    with acme.scope():
        other = Run.objects.exclude(pk=over.pk).get()
    events = acme.client().get(f"/api/v1/runs/{other.pk}/events").json()["items"]
    assert events[-1]["data"]["value"]["output"] == "rain"
    assert events[0]["data"]["from"]["how"] == "fork"


def test_a_fork_of_the_beginning_may_have_another_input(acme: Any, over: Run) -> None:
    _post(acme.member("ann"), f"/runs/{over.pk}/fork", from_seq=1, agent_version=1, edit="something else")

    with acme.scope():
        assert Run.objects.exclude(pk=over.pk).get().input == "something else"


@pytest.mark.parametrize(
    ("seq", "version", "edit", "says"),
    [
        (2, 1, '{"text": ', "no JSON"),
        (2, 1, '{"tekst": "x"}', "tekst"),
        (4, 7, "rain", "Select a valid choice"),
    ],
)
def test_a_fork_that_cannot_be_is_said_on_the_form(
    acme: Any, over: Run, seq: int, version: int, edit: str, says: str
) -> None:
    answer = _post(acme.member("ann"), f"/runs/{over.pk}/fork", from_seq=seq, agent_version=version, edit=edit)

    assert answer.status_code == 422
    assert says in answer.content.decode()
    with acme.scope():
        assert Run.objects.count() == 1


@pytest.mark.parametrize(("path", "status"), [("retry?from_seq=99", 302), ("fork?from_seq=99", 302), ("fork", 404)])
def test_a_number_that_is_no_events_leads_back(acme: Any, over: Run, path: str, status: int) -> None:
    assert acme.member("ann").get(f"/runs/{over.pk}/{path}").status_code == status


@pytest.mark.parametrize("path", ["", "/events?after=2"])
def test_the_page_takes_the_same_number_of_statements_however_much_happened(
    acme: Any, over: Run, statements: Any, path: str
) -> None:
    ann = acme.member("ann")
    long = acme.run()
    work = acme.work(long)
    for number in range(40):
        work(Record(kind="architecture.step.completed", step_key=f"step:n{number}", data={"value": number}))
    work(Record(kind="run.succeeded", data={"output": "x", "parsed": None}))

    def look(run: Run) -> int:
        return len(statements(lambda: ann.get(f"/runs/{run.pk}{path}")))

    look(over)
    assert look(over) == look(long)
