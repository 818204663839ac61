"""What the API refuses, and how it says so: a status, and a problem document that names what is wrong."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from governance import services as governance

RUNS = "/api/v1/runs"
RUN = {"agent": "assistant", "input": "hello"}


def _problem(response: HttpResponse, status: int, code: str, *, names: str = "", pointer: str | None = None) -> Any:
    """Check that the answer is this problem, names what is wrong and points at it."""
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    document = json.loads(response.content)
    assert document.keys() == {"type", "title", "status", "detail", "code", "errors", "request_id"}
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"] == f"urn:loom:problem:{code}"
    assert document["request_id"] == response["X-Request-Id"]
    assert names in document["detail"]
    if pointer is not None:
        assert pointer in [error["pointer"] for error in document["errors"]]
    return document


@pytest.mark.parametrize(
    ("body", "status", "code", "names", "pointer"),
    [
        (b"", 422, "invalid", "required", ""),
        (b"{", 400, "malformed", "not JSON", None),
        (b"\xff\xfe", 400, "malformed", "UTF-8", None),
        (b'{"agent":"assistant","input":NaN}', 400, "malformed", "NaN", None),
        (b'{"agent":"assistant","input":{"x":Infinity}}', 400, "malformed", "Infinity", None),
        (b'{"agent":"assistant","input":{"x":1e999}}', 400, "malformed", "1.8e308", None),
        (b'{"agent":"assistant","input":{"x":' + b"9" * 100_000 + b"}}", 400, "malformed", "100 digits", None),
        (b'{"agent":"assistant","agent":"other","input":"x"}', 400, "malformed", "'agent' stands twice", None),
        (b"[" * 100_000, 400, "malformed", "100 levels", None),
        (b'{"agent":"assistant","input":{"x":' + b"[" * 150 + b"]" * 150 + b"}}", 400, "malformed", "100 levels", None),
        (b'{"agent":"assistant","input":"a\\u0000b"}', 422, "invalid", "NUL", "/input"),
        (b'{"agent":"assistant","input":{"a/b":["\\ud800"]}}', 422, "invalid", "surrogates", "/input/a~1b/0"),
        (b'{"agent":"assistant","input":7}', 422, "invalid", "string or an object", "/input"),
        (b'{"agent":"assistant"}', 422, "invalid", "required", "/input"),
        (b'{"agent":"assistant","input":"x","priority":"high"}', 422, "invalid", "integer", "/priority"),
        (b'{"agent":"assistant","input":"x","priority":' + b"9" * 40 + b"}", 422, "invalid", "", "/priority"),
        (b'{"agent":"assistant","input":"x","deadline_seconds":-1}', 422, "invalid", "greater", "/deadline_seconds"),
        (b'{"agent":"assistant","input":"x","sesion_id":"s"}', 422, "invalid", "not permitted", "/sesion_id"),
        (b'{"agent":"assistant","input":"x","tenant_id":"t"}', 422, "invalid", "not permitted", "/tenant_id"),
        (b'{"agent":"assistant","input":"x","status":"succeeded"}', 422, "invalid", "not permitted", "/status"),
        (b'{"agent":"no such","input":"x"}', 422, "invalid", "pattern", "/agent"),
        (b'{"agent":"nobody","input":"x"}', 404, "not_found", "'nobody'", None),
        (b'{"agent":"assistant@7","input":"x"}', 404, "not_found", "'assistant@7'", None),
        (b'{"agent":"assistant@' + b"9" * 50 + b'","input":"x"}', 404, "not_found", "assistant@", None),
    ],
    ids=lambda value: value[:40].decode(errors="replace") if isinstance(value, bytes) else None,
)
def test_a_body_that_makes_no_sense_is_refused_with_its_reason(
    acme: Any, body: bytes, status: int, code: str, names: str, pointer: str | None
) -> None:
    acme.agent()

    response = acme.client().post(RUNS, body)

    _problem(response, status, code, names=names, pointer=pointer)


def test_an_input_of_more_than_a_mebibyte_is_refused_with_the_limit(acme: Any) -> None:
    acme.agent()

    response = acme.client().post(RUNS, json.dumps({**RUN, "input": "x" * 1024 * 1024}))

    _problem(response, 422, "invalid", names="1048576 bytes", pointer="/input")


def test_a_body_of_more_than_two_mebibytes_is_refused_with_the_limit(acme: Any) -> None:
    response = acme.client().post(RUNS, b"x" * (2 * 1024 * 1024 + 1))

    _problem(response, 413, "too_large", names="2097152 bytes")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=201", "/query/limit"),
        ("limit=x", "/query/limit"),
        ("cursor=nonsense", "/query/cursor"),
        ("cursor=%F0%9F%92%A9", "/query/cursor"),
        ("cursor=IjEyMyI", "/query/cursor"),
        ("status=done", "/query/status/0"),
        ("status=queued&status=done", "/query/status/1"),
        ("since=yesterday", "/query/since"),
        ("until=2026-01-01T00:00:00", "/query/until"),
        ("q=%00", "/query/q"),
        ("user_id=" + "u" * 201, "/query/user_id"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused_with_its_field(acme: Any, query: str, pointer: str) -> None:
    _problem(acme.client().get(f"{RUNS}?{query}"), 422, "invalid", pointer=pointer)


@pytest.mark.parametrize("forged", ["\x00", "a\ud800", None, 1, [], {}, 10**400])
@pytest.mark.parametrize("path", [RUNS, "/api/v1/agents", "/api/v1/keys", "/api/v1/agents/assistant/versions"])
def test_a_forged_cursor_is_no_failure_of_ours(acme: Any, path: str, forged: Any) -> None:
    acme.agent()
    cursor = base64.urlsafe_b64encode(json.dumps(forged).encode()).decode()

    assert acme.client().get(path, {"cursor": cursor}).status_code in (200, 422)


@pytest.mark.parametrize("query", ["after=-1", "after=99999999999", "after=x"])
def test_events_after_no_number_are_refused(acme: Any, query: str) -> None:
    acme.agent()

    _problem(acme.client().get(f"{RUNS}/{acme.run().pk}/events?{query}"), 422, "invalid", pointer="/query/after")


def test_a_last_event_id_that_is_no_number_is_refused(acme: Any) -> None:
    acme.agent()
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "²"}

    response = acme.client().get(f"{RUNS}/{acme.run().pk}/events", headers=headers)

    _problem(response, 422, "invalid", pointer="/header/Last-Event-ID")


def test_a_request_without_a_credential_is_told_how_to_bring_one(db: None) -> None:
    response = Client().get(RUNS)

    _problem(response, 401, "unauthenticated", names="Authorization: Bearer")
    assert response["WWW-Authenticate"] == 'Bearer realm="loom"'


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer x", "Bearer loom_x_y", "Basic YTpi", "Bearer loom_\x01_y", "Bearer loom__"]
)
def test_a_credential_that_is_none_is_refused(acme: Any, header: str) -> None:
    _problem(Client().get(RUNS, headers={"Authorization": header}), 401, "unauthenticated")


def test_a_key_with_another_secret_is_refused(acme: Any) -> None:
    wrong = acme.token[:-1] + ("A" if acme.token[-1] != "A" else "B")

    _problem(acme.client(wrong).get(RUNS), 401, "unauthenticated")


def test_an_expired_key_is_refused(acme: Any) -> None:
    _, token = acme.key("read", expires_at=timezone.now() - timedelta(seconds=1))

    _problem(acme.client(token).get(RUNS), 401, "unauthenticated")


def test_a_revoked_key_is_refused(acme: Any) -> None:
    key, token = acme.key("read")
    with acme.scope():
        governance.revoke_key(tenant=acme.tenant, key_id=key.pk, by="test")

    _problem(acme.client(token).get(RUNS), 401, "unauthenticated")


def test_a_key_is_read_as_it_is_and_the_session_beside_it_counts_for_nothing(acme: Any) -> None:
    response = acme.member("ann").get(RUNS, headers={"Authorization": "Bearer loom_x_y"})

    _problem(response, 401, "unauthenticated")


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("get", RUNS, "read"),
        ("post", RUNS, "run"),
        ("post", "/api/v1/agents", "admin"),
        ("post", "/api/v1/keys", "admin"),
    ],
)
def test_a_key_without_the_scope_is_refused_with_the_scope(acme: Any, method: str, path: str, scope: str) -> None:
    others = {"read", "run", "admin"} - {scope}
    client = acme.client(acme.key(*others)[1])

    _problem(getattr(client, method)(path), 403, "denied", names=f"'{scope}'")


def test_a_viewer_may_look_but_not_start_runs(acme: Any) -> None:
    ben = acme.member("ben")

    assert ben.get(RUNS).status_code == 200
    _problem(ben.post(RUNS, RUN), 403, "denied", names="'run'")


def test_a_session_needs_the_csrf_token_for_whatever_changes_something(acme: Any) -> None:
    acme.agent()
    ann = acme.member("ann", enforce_csrf_checks=True)

    assert ann.get(RUNS).status_code == 200
    _problem(ann.post(RUNS, RUN), 403, "denied", names="CSRF")


def test_a_session_with_the_csrf_token_starts_runs(acme: Any) -> None:
    acme.agent()
    ann = acme.member("ann", enforce_csrf_checks=True)
    token = ann.get("/admin/", follow=True) and ann.get("/admin/password_change/").cookies["csrftoken"].value

    response = ann.post(RUNS, RUN, headers={"X-CSRFToken": token})

    assert response.status_code == 202


def test_somebody_without_a_tenant_is_told_so(acme: Any, django_user_model: Any) -> None:
    client = Client()
    client.force_login(django_user_model.objects.create_user("stranger"))

    _problem(client.get(RUNS), 403, "denied", names="not a member")


@pytest.mark.parametrize("method", ["put", "delete", "patch", "head", "options", "trace"])
def test_a_method_that_is_not_there_is_refused_with_those_that_are(acme: Any, method: str) -> None:
    response = getattr(acme.client(), method)(RUNS)

    assert (response.status_code, response["Content-Type"]) == (405, "application/problem+json")
    assert set(response["Allow"].split(", ")) == {"GET", "POST"}


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v1/nothing", "/api/v1/runs/1", "/api/v1/runs/", f"/api/v2/runs/{UUID(int=7)}"]
)
def test_a_path_that_is_not_there_is_a_problem_too(acme: Any, path: str) -> None:
    _problem(acme.client().get(path), 404, "not_found")


def test_a_path_with_a_nul_is_refused(acme: Any) -> None:
    _problem(acme.client().get("/api/v1/agents/%00"), 400, "malformed", names="NUL")


def test_a_host_that_is_not_ours_is_refused(acme: Any) -> None:
    _problem(acme.client().get(RUNS, headers={"Host": "evil.example"}), 400, "bad_request")


def test_an_error_that_nobody_expected_tells_the_caller_nothing(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr("agents.services.start_run", fail)

    response = acme.client().post(RUNS, RUN)

    _problem(response, 500, "internal_server_error")
    assert b"swordfish" not in response.content


def test_a_database_that_is_away_is_told_apart_from_a_mistake(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OperationalError("connection refused to 10.0.0.7")

    monkeypatch.setattr("governance.auth.find_principal", fail)

    response = acme.client().get(RUNS)

    _problem(response, 503, "unavailable")
    assert response["Retry-After"] == "1"
    assert b"10.0.0.7" not in response.content


def test_a_sane_request_id_is_taken_over(acme: Any) -> None:
    assert acme.client().get(RUNS, headers={"X-Request-Id": "req-1.a:b_c"})["X-Request-Id"] == "req-1.a:b_c"


@pytest.mark.parametrize("given", ["", "a b", "x" * 101, "<script>", "a\x7fb"])
def test_another_request_id_is_replaced(acme: Any, given: str) -> None:
    taken = acme.client().get(RUNS, headers={"X-Request-Id": given})["X-Request-Id"]

    assert taken != given
    assert len(taken) == 32


def test_a_refused_request_leaves_nothing_behind(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from agents.models import Agent

    acme.agent()

    def fail(**_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("agents.services.agents.promote", fail)

    response = acme.client().post("/api/v1/agents", {"slug": "half", "spec": {"instructions": "x", "model": "echo"}})

    assert response.status_code == 500
    with acme.scope():
        assert not Agent.objects.filter(slug="half").exists()
