"""The demo job as a client, against an API that answers from a script."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from loom.errors import Denied
from loomsite.demo import run_demo

APPROVAL = {"id": "a1", "tool": "file_ticket", "args": {"queue": "billing"}, "args_hash": "h1"}


class Api:
    """One run: its events in one or more streams, and what it asks."""

    def __init__(self, *streams: list[dict[str, Any]], status: str = "succeeded") -> None:
        self.streams, self.status = list(streams), status
        self.decisions: list[dict[str, Any]] = []
        self.resumed_after: list[str] = []
        self.client = httpx2.Client(base_url="http://loom", transport=httpx2.MockTransport(self.answer))

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        match request.method, request.url.path:
            case "POST", "/api/v1/runs":
                assert json.loads(request.content) == {"agent": "intake", "input": {"mail": "Hello"}}
                return httpx2.Response(202, json={"id": "r1"})
            case "GET", "/api/v1/runs/r1/events":
                self.resumed_after.append(request.headers["Last-Event-ID"])
                return _stream(self.streams.pop(0))
            case "GET", "/api/v1/runs/r1":
                error = None if self.status == "succeeded" else {"message": "no model"}
                run = {"id": "r1", "status": self.status, "output": "Ticket 7", "error": error, "waiting_for": ["a1"]}
                return httpx2.Response(200, json=run)
            case "GET", "/api/v1/approvals/a1":
                return httpx2.Response(200, json=APPROVAL)
            case "POST", "/api/v1/approvals/a1/decide":
                self.decisions.append(json.loads(request.content))
                return httpx2.Response(200, json=APPROVAL)
        return httpx2.Response(404, text="no such path")


def _stream(events: list[dict[str, Any]]) -> httpx2.Response:
    frames = [f"id: {event['seq']}\nevent: {event['kind']}\ndata: {json.dumps(event)}\n\n" for event in events]
    text = ": heartbeat\n\n" + "".join(frames)
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, text=text)


def event(seq: int, kind: str, **data: Any) -> dict[str, Any]:
    return {"seq": seq, "kind": kind, "at": "2026-01-01T00:00:00Z", "step_key": "", "data": data}


def test_every_event_is_told_and_then_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    api = Api(
        [event(1, "run.started"), event(2, "tool.completed", value={"output": "filed"}), event(3, "run.succeeded")]
    )

    succeeded = run_demo(api.client, "Hello")

    said = capsys.readouterr().out
    assert succeeded
    assert [word in said for word in ("run.started", "tool.completed", "filed", "succeeded: Ticket 7")] == [True] * 4


def test_a_gated_call_is_approved_exactly_as_shown() -> None:
    api = Api([event(1, "approval.requested", approval_id="a1"), event(2, "run.waiting"), event(3, "run.succeeded")])

    run_demo(api.client, "Hello")

    assert [(said["decision"], said["args_hash"]) for said in api.decisions] == [("approve", "h1")]


def test_a_stream_that_ends_early_is_taken_up_after_the_last_event() -> None:
    api = Api([event(1, "run.started")], [event(2, "run.succeeded")])

    assert run_demo(api.client, "Hello")
    assert api.resumed_after == ["0", "1"]


def test_a_failed_run_is_a_failed_demo(capsys: pytest.CaptureFixture[str]) -> None:
    api = Api([event(1, "run.failed")], status="failed")

    assert not run_demo(api.client, "Hello")
    assert 'failed: {"message": "no model"}' in capsys.readouterr().out


def test_pieces_of_text_are_not_told_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    api = Api([event(0, "model.delta", text="He"), event(1, "run.succeeded")])

    run_demo(api.client, "Hello")

    assert "model.delta" not in capsys.readouterr().out


def test_a_refusal_of_the_api_is_shown_as_it_is() -> None:
    api = Api()
    refusing = httpx2.MockTransport(lambda request: httpx2.Response(401, json={"detail": "no such key"}))
    api.client = httpx2.Client(base_url="http://loom", transport=refusing)

    with pytest.raises(Denied, match="no such key"):
        run_demo(api.client, "Hello")
