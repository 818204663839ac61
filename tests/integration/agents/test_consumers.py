"""Watching over WebSocket, by the web process as it is really started."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from agents import stream
from governance import services as governance
from loom.events import Kind, Record

pytestmark = pytest.mark.usefixtures("committed_db")

SUCCEEDED = Record(kind=Kind.RUN_SUCCEEDED, data={"output": "done"})


def note(number: int) -> Record:
    return Record(kind="architecture.note", data={"n": number})


def _open(web: str, path: str, **headers: str) -> ClientConnection:
    return connect(f"ws://{web}{path}", additional_headers=headers, proxy=None)


def _all(socket: ClientConnection) -> tuple[list[Any], int]:
    """All frames, and the close code."""
    frames = []
    try:
        while True:
            frames.append(json.loads(socket.recv(timeout=20)))
    except ConnectionClosed as closed:
        return frames, closed.rcvd.code if closed.rcvd else 0


@pytest.fixture
def run(acme: Any) -> Any:
    acme.agent()
    return acme.run()


@pytest.fixture
def bearer(acme: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {acme.token}"}


def test_a_socket_begins_with_what_was_and_goes_on_with_what_comes(
    acme: Any, run: Any, web: str, bearer: dict[str, str]
) -> None:
    append = acme.work(run)
    append(note(0))
    with _open(web, f"/ws/runs/{run.pk}", **bearer) as socket:
        backlog = [json.loads(socket.recv(timeout=10)) for _ in range(2)]
        seq = append(note(1), SUCCEEDED)
        async_to_sync(stream.nudge)(acme.tenant.pk, run.pk, seq, Kind.RUN_SUCCEEDED)
        live, code = _all(socket)

    assert [event["seq"] for event in backlog + live] == [1, 2, 3, 4]
    assert code == 1000
    listed = acme.client().get(f"/api/v1/runs/{run.pk}/events").json()["items"]
    assert backlog + live == listed


@pytest.mark.parametrize(("query", "seen"), [("?after=2", [3]), ("?after=x", [1, 2, 3]), ("?after=-1", [1, 2, 3])])
def test_a_socket_begins_after_what_the_client_has(
    acme: Any, run: Any, web: str, bearer: dict[str, str], query: str, seen: list[int]
) -> None:
    acme.work(run)(note(0), SUCCEEDED)

    with _open(web, f"/ws/runs/{run.pk}{query}", **bearer) as socket:
        frames, code = _all(socket)

    assert ([event["seq"] for event in frames], code) == (seen, 1000)


def test_a_member_watches_with_the_session_of_the_browser(acme: Any, run: Any, web: str) -> None:
    acme.work(run)(SUCCEEDED)
    cookie = acme.member("ben").cookies["sessionid"].value

    with _open(web, f"/ws/runs/{run.pk}", Cookie=f"sessionid={cookie}", Origin=f"http://{web}") as socket:
        frames, code = _all(socket)

    assert ([event["seq"] for event in frames], code) == ([1, 2], 1000)


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "", "http://sub.{host}", "http://{host}:1", "http://evil-{host}", "http://{host}.evil.example"],
)  # fmt: skip
def test_a_page_from_elsewhere_cannot_use_the_session(acme: Any, run: Any, web: str, origin: str) -> None:
    cookie = acme.member("ann").cookies["sessionid"].value
    headers = {"Cookie": f"sessionid={cookie}", "Origin": origin.format(host=web.split(":")[0])}

    with pytest.raises(InvalidStatus) as refused, _open(web, f"/ws/runs/{run.pk}", **headers):
        pass

    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("path", ["/ws/runs/{run}", "/ws/tenant"])
@pytest.mark.parametrize(
    "headers", [{"Authorization": "Bearer loom_x_y"}, {"Authorization": "Basic YTpi"}, {"Origin": "http://{web}"}]
)
def test_a_socket_without_a_credential_is_closed(run: Any, web: str, path: str, headers: dict[str, str]) -> None:
    headers = {name: value.format(web=web) for name, value in headers.items()}

    with _open(web, path.format(run=run.pk), **headers) as socket:
        assert _all(socket) == ([], 4401)


@pytest.mark.parametrize("path", ["/ws/", "/ws/runs/1", "/ws/nothing", "/api/v1/runs"])
def test_a_socket_that_is_not_there_is_refused(web: str, bearer: dict[str, str], path: str) -> None:
    with pytest.raises(InvalidStatus), _open(web, path, **bearer):
        pass


def test_a_message_of_more_than_64_kibibytes_closes_the_socket(run: Any, web: str, bearer: dict[str, str]) -> None:
    with _open(web, f"/ws/runs/{run.pk}", **bearer) as socket:
        socket.recv(timeout=10)
        socket.send("x" * (64 * 1024))
        socket.send("x" * (64 * 1024 + 1))

        assert _all(socket) == ([], 1009)


def test_too_many_messages_close_the_socket(run: Any, web: str, bearer: dict[str, str]) -> None:
    with _open(web, f"/ws/runs/{run.pk}", **bearer) as socket:
        socket.recv(timeout=10)
        with suppress(ConnectionClosed):
            for _ in range(150):
                socket.send("{}")

        assert _all(socket) == ([], 1008)


def test_a_socket_closes_when_its_key_is_revoked(acme: Any, run: Any, web: str) -> None:
    key, token = acme.key("read")
    with _open(web, f"/ws/runs/{run.pk}", Authorization=f"Bearer {token}") as socket:
        socket.recv(timeout=10)
        with acme.scope():
            governance.revoke_key(tenant=acme.tenant, key_id=key.pk, by="test")

        assert _all(socket) == ([], 4401)


@pytest.mark.parametrize("path", ["/ws/runs/{run}", "/ws/tenant"])
def test_a_socket_closes_when_its_person_is_no_member_any_more(acme: Any, run: Any, web: str, path: str) -> None:
    cookie = acme.member("ben").cookies["sessionid"].value
    with _open(web, path.format(run=run.pk), Cookie=f"sessionid={cookie}", Origin=f"http://{web}") as socket:
        time.sleep(0.5)
        with acme.scope():
            member = acme.people["ben"].memberships.get()
            governance.remove_member(tenant=acme.tenant, member_id=member.pk, by="test")

        assert _all(socket)[1] == 4401


def test_the_tenants_socket_tells_of_its_runs_and_of_no_others(
    acme: Any, globex: Any, run: Any, web: str, bearer: dict[str, str]
) -> None:
    globex.agent()
    with _open(web, "/ws/tenant", **bearer) as socket, ThreadPoolExecutor(1) as pool:
        globex.run()
        started = acme.run()
        async_to_sync(stream.nudge)(acme.tenant.pk, run.pk, 2, "architecture.note")
        async_to_sync(stream.nudge)(acme.tenant.pk, run.pk, 3, Kind.RUN_SUCCEEDED)
        frames = [pool.submit(socket.recv, timeout=10).result() for _ in range(2)]

    assert [json.loads(frame) for frame in frames] == [
        {"type": "run.changed", "run_id": str(started.pk), "status": "queued"},
        {"type": "run.changed", "run_id": str(run.pk), "status": "succeeded"},
    ]
