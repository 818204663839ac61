"""The command-line client, against an API that answers from a script."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from loomsite.cli import main

ROOT = Path(__file__).parents[3]
KEY = "loom_0a1b2c3d_secret"
R1 = "01a2096c-0000-7000-8000-000000000001"
K1 = "01a2096c-0000-7000-8000-000000000002"
RUN: dict[str, Any] = {
    "id": R1, "status": "succeeded", "agent": "assistant", "agent_version": 2, "user_id": None, "session_id": "s1",
    "input": "Hi", "output": "Bonjour", "parsed": None, "error": None, "turns": 1, "attempt": 1, "last_seq": 3,
    "usage": {"input_tokens": 12, "output_tokens": 3, "cached_input_tokens": 0, "cost_usd": 0.5},
    "created_at": "2026-01-01T00:00:00Z", "started_at": None, "finished_at": None, "trace_id": "", "waiting_for": [],
    "parent_run_id": None,
}  # fmt: skip
AGENT = {
    "slug": "clerk", "name": "Clerk", "description": "", "created_at": "2026-01-01T00:00:00Z",
    "labels": {"production": 2},
}  # fmt: skip
VERSION = {
    "number": 3, "hash": "h", "spec": {"instructions": "Be kind."}, "created_at": "2026-01-01T00:00:00Z",
    "created_by": "key:0a", "labels": ["staging"],
}  # fmt: skip
MY_KEY = {
    "id": K1, "name": "mine", "prefix": "0a1b2c3d", "scopes": ["read", "run"], "created_at": "2026-01-01T00:00:00Z",
    "expires_at": None, "revoked_at": None, "last_used_at": None,
}  # fmt: skip


A1 = "01a2096c-0000-7000-8000-000000000003"
APPROVAL: dict[str, Any] = {
    "id": A1, "run_id": R1, "step_key": "turn:1/tool:call_1", "kind": "call", "agent": "clerk@2", "user_id": None,
    "requested_by": "key:0a", "tool": "pay", "args": {"amount": 5}, "args_hash": "abc", "schema": {}, "risk": "high",
    "reason": "pay: approval required", "policy": "default", "approvers": ["owner"], "needed": 1, "four_eyes": True,
    "requested_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-08T00:00:00Z", "escalated_at": None,
    "status": "pending", "decided_at": None, "decisions": [],
}  # fmt: skip
PREVIEW = {
    "from_seq": 4, "kept": 2,
    "again": [{"seq": 4, "kind": "tool.started", "step_key": "turn:1/tool:call_1", "tool": "pay"}],
    "effects": [
        {"seq": 4, "step_key": "turn:1/tool:call_1", "tool": "pay", "args": '{"amount": 5}', "effect": "keyed",
         "may_happen_twice": True, "asks_first": False},
    ],
}  # fmt: skip


def event(seq: int | None, kind: str, step: str = "", **data: Any) -> dict[str, Any]:
    return {"seq": seq, "kind": kind, "at": "2026-01-01T00:00:00Z", "step_key": step, "data": data}


def page(*rows: dict[str, Any], cursor: str | None = None) -> dict[str, Any]:
    return {"items": list(rows), "next_cursor": cursor}


def stream(*events: dict[str, Any]) -> str:
    return "retry: 2000\n\n: still here\n\n" + "".join(f"data: {json.dumps(one)}\n\n" for one in events)


class Api:
    """Answers in the order in which they were scripted, for each method and path; the last one stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.asked: list[tuple[str, dict[str, list[str]], dict[str, str], Any]] = []
        self.date = formatdate(usegmt=True)
        self.held = Event()

    def says(self, request: str, *answers: Any, status: int = 200) -> None:
        self.answers.setdefault(request, []).extend((status, answer) for answer in answers)

    def refuses(self, request: str, status: int, detail: str) -> None:
        self.says(request, {"detail": detail, "status": status}, status=status)

    def answer(self, request: str) -> tuple[int, Any]:
        script = self.answers.get(request, [(404, {"detail": f"no {request}"})])
        return script.pop(0) if len(script) > 1 else script[0]

    def bodies(self, request: str) -> list[Any]:
        return [body for asked, _, _, body in self.asked if asked == request]

    def queries(self, request: str) -> list[dict[str, list[str]]]:
        return [query for asked, query, _, _ in self.asked if asked == request]

    def headers(self, request: str) -> list[dict[str, str]]:
        return [headers for asked, _, headers, _ in self.asked if asked == request]


class Handler(BaseHTTPRequestHandler):
    api: Api

    def _answer(self) -> None:
        url = urlsplit(self.path)
        request = f"{self.command} {url.path.removeprefix('/api/v1')}"
        text = self.rfile.read(int(self.headers["Content-Length"] or 0))
        body = json.loads(text) if text else None
        self.api.asked.append((request, parse_qs(url.query), dict(self.headers.items()), body))
        status, answer = self.api.answer(request)
        self.send_response_only(status)
        self.send_header("Date", self.api.date)
        is_stream = isinstance(answer, str) and answer.startswith("retry")
        self.send_header("Content-Type", "text/event-stream" if is_stream else "application/json")
        self.end_headers()
        if answer is not None:
            self.wfile.write(answer.encode() if isinstance(answer, str) else json.dumps(answer).encode())
        if is_stream and "run." not in str(answer):
            self.wfile.flush()
            self.api.held.wait(30)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    api = Api()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneApi", (Handler,), {"api": api}))
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("LOOM_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("LOOM_API_KEY", KEY)
    yield api
    api.held.set()
    server.shutdown()
    thread.join()
    server.server_close()


Said = pytest.CaptureFixture[str]


# --- runs


def test_a_run_is_started_and_its_number_told(api: Api, capsys: Said) -> None:
    api.says("POST /runs", {**RUN, "status": "queued"}, status=202)

    code = main(["run", "assistant", "Hi", "--user", "u1", "--session", "s1"])

    assert code == 0
    assert capsys.readouterr().out.startswith(f"{R1} queued: watch it with `loom runs events {R1} --follow`")
    assert api.bodies("POST /runs") == [{"agent": "assistant", "input": "Hi", "user_id": "u1", "session_id": "s1"}]
    assert api.headers("POST /runs")[0]["Authorization"] == f"Bearer {KEY}"


def test_a_followed_run_shows_its_events_its_text_as_it_is_said_and_then_the_answer(api: Api, capsys: Said) -> None:
    api.says("POST /runs", RUN, status=202)
    deltas = [event(None, "model.delta", "m", text=text, offset=at) for at, text in ((0, "Bon"), (3, "jo"))]
    completed = event(2, "model.completed", "m", value={"text": "Bonjour"})
    api.says(f"GET /runs/{R1}/events", stream(event(1, "run.started"), *deltas, completed, event(3, "run.succeeded")))
    api.says(f"GET /runs/{R1}", RUN)

    assert main(["run", "assistant", "Hi", "--follow"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert "run.started" in lines[0]
    assert lines[1] == "Bonjour"
    assert "model.completed" in lines[2]
    assert "run.succeeded" in lines[3]
    assert lines[4:] == ["", "Bonjour"]


def test_a_followed_run_that_fails_fails_the_command_with_its_reason(api: Api, capsys: Said) -> None:
    api.says("POST /runs", RUN, status=202)
    api.says(f"GET /runs/{R1}/events", stream(event(1, "run.failed")))
    api.says(f"GET /runs/{R1}", {**RUN, "status": "failed", "output": None, "error": {"message": "no model answered"}})

    assert main(["run", "assistant", "Hi", "--follow"]) == 1
    assert capsys.readouterr().err.endswith(f"loom: run {R1} failed: no model answered\n")


def test_a_broken_stream_is_taken_up_after_the_last_event(api: Api, capsys: Said) -> None:
    api.says(f"GET /runs/{R1}", RUN)
    api.says(f"GET /runs/{R1}/events", stream(event(7, "run.started")))
    api.refuses(f"GET /runs/{R1}/events", 503, "the database cannot be reached; try again")
    api.says(f"GET /runs/{R1}/events", stream(event(8, "run.succeeded")))

    assert main(["runs", "events", R1, "--follow", "--after", "5"]) == 0

    resumed = [headers["Last-Event-ID"] for headers in api.headers(f"GET /runs/{R1}/events")]
    assert resumed == ["5", "7", "7"]
    said = capsys.readouterr()
    assert [said.out.count(kind) for kind in ("run.started", "run.succeeded")] == [1, 1]
    assert "the database cannot be reached" in said.err


def test_following_a_run_that_is_over_ends_at_once(api: Api) -> None:
    api.says(f"GET /runs/{R1}", RUN)
    api.says(f"GET /runs/{R1}/events", None, status=204)

    assert main(["runs", "events", R1, "--follow", "--after", "9"]) == 0


def test_a_followed_run_as_json_is_a_document_a_line_and_the_run_last(api: Api, capsys: Said) -> None:
    api.says("POST /runs", RUN, status=202)
    api.says(f"GET /runs/{R1}/events", stream(event(1, "run.started"), event(2, "run.succeeded")))
    api.says(f"GET /runs/{R1}", RUN)

    assert main(["run", "assistant", "Hi", "--follow", "--json"]) == 0

    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [document.get("kind") for document in documents] == ["run.started", "run.succeeded", None]
    assert documents[-1] == RUN


def test_the_input_comes_from_stdin_and_may_be_json(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.says("POST /runs", RUN, status=202)
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"mail": "Hello"}'))

    assert main(["run", "intake", "-", "--json-input"]) == 0
    assert api.bodies("POST /runs")[0]["input"] == {"mail": "Hello"}


def test_input_that_is_no_json_is_refused_before_anything_is_sent(api: Api, capsys: Said) -> None:
    assert main(["run", "intake", "{mail", "--json-input"]) == 1
    assert capsys.readouterr().err.startswith("loom: the input is not JSON: ")
    assert api.asked == []


def test_runs_are_listed_as_a_table_across_pages(api: Api, capsys: Said) -> None:
    api.says("GET /runs", page(RUN, cursor="c1"), page({**RUN, "id": "r2", "input": {"mail": "a\nb"}}))

    code = main(["runs", "list", "--status", "failed", "--status", "waiting", "--agent", "a", "--limit", "201"])

    head, *rows = capsys.readouterr().out.splitlines()
    assert code == 0
    assert head.split() == ["ID", "STATUS", "AGENT", "USER", "CREATED", "INPUT"]
    assert [row.split()[:3] for row in rows] == [[R1, "succeeded", "assistant@2"], ["r2", "succeeded", "assistant@2"]]
    first, second = api.queries("GET /runs")
    assert first == {"status": ["failed", "waiting"], "agent": ["a"], "limit": ["200"]}
    assert second == {**first, "limit": ["1"], "cursor": ["c1"]}


def test_every_event_is_listed_however_many_there_are(api: Api, capsys: Said) -> None:
    events = [event(seq, "tool.completed") for seq in range(1, 1002)]
    api.says(f"GET /runs/{R1}/events", page(*events[:1000]), page(*events[1000:]))

    assert main(["runs", "events", R1]) == 0

    assert len(capsys.readouterr().out.splitlines()) == 1001
    assert [query["after"] for query in api.queries(f"GET /runs/{R1}/events")] == [["0"], ["1000"]]


def test_what_a_model_says_does_not_steer_the_terminal(api: Api, capsys: Said) -> None:
    api.says(f"GET /runs/{R1}", {**RUN, "output": "Bon\x1b]0;mine\x07jour\r\nSalut"})

    assert main(["runs", "show", R1]) == 0

    said = capsys.readouterr().out
    assert "Bon]0;mine" in said
    assert not {"\x1b", "\x07", "\r"} & set(said)


def test_texts_that_are_said_at_once_have_lines_of_their_own_and_begin_anew_when_they_must(
    api: Api, capsys: Said
) -> None:
    api.says(f"GET /runs/{R1}", RUN)
    pieces = [("a", 0, "one"), ("b", 0, "uno"), ("b", 3, " dos"), ("b", 0, "ein"), ("b", 3, "s")]
    deltas = [event(None, "model.delta", step, text=text, offset=offset) for step, offset, text in pieces]
    api.says(f"GET /runs/{R1}/events", stream(*deltas, event(2, "run.succeeded")))

    assert main(["runs", "events", R1, "--follow"]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == ["one", "uno dos", "eins"]


# --- agents


def write(folder: Path, text: str) -> str:
    file = folder / "clerk.toml"
    file.write_text(text)
    return str(file)


def test_a_file_becomes_an_agent_of_its_name(api: Api, tmp_path: Path, capsys: Said) -> None:
    api.says("POST /agents", {**AGENT, "labels": {"production": 1}}, status=201)

    assert main(["agents", "push", write(tmp_path, 'instructions = "Be kind."\ntools = ["weather"]')]) == 0

    assert api.bodies("POST /agents") == [
        {"slug": "clerk", "spec": {"instructions": "Be kind.", "tools": ["weather"]}},
    ]
    assert capsys.readouterr().out == "clerk@1: labeled production\n"


def test_a_file_of_an_agent_that_is_there_becomes_a_version_and_is_promoted(
    api: Api, tmp_path: Path, capsys: Said
) -> None:
    api.says("GET /agents/front-desk", AGENT)
    api.says("POST /agents/front-desk/versions", VERSION, status=201)
    api.says("POST /agents/front-desk/promote", {**AGENT, "labels": {"production": 2, "staging": 3}})
    file = write(tmp_path, 'instructions = "Be kind."')

    assert main(["agents", "push", file, "--slug", "front-desk", "--promote", "staging"]) == 0

    assert api.bodies("POST /agents/front-desk/promote") == [{"version": 3, "label": "staging"}]
    assert capsys.readouterr().out == "front-desk@3: labeled staging\n"


def test_a_version_that_nobody_uses_yet_says_how_to_use_it(api: Api, tmp_path: Path, capsys: Said) -> None:
    api.says("GET /agents/clerk", AGENT)
    api.says("POST /agents/clerk/versions", VERSION, status=201)

    assert main(["agents", "push", write(tmp_path, 'instructions = "Be kind."')]) == 0
    assert capsys.readouterr().out == "clerk@3: put it to use with `loom agents promote clerk 3`\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('instrctions = "Be kind."', "did you mean 'instructions'?"),
        ("instructions = ", "clerk.toml: "),
        ('instructions = "x"\nname = "Front Desk"', "'Front Desk' is no slug"),
    ],
)
def test_a_file_that_makes_no_agent_is_refused_before_anything_is_sent(
    text: str, sentence: str, api: Api, tmp_path: Path, capsys: Said
) -> None:
    assert main(["agents", "push", write(tmp_path, text)]) == 1
    assert sentence in capsys.readouterr().err
    assert api.asked == []


def test_an_agent_is_shown_with_its_versions(api: Api, capsys: Said) -> None:
    api.says("GET /agents/clerk", AGENT)
    api.says("GET /agents/clerk/versions", page(VERSION))

    assert main(["agents", "show", "clerk"]) == 0

    said = capsys.readouterr().out
    assert [words in said for words in ("production @2", "VERSION", "staging", "Be kind.")] == [True] * 4


# --- keys


def test_a_new_key_is_all_that_is_on_stdout(api: Api, capsys: Said) -> None:
    api.says("POST /keys", {**MY_KEY, "token": KEY}, status=201)

    assert main(["keys", "create", "website", "--scope", "run", "--scope", "read"]) == 0

    assert capsys.readouterr().out == f"{KEY}\n"
    assert api.bodies("POST /keys") == [{"name": "website", "scopes": ["run", "read"]}]


def test_a_key_is_revoked(api: Api, capsys: Said) -> None:
    api.says(f"DELETE /keys/{K1}", None, status=204)

    assert main(["--json", "keys", "revoke", K1]) == 0
    assert json.loads(capsys.readouterr().out) == {"id": K1, "revoked": True}


@pytest.mark.parametrize(
    ("words", "request_", "answer"),
    [
        (["runs", "list"], "GET /runs", page(RUN)),
        (["agents", "list"], "GET /agents", page(AGENT)),
        (["keys", "list"], "GET /keys", page(MY_KEY)),
        (["runs", "events", R1], f"GET /runs/{R1}/events", page(event(1, "run.started"))),
    ],
)
def test_lists_as_json_are_what_the_api_said(
    words: list[str], request_: str, answer: Any, api: Api, capsys: Said
) -> None:
    api.says(request_, answer)

    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == answer["items"]


# --- steering


def _answers(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_run_is_cancelled(api: Api, capsys: Said) -> None:
    api.says(f"POST /runs/{R1}/cancel", {**RUN, "status": "cancelling"}, status=202)

    assert main(["runs", "cancel", R1, "--reason", "wrong customer", "--compensate"]) == 0

    assert capsys.readouterr().out == f"run {R1} is cancelling\n"
    assert api.bodies(f"POST /runs/{R1}/cancel") == [{"reason": "wrong customer", "compensate": True}]


def test_a_retry_shows_what_may_happen_twice_and_asks(api: Api, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    api.says(f"GET /runs/{R1}/replay", PREVIEW)
    api.says(f"POST /runs/{R1}/retry", {**RUN, "status": "queued"}, status=202)

    _answers(monkeypatch, "n\n")
    assert main(["runs", "retry", R1, "--from", "4"]) == 1
    refused = capsys.readouterr()
    assert api.bodies(f"POST /runs/{R1}/retry") == []
    _answers(monkeypatch, "y\n")
    assert main(["runs", "retry", R1, "--from", "4"]) == 0

    assert (refused.out, refused.err.splitlines()[-1]) == ("", "retry? [y/N] nothing was done")
    for words in ("2 finished steps are kept", "turn:1/tool:call_1", '{"amount": 5}', "may happen twice"):
        assert words in refused.err
    assert capsys.readouterr().out.startswith(f"{R1} queued: watch it")
    assert api.bodies(f"POST /runs/{R1}/retry") == [{"from_seq": 4}]
    assert api.queries(f"GET /runs/{R1}/replay") == [{"from_seq": ["4"]}] * 2


def test_where_nobody_answers_nothing_is_done(api: Api, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    api.says(f"GET /runs/{R1}/replay", PREVIEW)
    _answers(monkeypatch, "")

    assert main(["runs", "retry", R1]) == 1
    assert "nobody has answered: retry with --yes where nobody can" in capsys.readouterr().err
    assert api.bodies(f"POST /runs/{R1}/retry") == []


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["--at", "3"], {"at_seq": 3}),
        (["--at", "1", "--input", "Hello"], {"at_seq": 1, "edit": {"input": "Hello"}}),
        (["--at", "1", "--input", '{"mail": "x"}'], {"at_seq": 1, "edit": {"input": {"mail": "x"}}}),
        (["--at", "1", "--input", "5"], {"at_seq": 1, "edit": {"input": "5"}}),
        (["--at", "5", "--tool-result", "5"], {"at_seq": 5, "edit": {"tool_result": 5}}),
        (["--at", "5", "--tool-result", "it rains"], {"at_seq": 5, "edit": {"tool_result": "it rains"}}),
        (["--at", "3", "--message", "No."], {"at_seq": 3, "edit": {"message": "No."}}),
        (["--at", "3", "--message", '{"text": "No."}'], {"at_seq": 3, "edit": {"message": {"text": "No."}}}),
        (["--at", "3", "--agent-version", "4"], {"at_seq": 3, "agent_version": 4}),
    ],
)
def test_a_fork_says_what_is_changed(words: list[str], body: Any, api: Api, capsys: Said) -> None:
    api.says(f"POST /runs/{R1}/fork", RUN, status=202)

    assert main(["runs", "fork", R1, *words, "--yes", "--json"]) == 0

    assert api.bodies(f"POST /runs/{R1}/fork") == [body]
    assert json.loads(capsys.readouterr().out) == RUN


def test_a_fork_that_changes_an_event_shows_what_comes_after_it(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    api.says(f"GET /runs/{R1}/replay", {"from_seq": 6, "kept": 3, "again": [], "effects": []})
    _answers(monkeypatch, "\n")

    assert main(["runs", "fork", R1, "--at", "5", "--tool-result", "x"]) == 1
    assert api.queries(f"GET /runs/{R1}/replay") == [{"from_seq": ["6"]}]


def test_what_waits_for_an_answer_is_a_table(api: Api, capsys: Said) -> None:
    api.says("GET /approvals", page(APPROVAL))

    assert main(["approvals", "list", "--run", R1]) == 0

    assert capsys.readouterr().out.splitlines()[1].split()[:5] == [A1, "pending", "high", "clerk@2", "pay"]
    assert api.queries("GET /approvals") == [{"status": ["pending"], "run_id": [R1], "limit": ["20"]}]


def test_a_question_is_shown_with_its_hash(api: Api, capsys: Said) -> None:
    said = {"by": "user:ben", "decision": "approve", "reason": "fine", "at": "2026-01-01T00:00:00Z"}
    api.says(f"GET /approvals/{A1}", {**APPROVAL, "decisions": [said]})

    assert main(["approvals", "show", A1]) == 0

    shown = capsys.readouterr().out
    for words in ('{"amount": 5}', "abc", "1 of owner, not who started the run", "user:ben"):
        assert words in shown


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["approve", A1], {"decision": "approve", "reason": ""}),
        (["edit", A1, "--args", '{"amount": 4}'], {"decision": "edit", "reason": "", "args": {"amount": 4}}),
        (["reject", A1, "--reason", "too much"], {"decision": "reject", "reason": "too much"}),
        (["respond", A1, "Paid."], {"decision": "respond", "reason": "", "response": "Paid."}),
    ],
)
def test_a_decision_is_about_what_was_shown(
    words: list[str], body: Any, api: Api, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    api.says(f"GET /approvals/{A1}", APPROVAL)
    api.says(f"POST /approvals/{A1}/decide", {**APPROVAL, "status": "approved"})

    _answers(monkeypatch, "no\n")
    assert main(["approvals", *words]) == 1
    assert api.bodies(f"POST /approvals/{A1}/decide") == []
    _answers(monkeypatch, "yes\n")
    assert main(["approvals", *words]) == 0
    assert main(["approvals", *words, "--args-hash", "seen before"]) == 0

    hashes = [said.pop("args_hash") for said in api.bodies(f"POST /approvals/{A1}/decide")]
    assert hashes == ["abc", "seen before"]
    assert api.bodies(f"POST /approvals/{A1}/decide") == [body, body]
    said = capsys.readouterr()
    assert '{"amount": 5}' in said.err
    assert said.out == f"approval {A1} is approved\n" * 2


def test_a_decision_that_comes_too_late_fails(api: Api, capsys: Said) -> None:
    api.says(f"GET /approvals/{A1}", APPROVAL)
    api.refuses(f"POST /approvals/{A1}/decide", 409, "approval is expired already")

    assert main(["approvals", "approve", A1, "--yes"]) == 1
    assert capsys.readouterr().err.endswith("loom: approval is expired already\n")


@pytest.mark.parametrize(("text", "words"), [("{", "--args is not JSON"), ("[1]", "is a JSON object")])
def test_arguments_that_are_none_are_refused_before_anybody_is_asked(
    text: str, words: str, api: Api, capsys: Said
) -> None:
    assert main(["approvals", "edit", A1, "--args", text, "--yes"]) == 1
    assert words in capsys.readouterr().err
    assert api.asked == []


# --- what goes wrong


def test_a_refusal_is_one_sentence_and_a_failure(api: Api, capsys: Said) -> None:
    api.refuses("GET /runs", 401, "the API key is unknown, revoked or expired")

    assert main(["runs", "list"]) == 1

    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "loom: the API key is unknown, revoked or expired\n")


def test_an_address_where_something_else_answers_is_said_to_be_wrong(api: Api, capsys: Said) -> None:
    api.says("GET /runs", "<html>")

    assert main(["runs", "list"]) == 1
    assert "and not as Loom would: check LOOM_URL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:9", "start the platform with `make run`, or set LOOM_URL"),
        ("localhost:8000", "LOOM_URL must begin with http:// or https://, not 'localhost:8000'"),
        ("http://127.0.0.1:port", "LOOM_URL is no address"),
    ],
)
def test_an_address_where_nobody_answers_is_named(
    url: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.setenv("LOOM_URL", url)
    monkeypatch.setenv("LOOM_API_KEY", KEY)

    assert main(["runs", "list"]) == 1
    assert sentence in capsys.readouterr().err


def test_the_demo_s_key_is_for_this_machine_only(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Said
) -> None:
    (tmp_path / "demo.key").write_text(KEY)
    monkeypatch.delenv("LOOM_API_KEY")
    monkeypatch.setenv("LOOM_DATA_DIR", str(tmp_path))
    api.says("GET /runs", page())

    assert main(["runs", "list"]) == 0
    assert api.headers("GET /runs")[0]["Authorization"] == f"Bearer {KEY}"

    monkeypatch.setenv("LOOM_URL", "http://loom.example")
    assert main(["runs", "list"]) == 1
    assert "no API key: set LOOM_API_KEY" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["runs", "show"], ["runs", "events"], ["keys", "revoke"]])
def test_what_is_no_id_is_said_so_before_anything_is_sent(words: list[str], api: Api, capsys: Said) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "assistant"])

    assert ended.value.code == 2
    assert "'assistant' is no id" in capsys.readouterr().err
    assert api.asked == []


def test_words_that_are_no_command_are_refused_with_the_usage(capsys: Said) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["runs", "lst"])

    assert ended.value.code == 2
    assert "usage: loom runs" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["run"], ["agents", "push"], ["keys", "create"], ["runs", "events"]])
def test_help_has_examples(words: list[str], capsys: Said) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])

    assert ended.value.code == 0
    assert "examples:\n  loom " in capsys.readouterr().out


# --- doctor


def healthy(api: Api) -> None:
    api.says("GET /healthz", "ok")
    api.says("GET /readyz", {"status": "ready", "checks": {"database": "ok", "redis": "ok"}})
    api.says("GET /openapi.json", {"info": {"version": "1"}})
    api.says("GET /keys", page(MY_KEY))


def test_the_doctor_finds_nothing_where_all_is_well(api: Api, capsys: Said) -> None:
    healthy(api)

    assert main(["doctor"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", check] for check in ("reachable", "clock", "ready", "version", "key")
    ]
    assert lines[-1].endswith("valid: mine, with the scopes read, run")


def test_the_doctor_says_what_is_wrong_and_what_to_do(api: Api, capsys: Said) -> None:
    api.date = formatdate(0, usegmt=True)
    api.says("GET /readyz", {"status": "unavailable", "checks": {"database": "ok", "redis": "unreachable"}}, status=503)
    api.says("GET /openapi.json", {"info": {"version": "2"}})
    api.refuses("GET /keys", 401, "the API key is unknown, revoked or expired")
    healthy(api)

    assert main(["doctor", "--json"]) == 1

    findings = {finding["check"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert {check: finding["ok"] for check, finding in findings.items()} == {
        "reachable": True, "clock": False, "ready": False, "version": False, "key": False,
    }  # fmt: skip
    assert "redis unreachable" in findings["ready"]["found"]
    assert "LOOM_API_KEY" in findings["key"]["advice"]


def test_the_doctor_says_that_nobody_answers(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    monkeypatch.setenv("LOOM_URL", "http://127.0.0.1:9")

    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.startswith("problem  reachable  no answer from http://127.0.0.1:9")


# --- as a process


def loom(*words: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "loomsite.cli", *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True)


def test_ctrl_c_ends_a_watch_in_a_sentence(api: Api) -> None:
    api.says(f"GET /runs/{R1}", RUN)
    api.says(f"GET /runs/{R1}/events", stream(event(1, "tool.started")))

    with loom("runs", "events", R1, "--follow") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "tool.started" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()

    assert process.returncode == 130
    assert f"The run goes on: `loom runs events {R1} --follow` comes back to it." in said
    assert "Traceback" not in said


def test_a_reader_who_has_seen_enough_is_no_failure_worth_words(api: Api) -> None:
    api.says(f"GET /runs/{R1}/events", page(*(event(seq, "tool.completed", text="x" * 90) for seq in range(1, 1000))))
    reader, writer = os.pipe()
    os.close(reader)

    process = loom("runs", "events", R1, stdout=writer)
    os.close(writer)

    assert process.communicate()[1] == ""
    assert process.returncode == 141


def test_help_is_there_without_django_httpx_or_pydantic() -> None:
    heavy = ("django", "httpx2", "pydantic", "celery")
    program = (
        "import sys\nfrom loomsite.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)

    assert done.stderr == "[]\n"
