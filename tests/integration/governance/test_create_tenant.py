"""The command that makes the first tenant of a deployment."""

from __future__ import annotations

import json
import secrets
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from governance.models import Tenant, User


@pytest.fixture
def slug(db: None) -> str:
    return f"umbrella-{secrets.token_hex(4)}"


def _create(slug: str, **options: Any) -> dict[str, Any]:
    out = StringIO()
    call_command("create_tenant", slug, json=True, stdout=out, **options)
    return dict(json.loads(out.getvalue()))


def test_a_new_owner_can_sign_in_and_the_key_speaks_for_the_tenant(slug: str) -> None:
    made = _create(slug, owner=f"dana-{slug}")

    client = Client()
    assert client.login(username=made["owner"], password=made["password"])
    assert client.get("/").status_code == 200
    headers = {"Authorization": f"Bearer {made['api_key']}"}
    assert Client(headers=headers).get("/api/v1/keys").status_code == 200


def test_who_is_known_already_keeps_their_password(slug: str) -> None:
    known = User.objects.create_user(f"dana-{slug}", password="a-long-enough-one")

    assert _create(slug, owner=known.username)["password"] is None

    assert User.objects.get(pk=known.pk).check_password("a-long-enough-one")


def test_a_slug_that_is_taken_or_none_is_refused_and_leaves_nothing(slug: str) -> None:
    _create(slug, owner=f"dana-{slug}")

    with pytest.raises(CommandError, match="there is a tenant"):
        _create(slug, owner=f"erin-{slug}")
    with pytest.raises(CommandError, match="is no slug"):
        _create("no slug", owner=f"erin-{slug}")

    assert Tenant.objects.filter(slug=slug).count() == 1
    assert not User.objects.filter(username=f"erin-{slug}").exists()
