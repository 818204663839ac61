"""What operators do in the admin: people and keys."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from audit.models import Entry
from governance.models import ApiKey, Membership, Tenant

ADMIN = "/admin/governance"


def _form(client: Any, path: str, **fields: Any) -> Any:
    return Client.post(client, path, fields, follow=True)


def _actions(place: Any) -> list[str]:
    with place.scope():
        return list(Entry.objects.order_by("id").values_list("action", flat=True))


def test_a_new_key_shows_its_token_once_and_works(acme: Any) -> None:
    ann = acme.member("ann")

    page = _form(ann, f"{ADMIN}/apikey/add/", name="ci", scopes=["read"]).content.decode()

    token = re.search(r"loom_\w{10}_[\w-]+", page)
    assert token
    assert acme.client(token[0]).get("/api/v1/runs").status_code == 200
    assert token[0] not in ann.get(f"{ADMIN}/apikey/").content.decode()
    assert _actions(acme).count("key.created") == 2  # with the fixture's


def test_keys_are_revoked_by_an_action(acme: Any) -> None:
    key, token = acme.key("read")

    _form(acme.member("ann"), f"{ADMIN}/apikey/", action="revoke", _selected_action=str(key.pk))

    assert acme.client(token).get("/api/v1/runs").status_code == 401
    assert _actions(acme)[-1] == "key.revoked"


@pytest.mark.parametrize("path", ["apikey/add/", "membership/add/", "tenant/add/", "user/", "user/add/"])
def test_a_viewer_cannot_make_keys_or_members(acme: Any, path: str) -> None:
    assert acme.member("ben").get(f"{ADMIN}/{path}").status_code == 403


def test_a_viewer_cannot_revoke_keys(acme: Any) -> None:
    key, _ = acme.key("read")

    _form(acme.member("ben"), f"{ADMIN}/apikey/", action="revoke", _selected_action=str(key.pk))

    with acme.scope():
        assert ApiKey.objects.get(pk=key.pk).revoked_at is None


def test_a_person_is_made_a_member_by_name(acme: Any, globex: Any) -> None:
    cem = globex.people["cem"]

    _form(acme.member("ann"), f"{ADMIN}/membership/add/", username=cem.username, role="viewer")

    with acme.scope():
        assert Membership.objects.get(user=cem).role == "viewer"


def test_a_name_that_nobody_has_is_refused_and_no_names_are_offered(acme: Any, globex: Any) -> None:
    page = _form(acme.member("ann"), f"{ADMIN}/membership/add/", username="nobody", role="viewer").content.decode()

    assert "there is nobody called" in page
    assert globex.people["cem"].username not in page


def test_the_last_owner_stays(acme: Any) -> None:
    with acme.scope():
        ann, ben = Membership.objects.order_by("id")

    page = _form(
        acme.member("ann"), f"{ADMIN}/membership/", action="remove", _selected_action=[str(ben.pk), str(ann.pk)]
    )

    assert "at least one owner" in page.content.decode()
    with acme.scope():
        assert list(Membership.objects.all()) == [ann]


def test_a_superuser_makes_tenants(db: None, django_user_model: Any, client: Any) -> None:
    client.force_login(django_user_model.objects.create_superuser("root"))

    first, second = (_form(client, f"{ADMIN}/tenant/add/", name="Initech", slug="initech") for _ in range(2))

    assert Tenant.objects.filter(slug="initech").count() == 1
    assert (first.status_code, second.status_code) == (200, 200)
    assert "already" in second.content.decode()


def test_a_member_turns_to_another_of_their_tenants(acme: Any, globex: Any) -> None:
    from governance import services

    globex.run(globex.agent())
    with globex.scope():
        services.add_member(tenant=globex.tenant, user=acme.people["ann"], role="viewer", by="test")
    ann = acme.member("ann")

    before = ann.get("/api/v1/runs").json()["items"]
    _form(ann, f"{ADMIN}/tenant/", action="look_at", _selected_action=str(globex.tenant.pk))

    assert (before, len(ann.get("/api/v1/runs").json()["items"])) == ([], 1)


def test_the_password_of_nobody_is_shown(db: None, django_user_model: Any, client: Any) -> None:
    root = django_user_model.objects.create_superuser("root", password="swordfish-1234")
    client.force_login(root)

    page = client.get(f"{ADMIN}/user/{root.pk}/change/").content.decode()

    assert root.password.rsplit("$", 1)[1] not in page
