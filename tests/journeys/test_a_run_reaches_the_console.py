"""A run is accepted by one process, executed by another, and watched by programs and people."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import websockets

from tests.journeys.conftest import Caller, Fleet, lines, offer

TEN_WORDS = "one two three four five six seven eight nine ten"


@pytest.fixture(scope="module")
def web(module_fleet: Fleet) -> str:
    address = module_fleet.web()
    module_fleet.worker()
    return address


@pytest.fixture
def ann(web: str, acme: Any, committed_db: None) -> Caller:
    for name in ("forecaster", "slow-echo", "quick-echo"):
        offer(acme, name, {"program": name})
    return Caller(web, acme.token)


@pytest.fixture
def cem(web: str, globex: Any, committed_db: None) -> Caller:
    return Caller(web, globex.token)


def test_a_socket_and_an_event_stream_show_each_event_once_and_in_order(ann: Caller) -> None:
    run_id = ann.start("slow-echo", TEN_WORDS)

    with ThreadPoolExecutor() as pool:
        watchers = [pool.submit(ann.socket, run_id), pool.submit(ann.sse, run_id)]
        seen = [watcher.result(60) for watcher in watchers]

    journal = ann.journal(run_id)
    assert [event["seq"] for event in journal] == list(range(1, len(journal) + 1))
    assert journal[-1]["kind"] == "run.succeeded"
    assert journal[-1]["data"]["output"] == f"Echo: {TEN_WORDS}"
    for events in seen:
        assert lines(events) == journal


def test_the_text_is_seen_while_it_is_being_said(ann: Caller) -> None:
    events = ann.socket(ann.start("slow-echo", TEN_WORDS))

    kinds = [event["kind"] for event in events]
    assert kinds.count("model.delta") >= 3
    assert kinds.index("model.delta") < kinds.index("model.completed")
    text = ""
    for event in events:
        if event["kind"] == "model.delta":
            text = text[: event["data"]["offset"]] + event["data"]["text"]
    assert f"Echo: {TEN_WORDS}".startswith(text)


def test_who_comes_late_sees_the_same(ann: Caller) -> None:
    run_id = ann.start("forecaster", "Lisbon?")
    journal = lines(ann.socket(run_id))

    assert ann.run(run_id)["status"] == "succeeded"
    assert lines(ann.socket(run_id)) == lines(ann.sse(run_id)) == journal == ann.journal(run_id)


def test_who_comes_back_in_the_middle_goes_on_where_they_were(ann: Caller) -> None:
    run_id = ann.start("slow-echo", TEN_WORDS)

    before = lines(ann.sse(run_id, limit=2))
    after = lines(ann.sse(run_id, last_event_id=before[-1]["seq"]))
    through_socket = lines(ann.socket(run_id, after=before[-1]["seq"]))

    assert before + after == before + through_socket == ann.journal(run_id)


def test_the_answer_of_an_agent_with_a_tool_is_on_its_run(ann: Caller) -> None:
    run_id = ann.start("forecaster", "How is Lisbon?", user_id="u1")
    ann.socket(run_id)

    run = ann.run(run_id)

    assert (run["status"], run["output"]) == ("succeeded", "The report says: sunny in Lisbon")
    assert run["usage"] == {"input_tokens": 240, "output_tokens": 60, "cached_input_tokens": 0, "cost_usd": 0.0024}
    assert (run["turns"], run["attempt"]) == (2, 1)


def test_many_runs_at_once_all_come_to_their_end(ann: Caller) -> None:
    agents = ["forecaster", "quick-echo"] * 30

    with ThreadPoolExecutor(8) as pool:
        run_ids = list(pool.map(lambda agent: ann.start(agent, "all at once"), agents))
        ends = list(pool.map(lambda run_id: ann.sse(run_id)[-1]["kind"], run_ids))

    assert ends == ["run.succeeded"] * len(agents)


def test_a_run_is_nowhere_to_be_seen_for_another_tenant(ann: Caller, cem: Caller, globex: Any) -> None:
    run_id = ann.start("quick-echo", "between us")
    ann.socket(run_id)
    page = globex.member("cem")

    for one in (run_id, str(uuid4())):
        with cem.http as http:
            answers = [
                http.get(f"/api/v1/runs/{one}"),
                http.get(f"/api/v1/runs/{one}/events"),
                http.get(f"/api/v1/runs/{one}/events", headers={"Accept": "text/event-stream"}),
            ]
        assert [answer.status_code for answer in answers] == [404, 404, 404]
        assert all("between us" not in answer.text for answer in answers)
        with pytest.raises(websockets.ConnectionClosed) as closed, cem.connect(f"/ws/runs/{one}") as socket:
            socket.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4404
        assert page.get(f"/runs/{one}").status_code == 404
        assert page.get(f"/runs/{one}/events").status_code == 404
    with cem.http as http:
        assert http.get("/api/v1/runs").json()["items"] == []


def test_without_a_credential_there_is_nothing(ann: Caller) -> None:
    run_id = ann.start("quick-echo", "between us")
    stranger = Caller(ann.address, "loom_0000000000_guess")

    with stranger.http as http:
        assert http.get(f"/api/v1/runs/{run_id}").status_code == 401
    with httpx2.Client(base_url=f"http://{ann.address}", trust_env=False) as http:
        assert http.get(f"/runs/{run_id}").headers["location"].startswith("/login")
    with pytest.raises(websockets.ConnectionClosed) as closed, stranger.connect(f"/ws/runs/{run_id}") as socket:
        socket.recv(timeout=20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
