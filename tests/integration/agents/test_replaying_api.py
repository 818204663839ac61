"""Retrying and forking over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from agents.models import Run
from loom.events import Kind, Record
from loom.messages import ToolResult

pytestmark = pytest.mark.django_db

CALL = "turn:1/tool:call_1"
BEGUN = {"tool": "pay", "args": {"amount": 5}, "effect": "keyed", "idempotency_key": f"r:{CALL}"}
RESULT = ToolResult(call_id="c1", ok=True, output="paid").model_dump(mode="json")
ERROR = {"type": "DeadLetter", "code": "dead_letter", "message": "5 workers died"}
RECORDS = (
    Record(kind=Kind.TOOL_STARTED, step_key=CALL, data=BEGUN),
    Record(kind=Kind.TOOL_COMPLETED, step_key=CALL, data={"value": RESULT}),
    Record(kind=Kind.RUN_FAILED, data={"error": ERROR}),
)


@pytest.fixture
def dead(acme: Any) -> Run:
    """A dead letter: its workers died after a call."""
    acme.agent()
    run: Run = acme.run()
    acme.work(run)(*RECORDS)
    return run


def _kinds(client: Any, run_id: str) -> list[str]:
    return [event["kind"] for event in client.get(f"/api/v1/runs/{run_id}/events").json()["items"]]


@pytest.mark.parametrize("body", [None, {}, {"from_seq": None}])
def test_a_dead_letter_is_retried(acme: Any, dead: Run, body: Any) -> None:
    answer = acme.client().post(f"/api/v1/runs/{dead.pk}/retry", body)

    assert answer.status_code == 202, answer.content
    run = answer.json()
    assert (run["parent_run_id"], run["status"], run["agent"]) == (str(dead.pk), "queued", "assistant")
    assert run["usage"] == {"input_tokens": 0, "output_tokens": 0, "cached_input_tokens": 0, "cost_usd": 0}
    assert _kinds(acme.client(), run["id"]) == ["run.started", "tool.started", "tool.completed"]


def test_a_run_is_forked_with_an_edit(acme: Any, dead: Run) -> None:
    body = {"at_seq": 3, "edit": {"tool_result": None}, "agent_version": 1}

    answer = acme.client().post(f"/api/v1/runs/{dead.pk}/fork", body)

    assert answer.status_code == 202, answer.content
    events = acme.client().get(f"/api/v1/runs/{answer.json()['id']}/events").json()["items"]
    assert (events[2]["kind"], events[2]["data"]["value"]["output"]) == ("tool.completed", None)


def test_a_repeated_request_makes_one_run(acme: Any, dead: Run) -> None:
    for path, body in (("retry", {}), ("fork", {"at_seq": 2})):
        answers = [
            acme.client().post(f"/api/v1/runs/{dead.pk}/{path}", body, headers={"Idempotency-Key": "k"}) for _ in "ab"
        ]
        assert answers[0].json()["id"] == answers[1].json()["id"]
        assert answers[1]["Idempotent-Replayed"] == "true"
    with acme.scope():
        assert Run.objects.filter(parent=dead).count() == 2


@pytest.mark.parametrize(
    ("path", "body", "status", "pointer"),
    [
        ("retry", {"from_seq": 99}, 422, "/from_seq"),
        ("retry", {"from_seq": 0}, 422, "/from_seq"),
        ("retry", {"from_seq": "x"}, 422, "/from_seq"),
        ("retry", {"from_seq": 2**40}, 422, "/from_seq"),
        ("retry", {"at_seq": 2}, 422, "/at_seq"),
        ("fork", {}, 422, "/at_seq"),
        ("fork", {"at_seq": 99}, 422, "/at_seq"),
        ("fork", {"at_seq": 2, "edit": {"tool_result": "x"}}, 422, "/at_seq"),
        ("fork", {"at_seq": 3, "edit": {"message": "x"}}, 422, "/at_seq"),
        ("fork", {"at_seq": 1, "edit": {"input": 5}}, 422, "/edit/input"),
        ("fork", {"at_seq": 1, "edit": {"input": "x" * 1024 * 1024}}, 422, "/edit/input"),
        ("fork", {"at_seq": 1, "edit": {"output": "x"}}, 422, "/edit/output"),
        ("fork", {"at_seq": 1, "edit": {}}, 422, "/edit"),
        ("fork", {"at_seq": 1, "edit": {"input": "x", "message": "y"}}, 422, "/edit"),
        ("fork", {"at_seq": 2, "agent_version": "latest"}, 422, "/agent_version"),
        ("fork", {"at_seq": 2, "agent_version": 9}, 404, None),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_pointed_at(
    acme: Any, dead: Run, path: str, body: Any, status: int, pointer: str | None
) -> None:
    answer = acme.client().post(f"/api/v1/runs/{dead.pk}/{path}", body)

    assert answer.status_code == status, answer.content
    assert pointer is None or pointer in [error["pointer"] for error in answer.json()["errors"]]
    with acme.scope():
        assert Run.objects.count() == 1


def test_a_run_under_way_is_a_conflict(acme: Any) -> None:
    acme.agent()
    run = acme.run()

    answers = [
        acme.client().post(f"/api/v1/runs/{run.pk}/retry"),
        acme.client().post(f"/api/v1/runs/{run.pk}/fork", {"at_seq": 1}),
        acme.client().get(f"/api/v1/runs/{run.pk}/replay?from_seq=1"),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "conflict")] * 3
    assert f"run {run.pk} is queued" in answers[0].json()["detail"]


def test_a_preview_tells_before_anything_is_done(acme: Any, dead: Run) -> None:
    answer = acme.client().get(f"/api/v1/runs/{dead.pk}/replay?from_seq=2")

    step = {"seq": 2, "kind": "tool.started", "step_key": CALL, "tool": "pay"}
    effect = {"args": '{"amount": 5}', "effect": "keyed", "may_happen_twice": True, "asks_first": False}
    told = {key: step[key] for key in ("seq", "step_key", "tool")}
    assert answer.json() == {"from_seq": 2, "kept": 0, "again": [step], "effects": [{**told, **effect}]}
    assert acme.client().get(f"/api/v1/runs/{dead.pk}/replay").json()["kept"] == 1
    unknown = acme.client().get(f"/api/v1/runs/{dead.pk}/replay?from_seq=99")
    assert (unknown.status_code, unknown.json()["errors"][0]["pointer"]) == (422, "/query/from_seq")
    with acme.scope():
        assert Run.objects.count() == 1


def test_a_key_that_only_reads_may_look_and_not_retry(acme: Any, dead: Run) -> None:
    client = acme.client(acme.key("read")[1])

    assert client.get(f"/api/v1/runs/{dead.pk}/replay").status_code == 200
    assert client.post(f"/api/v1/runs/{dead.pk}/retry").status_code == 403
    assert client.post(f"/api/v1/runs/{dead.pk}/fork", {"at_seq": 1}).status_code == 403
