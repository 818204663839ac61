"""Keys over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.utils import timezone

from governance import auth

KEYS = "/api/v1/keys"


def test_a_key_works_from_its_making_to_its_revocation(acme: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(auth, "_CACHE_SECONDS", 0.0)
    made = acme.client().post(KEYS, {"name": " ci ", "scopes": ["run", "read", "read"]}).json()
    client = acme.client(made["token"])

    before = client.get("/api/v1/runs").status_code
    revoked = acme.client().delete(f"{KEYS}/{made['id']}")
    again = acme.client().delete(f"{KEYS}/{made['id']}")

    assert (made["name"], made["scopes"], before) == ("ci", ["read", "run"], 200)
    assert (revoked.status_code, again.status_code) == (204, 204)
    assert client.get("/api/v1/runs").status_code == 401


def test_a_token_is_shown_once(acme: Any) -> None:
    made = acme.client().post(KEYS, {"name": "ci", "scopes": ["read"]}).json()

    shown = [acme.client().get(KEYS).content, acme.client().get(f"{KEYS}/{made['id']}").content]

    secret = made["token"].split("_", 2)[2]
    assert not any(secret.encode() in content for content in shown)
    assert made["prefix"].encode() in shown[1]


def test_a_key_ends_when_it_should(acme: Any) -> None:
    past, future = timezone.now() - timedelta(hours=1), timezone.now() + timedelta(hours=1)

    tokens = [
        acme.client().post(KEYS, {"name": "x", "scopes": ["read"], "expires_at": when.isoformat()}).json()["token"]
        for when in (past, future)
    ]

    assert [acme.client(token).get("/api/v1/runs").status_code for token in tokens] == [401, 200]


def test_a_key_that_is_not_there_is_not_found(acme: Any) -> None:
    assert acme.client().get(f"{KEYS}/{uuid4()}").status_code == 404
    assert acme.client().delete(f"{KEYS}/{uuid4()}").status_code == 404


def test_a_key_says_when_it_was_used(acme: Any) -> None:
    acme.client().get("/api/v1/runs")

    assert acme.client().get(KEYS).json()["items"][0]["last_used_at"] is not None
