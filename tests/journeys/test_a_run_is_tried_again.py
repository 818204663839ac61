"""A run that failed is tried again, and one that succeeded is tried otherwise, on a real worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents import services
from agents.models import Agent
from tests.journeys.conftest import Caller, Fleet, offer


@pytest.fixture
def ann(fleet: Fleet, acme: Any, committed_db: None) -> Caller:
    for name in ("trip", "forecaster"):
        offer(acme, name, {"program": name})
    fleet.worker()
    return Caller(fleet.web(), acme.token)


def _end(ann: Caller, run_id: str) -> dict[str, Any]:
    assert ann.socket(run_id)[-1]["kind"].startswith("run.")
    return ann.run(run_id)


def _post(ann: Caller, path: str, body: dict[str, Any]) -> str:
    with ann.http as http:
        response = http.post(f"/api/v1/runs/{path}", json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def test_a_retry_repeats_no_finished_step_and_calls_under_the_same_key(ann: Caller, tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    failed = _end(ann, ann.start("trip", {"folder": str(tmp_path)}))
    assert (failed["status"], failed["error"]["message"]) == ("failed", "book: the airline is closed")

    still_broken = _end(ann, _post(ann, f"{failed['id']}/retry", {}))
    (tmp_path / "broken").unlink()
    done = _end(ann, _post(ann, f"{still_broken['id']}/retry", {}))

    assert (still_broken["status"], done["status"], done["output"]) == ("failed", "succeeded", "booked")
    assert (done["parent_run_id"], still_broken["parent_run_id"]) == (still_broken["id"], failed["id"])
    first, second, *calls = (tmp_path / "steps").read_text().split()
    assert (first, second) == ("first", "second")
    assert len(calls) == 3
    assert len(set(calls)) == 1
    assert failed["id"] in calls[0]
    journal = ann.journal(done["id"])
    assert [event["seq"] for event in journal] == list(range(1, done["last_seq"] + 1))
    assert ann.run(failed["id"]) == failed


def test_a_fork_with_another_result_of_a_tool_comes_to_another_answer(ann: Caller) -> None:
    source = _end(ann, ann.start("forecaster", "How is it?", session_id="lisbon"))
    [at] = [event["seq"] for event in ann.journal(source["id"]) if event["kind"] == "tool.completed"]

    fork = _end(ann, _post(ann, f"{source['id']}/fork", {"at_seq": at, "edit": {"tool_result": "storms in Lisbon"}}))

    assert source["output"] == "The report says: sunny in Lisbon"
    assert (fork["status"], fork["output"]) == ("succeeded", "The report says: storms in Lisbon"), fork["error"]
    assert source["usage"]["input_tokens"] == 2 * fork["usage"]["input_tokens"] == 240
    assert ann.run(source["id"]) == source


def test_a_fork_with_another_answer_of_the_model_calls_what_it_asks_for(ann: Caller) -> None:
    source = _end(ann, ann.start("forecaster", "How is it?"))
    [at, _] = [event["seq"] for event in ann.journal(source["id"]) if event["kind"] == "model.completed"]
    calls = [{"tool": "weather", "args": {"city": "Oslo"}}]

    other_city = _end(
        ann, _post(ann, f"{source['id']}/fork", {"at_seq": at, "edit": {"message": {"tool_calls": calls}}})
    )
    no_call = _end(ann, _post(ann, f"{source['id']}/fork", {"at_seq": at, "edit": {"message": "I do not know."}}))

    assert other_city["output"] == "The report says: sunny in Oslo"
    assert (no_call["output"], no_call["usage"]["input_tokens"]) == ("I do not know.", 0)


def test_a_fork_on_another_version_goes_on_with_what_the_first_has_done(ann: Caller, acme: Any) -> None:
    source = _end(ann, ann.start("forecaster", "How is it?"))
    after_the_call = max(event["seq"] for event in ann.journal(source["id"]) if event["kind"] == "model.started")
    with acme.scope():
        agent = Agent.objects.of(acme.tenant).named("forecaster")
        services.add_version(tenant=acme.tenant, agent=agent, spec={"program": "loud-forecaster"}, by="test")

    fork = _end(ann, _post(ann, f"{source['id']}/fork", {"at_seq": after_the_call, "agent_version": 2}))

    assert (fork["agent_version"], fork["output"]) == (2, "THE REPORT SAYS: SUNNY IN LISBON"), fork["error"]
    assert [event["kind"] for event in ann.journal(fork["id"])].count("tool.completed") == 1


def test_a_call_that_cannot_be_undone_and_failed_is_put_before_a_person(
    ann: Caller, acme: Any, tmp_path: Path, wait_for: Callable[..., None]
) -> None:
    offer(acme, "launch", {"program": "launch"})
    (tmp_path / "broken").touch()
    failed = _end(ann, ann.start("launch", {"folder": str(tmp_path)}))
    (tmp_path / "broken").unlink()

    again = _post(ann, f"{failed['id']}/retry", {})
    wait_for(lambda: ann.run(again)["status"] == "waiting")
    [approval_id] = ann.run(again)["waiting_for"]
    with ann.http as http:
        approval = http.get(f"/api/v1/approvals/{approval_id}").json()
        said = {"decision": "approve", "args_hash": approval["args_hash"]}
        http.post(f"/api/v1/approvals/{approval_id}/decide", json=said).raise_for_status()

    assert (approval["kind"], approval["run_id"], approval["tool"]) == ("reconcile", again, "ignite")
    assert _end(ann, again)["output"] == "ignited"
    assert (tmp_path / "steps").read_text().split() == ["ignite", "ignite"]
