"""Agents, runs and events over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils.dateparse import parse_datetime

from agents import stream
from agents.assembly import make_program
from agents.core.agent import Agent
from agents.core.registry import registry
from loom.events import Record

RUNS = "/api/v1/runs"
AGENTS = "/api/v1/agents"

RUN_FIELDS = {
    "id", "status", "agent", "agent_version", "user_id", "session_id", "input", "output", "parsed", "error", "usage",
    "turns", "attempt", "last_seq", "created_at", "not_before", "deadline_at", "started_at", "finished_at", "trace_id",
    "waiting_for", "parent_run_id",
}  # fmt: skip


def _json(response: Any, status: int = 200) -> Any:
    assert response.status_code == status, response.content
    return response.json()


def _pages(client: Any, path: str, **query: Any) -> Iterator[list[dict[str, Any]]]:
    cursor: str | None = ""
    while cursor is not None:
        page = _json(client.get(path, {**query, **({"cursor": cursor} if cursor else {})}))
        yield page["items"]
        cursor = page["next_cursor"]


def test_a_started_run_is_shown_as_the_interface_says(acme: Any) -> None:
    acme.agent()
    body = {
        "agent": "assistant",
        "input": {"a": [1, "ü", None]},
        "user_id": "u1",
        "session_id": "s1",
        "metadata": {"x": 1},
    }

    run = _json(acme.client().post(RUNS, body), 202)

    assert run.keys() == RUN_FIELDS
    assert {name: run[name] for name in ("status", "agent", "agent_version", "user_id", "session_id", "input")} == {
        "status": "queued", "agent": "assistant", "agent_version": 1, "user_id": "u1", "session_id": "s1",
        "input": {"a": [1, "ü", None]},
    }  # fmt: skip
    assert run["usage"] == {"input_tokens": 0, "output_tokens": 0, "cached_input_tokens": 0, "cost_usd": 0.0}
    assert (run["waiting_for"], run["parent_run_id"], run["last_seq"]) == ([], None, 1)
    assert parse_datetime(run["created_at"]).tzinfo is not None
    assert _json(acme.client().get(f"{RUNS}/{run['id']}")) == run


def test_a_run_that_is_over_shows_what_it_came_to(acme: Any, committed_db: None) -> None:
    acme.agent()
    run = acme.run()
    usage = {
        "input_tokens": 5, "cached_input_tokens": 2, "cache_write_tokens": 0, "output_tokens": 7, "cost_usd": 0.00012,
    }  # fmt: skip
    append = acme.work(run)
    append(Record(kind="model.completed", step_key="turn:0/model", data={"value": {"usage": usage}}))
    append(Record(kind="run.succeeded", data={"output": "hi", "parsed": {"x": 1}}))

    shown = _json(acme.client().get(f"{RUNS}/{run.pk}"))

    assert (shown["status"], shown["output"], shown["parsed"], shown["turns"]) == ("succeeded", "hi", {"x": 1}, 1)
    assert shown["usage"] == {"input_tokens": 5, "output_tokens": 7, "cached_input_tokens": 2, "cost_usd": 0.00012}
    assert shown["finished_at"] >= shown["started_at"] >= shown["created_at"]


def test_an_output_schema_that_is_none_is_refused_before_the_run_is_accepted(acme: Any) -> None:
    body = {"agent": acme.agent(), "input": "x", "output_schema": {"$ref": "http://127.0.0.1/schema"}}

    problem = _json(acme.client().post(RUNS, body), 422)

    assert [error["pointer"] for error in problem["errors"]] == ["/output_schema"]
    assert "nothing is fetched" in problem["detail"]
    assert _json(acme.client().get(RUNS))["items"] == []


def test_events_are_listed_after_a_number_and_a_few_at_a_time(acme: Any) -> None:
    acme.agent()
    run = acme.run()
    acme.work(run)(*[Record(kind="architecture.note", step_key=f"n:{n}", data={"n": n}) for n in range(5)])

    first = _json(acme.client().get(f"{RUNS}/{run.pk}/events", {"limit": 2}))["items"]
    rest = _json(acme.client().get(f"{RUNS}/{run.pk}/events", {"after": 2}))["items"]

    assert [event["seq"] for event in first + rest] == [1, 2, 3, 4, 5, 6]
    assert first[1].keys() == {"seq", "kind", "at", "step_key", "data"}
    assert (first[1]["kind"], first[1]["step_key"], first[1]["data"]) == ("architecture.note", "n:0", {"n": 0})


def test_an_event_is_the_same_object_in_the_list_and_in_the_stream(acme: Any) -> None:
    acme.agent()
    run = acme.run(input={"text": "<ü\u2028>"})
    with acme.scope():
        row = run.events.get()

    listed = acme.client().get(f"{RUNS}/{run.pk}/events").content.decode()

    assert listed == '{"items":[' + stream.Notice(row.seq, row.kind, row.at, row.step_key, row.data).json + "]}"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "abcd"),
        ({"status": "queued"}, "abc"),
        ({"status": ["queued", "succeeded"]}, "abcd"),
        ({"status": "failed"}, ""),
        ({"agent": "one"}, "abd"),
        ({"agent": "one@1"}, "abd"),
        ({"agent": "one@production"}, "abd"),
        ({"agent": "one@2"}, ""),
        ({"agent": "nobody"}, ""),
        ({"user_id": "u1"}, "ac"),
        ({"user_id": "u1", "agent": "two"}, "c"),
        ({"session_id": "s2"}, "b"),
        ({"q": "NEEDLE"}, "b"),
        ({"q": "50%"}, "c"),
        ({"q": "answer"}, "d"),
        ({"q": "_"}, ""),
    ],
)
def test_runs_are_found_by_what_is_asked_for(acme: Any, query: dict[str, Any], found: str) -> None:
    acme.agent("one")
    acme.agent("two")
    runs = {"d": acme.run("one")}
    acme.work(runs["d"])(Record(kind="run.succeeded", data={"output": "the answer"}))
    runs["a"] = acme.run("one", user_id="u1")
    runs["b"] = acme.run("one", {"deep": ["a needle"]}, session_id="s2")
    runs["c"] = acme.run("two", "50% off", user_id="u1")

    items = _json(acme.client().get(RUNS, query))["items"]

    names = {str(run.pk): name for name, run in runs.items()}
    assert "".join(sorted(names[item["id"]] for item in items)) == found


def test_runs_are_found_by_when_they_were_accepted(acme: Any) -> None:
    acme.agent()
    first, second = acme.run(), acme.run()

    since = _json(acme.client().get(RUNS, {"since": second.created_at.isoformat()}))["items"]
    until = _json(acme.client().get(RUNS, {"until": second.created_at.isoformat()}))["items"]
    none = _json(acme.client().get(RUNS, {"until": (first.created_at - timedelta(seconds=1)).isoformat()}))["items"]

    assert ([run["id"] for run in since], [run["id"] for run in until]) == ([str(second.pk)], [str(first.pk)])
    assert none == []


def test_pages_hold_every_run_once_newest_first_though_new_ones_come(acme: Any) -> None:
    acme.agent()
    there = [str(acme.run().pk) for _ in range(11)]
    seen = []

    for page in _pages(acme.client(), RUNS, limit=3):
        seen += [run["id"] for run in page]
        acme.run()

    assert seen == there[::-1]


def test_pages_end_where_the_list_ends(acme: Any) -> None:
    acme.agent()
    for _ in range(4):
        acme.run()

    assert [len(page) for page in _pages(acme.client(), RUNS, limit=2)] == [2, 2]
    assert list(_pages(acme.client(), RUNS, status="failed")) == [[]]


def test_pages_of_agents_go_by_slug(acme: Any) -> None:
    for slug in ("b", "a", "d", "c"):
        acme.agent(slug)

    assert [[agent["slug"] for agent in page] for page in _pages(acme.client(), AGENTS, limit=3)] == [
        ["a", "b", "c"],
        ["d"],
    ]


def test_a_cursor_of_another_list_is_refused(acme: Any) -> None:
    for slug in ("a", "b"):
        acme.agent(slug)
    cursor = _json(acme.client().get(AGENTS, {"limit": 1}))["next_cursor"]

    assert acme.client().get(RUNS, {"cursor": cursor}).status_code == 422


@pytest.mark.parametrize(
    "path", [RUNS, AGENTS, "/api/v1/keys", "/api/v1/agents/a0/versions", "/api/v1/runs/{run}/events"]
)
def test_a_list_takes_the_same_number_of_statements_however_long_it_is(acme: Any, statements: Any, path: str) -> None:
    client = acme.client()

    def grow(start: int, end: int) -> None:
        for number in range(start, end):
            acme.agent(f"a{number}")
            acme.run("a0")
            acme.key("read")
        body = {"spec": {"model": "echo", "instructions": str(end)}}
        for number in range(start, end):
            body["spec"]["instructions"] = str(number)
            _json(client.post("/api/v1/agents/a0/versions", body), 201)

    grow(0, 2)
    run = acme.run("a0")
    path = path.format(run=run.pk)
    client.get(path)  # what is cached for a while is cached now
    few = len(statements(lambda: _json(client.get(path))))
    grow(2, 12)
    acme.work(run)(*[Record(kind="architecture.note") for _ in range(20)])
    client.get(path)

    assert len(statements(lambda: _json(client.get(path)))) == few


def test_an_agent_is_made_changed_given_versions_promoted_and_archived(acme: Any) -> None:
    client = acme.client()
    body = {"slug": "clerk", "name": "Clerk", "spec": {"model": "echo", "instructions": "one"}}

    made = _json(client.post(AGENTS, body), 201)
    changed = _json(client.patch(f"{AGENTS}/clerk", {"description": "files things"}))
    second = _json(client.post(f"{AGENTS}/clerk/versions", {"spec": {"model": "echo", "instructions": "two"}}), 201)
    again = _json(client.post(f"{AGENTS}/clerk/versions", {"spec": {"instructions": "two", "model": "echo"}}), 201)
    promoted = _json(client.post(f"{AGENTS}/clerk/promote", {"version": 2}))
    staged = _json(client.post(f"{AGENTS}/clerk/promote", {"version": 1, "label": "staging"}))
    versions = _json(client.get(f"{AGENTS}/clerk/versions"))["items"]
    archived = client.delete(f"{AGENTS}/clerk")

    assert (made["labels"], made["name"], changed["description"]) == ({"production": 1}, "Clerk", "files things")
    assert (second["number"], again["number"], promoted["labels"]) == (2, 2, {"production": 2})
    assert staged["labels"] == {"production": 2, "staging": 1}
    assert [(v["number"], v["labels"]) for v in versions] == [(2, ["production"]), (1, ["staging"])]
    assert (archived.status_code, archived.content) == (204, b"")
    assert client.get(f"{AGENTS}/clerk").status_code == 404
    assert client.post(RUNS, {"agent": "clerk", "input": "x"}).status_code == 404


def _refused(response: Any) -> list[tuple[str, str]]:
    problem = _json(response, 422)
    assert problem["code"] == "config"
    return [(error["pointer"], error["detail"]) for error in problem["errors"]]


def test_a_spec_that_makes_no_agent_is_refused_by_its_key_with_what_was_meant(acme: Any) -> None:
    client, spec = acme.client(), {"instrctions": "Help.", "model": "echo", "max_turns": 0}

    made = client.post(AGENTS, {"slug": "clerk", "spec": spec})
    added = client.post(f"{AGENTS}/{acme.agent()}/versions", {"spec": spec})

    assert (
        _refused(made)
        == _refused(added)
        == [
            ("/spec/instructions", "instructions is missing"),
            ("/spec/max_turns", "max_turns: Input should be greater than or equal to 1, not 0"),
            ("/spec/instrctions", "no key 'instrctions'; did you mean 'instructions'?"),
        ]
    )
    assert client.get(f"{AGENTS}/clerk").status_code == 404


@pytest.mark.parametrize(
    ("spec", "pointer", "problem"),
    [
        ({"model": "gtp-4o"}, "/spec", "did you mean 'gpt-4o'"),
        ({"architecture": "reakt"}, "/spec", "did you mean 'react'"),
        ({"budget": {"max_token": 5}}, "/spec/budget", "did you mean 'max_tokens'"),
        ({"output_schema": {"type": "objct"}}, "/spec/output_schema", "no JSON Schema"),
        ({"tools": ["opening_hour"]}, "/spec", "no tool 'opening_hour' in LOOM_MODULES; did you mean 'opening_hours'"),
        ({"tools": "opening_hours"}, "/spec/tools", "a list of names"),
    ],
)
def test_a_spec_names_only_what_there_is(
    acme: Any, monkeypatch: pytest.MonkeyPatch, spec: dict[str, Any], pointer: str, problem: str
) -> None:
    monkeypatch.setitem(registry.tools, "opening_hours", object())

    refused = _refused(
        acme.client().post(AGENTS, {"slug": "clerk", "spec": {"instructions": "x", "model": "echo"} | spec})
    )

    assert [at for at, _ in refused] == [pointer]
    assert problem in refused[0][1]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("mcp", [{"name": "shell", "transport": "stdio", "command": "sh", "args": ["-c", "id"]}]),
        ("skills", ["/etc"]),
        ("workspace", "/etc"),
        ("workspace", {"path": "/etc"}),
        ("memory", "sqlite:/tmp/all.db"),
        ("memory", {"backend": "inmemory", "type": "sqlite", "path": "/tmp/all.db"}),
        ("runtime", "sqlite:/tmp/all.db"),
        ("telemetry", "file:/etc/cron.d/x"),
        ("audit_log", "/etc/cron.d/x"),
        ("audit_log", {"name": "/etc/cron.d/x"}),
    ],
)
def test_a_spec_reaches_nothing_of_the_host(acme: Any, key: str, said: Any) -> None:
    spec = {"instructions": "x", "model": "echo", key: said}

    refused = _refused(acme.client().post(AGENTS, {"slug": "clerk", "spec": spec}))

    assert [at for at, _ in refused] == [f"/spec/{key}"]
    assert "reaches files or programs of the host" in refused[0][1]


async def test_a_spec_leads_to_no_mcp_server_in_our_own_network() -> None:
    server = {"name": "inner", "transport": "http", "url": "http://127.0.0.1:1/mcp"}
    program = make_program({"instructions": "x", "model": "echo", "mcp": [server]})
    assert isinstance(program, Agent)
    assert program.kit is not None
    assert program.kit.mcp is not None

    offered = await program.kit.mcp.list_tools()

    assert offered == []
    assert "'127.0.0.1' is not a public address" in program.kit.mcp.problems["inner"]


def test_a_spec_may_say_what_stays_in_the_process(acme: Any) -> None:
    spec = {
        "instructions": "x", "model": "echo", "memory": {"backend": "inmemory"}, "workspace": "memory",
        "living_plan": True, "telemetry": "otel", "mcp": [{"name": "a", "transport": "http", "url": "https://a.test"}],
    }  # fmt: skip

    assert acme.client().post(AGENTS, {"slug": "clerk", "spec": spec}).status_code == 201


def test_a_spec_may_name_a_program_that_the_deployment_offers(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.programs, "intake", object())
    client = acme.client()

    assert client.post(AGENTS, {"slug": "one", "spec": {"program": "intake"}}).status_code == 201
    assert _refused(client.post(AGENTS, {"slug": "two", "spec": {"program": "intak"}})) == [
        ("/spec", "no registered agent or workflow 'intak'; did you mean 'intake'?")
    ]


def test_a_slug_that_is_taken_is_a_conflict(acme: Any, globex: Any) -> None:
    globex.agent("taken")
    body = {"slug": "taken", "spec": {"instructions": "x", "model": "echo"}}

    first, second = (acme.client().post(AGENTS, body) for _ in range(2))

    assert (first.status_code, second.status_code, second.json()["code"]) == (201, 409, "conflict")


def test_a_version_that_is_not_there_cannot_be_promoted(acme: Any) -> None:
    acme.agent()

    response = acme.client().post(f"{AGENTS}/assistant/promote", {"version": 9})

    assert (response.status_code, response.json()["detail"]) == (404, "agent 'assistant' has no version 9")
