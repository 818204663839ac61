"""Health, metrics, headers and the pages of the API's description."""

from __future__ import annotations

import re
from typing import Any

import pytest
import redis
from django.db.utils import OperationalError

from loom.errors import Unavailable
from loomsite import views


def test_a_living_process_says_so_whatever_it_lacks(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (client.get("/healthz").status_code, client.get("/healthz").content) == (200, b"ok")


def test_a_ready_process_names_what_it_needs(db: None, client: Any) -> None:
    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ready", "checks": {"database": "ok", "redis": "ok", "migrations": "ok"}},
    )


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("database", OperationalError("no route to 10.0.0.7"), "unreachable"),
        ("redis", redis.ConnectionError("no route to 10.0.0.7"), "unreachable"),
        ("migrations", Unavailable("migrations are missing"), "migrations are missing"),
    ],
)
def test_a_process_that_lacks_something_is_not_ready_and_says_what(
    db: None, client: Any, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, says: str
) -> None:
    def look() -> None:
        raise error

    monkeypatch.setitem(views.DEPENDENCIES, name, look)

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["status"] == "unavailable"
    assert answer.json()["checks"] == {"database": "ok", "redis": "ok", "migrations": "ok", name: says}


def test_missing_migrations_are_noticed(db: None, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "_migrated", False)
    monkeypatch.setattr("django.db.migrations.executor.MigrationExecutor.migration_plan", lambda *_: ["one"])

    assert "migrate" in client.get("/readyz").json()["checks"]["migrations"]


def test_metrics_count_the_runs_of_all_tenants_and_name_none(acme: Any, globex: Any, client: Any) -> None:
    def queued() -> int:
        text = client.get("/metrics").content.decode()
        assert "acme" not in text
        found = re.search(r'^loom_runs{status="queued"} (\d+)$', text, re.MULTILINE)
        assert found
        return int(found[1])

    before = queued()
    for place in (acme, globex):
        place.run(place.agent())

    assert queued() == before + 2
    assert client.get("/metrics")["Content-Type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("path", ["/healthz", "/login", "/admin/login/", "/api/v1/docs", "/api/v1/runs", "/nothing"])
def test_every_answer_tells_the_browser_what_it_may_do(db: None, client: Any, path: str) -> None:
    answer = client.get(path)

    policy = answer["Content-Security-Policy"]
    scripts = re.search(r"script-src ([^;]+)", policy)
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert scripts
    assert "unsafe-inline" not in scripts[1]
    assert ("unsafe-eval" in scripts[1]) == path.startswith("/admin/")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["X-Request-Id"]


def test_the_description_of_the_api_comes_from_here_alone(db: None, client: Any) -> None:
    page = client.get("/api/v1/docs").content.decode()

    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert loaded
    assert all(address.startswith("/static/") for address in loaded)
    assert not re.search(r"<script(?![^>]*(?:src=|application/json))", page)


def test_every_operation_describes_its_refusals_and_every_post_its_key(client: Any, db: None) -> None:
    schema = client.get("/api/v1/openapi.json").json()

    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert {"400", "401", "403", "404", "405", "409", "413", "422", "429", "503"} <= operation[
                "responses"
            ].keys()
            names = [parameter["name"] for parameter in operation["parameters"]]
            assert names.count("Idempotency-Key") == (method == "post"), path
            assert operation["security"] == [{"ApiKeyAuth": []}, {"SessionAuth": []}]


def test_a_described_answer_is_the_one_that_comes(acme: Any) -> None:
    schema = acme.client().get("/api/v1/openapi.json").json()
    acme.agent()

    run = acme.client().post("/api/v1/runs", {"agent": "assistant", "input": "x"}).json()

    assert run.keys() == schema["components"]["schemas"]["RunOut"]["properties"].keys()
