"""Two tenants never meet: every operation, page and socket is walked with the ids of the other one.

A new operation or page fails here until it is named in one of the tables below.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection
from django.urls import URLPattern, URLResolver, get_resolver
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from agents import services as agents
from agents.models import Agent, AgentVersion, Firing, Run, Schedule
from governance import services as governance
from governance import tenancy
from governance.models import ApiKey
from loomsite.api import api
from loomsite.asgi import SOCKETS

SPEC = {"model": "echo", "instructions": "be brief"}
# What each operation needs besides the ids in its path, so that nothing but the id is wrong with the request.
BODIES: dict[str, dict[str, Any]] = {
    "start_run": {"agent": "assistant", "input": "hello"},
    "create_agent": {"slug": "new", "spec": SPEC},
    "change_agent": {"name": "Other"},
    "add_agent_version": {"spec": SPEC},
    "promote_agent_version": {"version": 1},
    "create_key": {"name": "ci", "scopes": ["read"]},
    "cancel_run": {"reason": "no longer needed"},
    "retry_run": {"from_seq": 1},
    "fork_run": {"at_seq": 1, "edit": {"input": "something else"}},
    "decide_approval": {"decision": "approve", "args_hash": "0" * 64},
    "create_policy": {"name": "two-people", "needed": 2},
    "change_policy": {"needed": 3},
    "create_schedule": {"slug": "new", "agent": "assistant", "input": "hello", "cron": "0 9 * * *"},
    "change_schedule": {"name": "Other"},
}
# Operations without an id in their path: what one tenant has must not be in the other's answer.
WITHOUT_ID = {
    "list_runs", "start_run", "list_agents", "create_agent", "list_keys", "create_key", "list_approvals",
    "list_policies", "create_policy", "list_schedules", "create_schedule",
}  # fmt: skip
# Pages that anybody may ask for, whatever the method.
PUBLIC = {
    "healthz", "readyz", "metrics", "api/v1/", "api/v1/openapi.json", "api/v1/docs", "login", "logout", "admin/login/",
    "admin/logout/", "admin/jsi18n/", "admin/(?P<url>.*)$",
}  # fmt: skip

SCHEMA = api.get_openapi_schema()
OPERATIONS = [
    (method, path, operation) for path, methods in SCHEMA["paths"].items() for method, operation in methods.items()
]


def _name(value: Any) -> str | None:
    return value["operationId"] if isinstance(value, dict) else None


@pytest.fixture
def theirs(globex: Any) -> dict[str, str]:
    """The other tenant's ids, by the names they have in paths."""
    slug = globex.agent(f"secret-{uuid4().hex[:8]}")
    run = globex.run(slug, "a secret input")
    key, _ = globex.key("read")
    with globex.scope():
        version = AgentVersion.objects.get(agent__slug=slug)
        policy = governance.create_policy(tenant=globex.tenant, name="secret", by="test")
        plan = {"tenant": globex.tenant, "slug": "secret", "agent": slug, "input": "a secret", "cron": "0 9 * * *"}
        schedule = agents.create_schedule(**plan, by="test")
        agents.run_schedule_now(tenant=globex.tenant, schedule_id=schedule.pk, by="test")
    approval = globex.question(globex.run(slug), amount=7)
    rows = {"run_id": run, "key_id": key, "version_id": version, "policy_id": policy, "approval_id": approval}
    rows["schedule_id"] = schedule
    return {"slug": slug, **{name: str(row.pk) for name, row in rows.items()}}


def _random(name: str) -> str:
    return f"secret-{uuid4().hex[:8]}" if name == "slug" else str(uuid4())


def _fingerprint(place: Any) -> dict[str, Any]:
    """A hash over each table's rows of a tenant."""
    hashes = {}
    with place.scope(), connection.cursor() as cursor:
        for model in apps.get_models():
            if tenancy.is_tenant_table(model):
                table = model._meta.db_table
                cursor.execute(f'SELECT count(*), md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM "{table}" t')
                hashes[table] = cursor.fetchone()
    return hashes


@pytest.mark.parametrize(("method", "path", "operation"), [op for op in OPERATIONS if "{" in op[1]], ids=_name)
def test_an_operation_on_anothers_id_is_answered_like_one_on_no_id(
    acme: Any, globex: Any, theirs: dict[str, str], method: str, path: str, operation: dict[str, Any]
) -> None:
    client = acme.client()
    before = _fingerprint(globex)

    def ask(value_of: Callable[[str], str]) -> tuple[int, str, dict[str, str]]:
        asked = path
        ids = {name: value_of(name) for name in re.findall(r"{(\w+)}", path)}
        for name, value in ids.items():
            asked = asked.replace(f"{{{name}}}", value)
        body = (BODIES[operation["operationId"]],) if "requestBody" in operation else ()
        answer = getattr(client, method)(asked, *body, headers={"X-Request-Id": "walk"})
        text = answer.content.decode()
        for value in ids.values():
            text = text.replace(value, "ID")
        return answer.status_code, text, {k: v for k, v in answer.items() if k != "Content-Length"}

    of_theirs, of_nobody = ask(theirs.__getitem__), ask(_random)

    assert of_theirs[0] == 404
    assert of_theirs == of_nobody
    assert _fingerprint(globex) == before


@pytest.mark.parametrize(("method", "path", "operation"), [op for op in OPERATIONS if "{" not in op[1]], ids=_name)
def test_an_operation_without_an_id_shows_nothing_of_another(
    acme: Any, globex: Any, theirs: dict[str, str], method: str, path: str, operation: dict[str, Any]
) -> None:
    assert operation["operationId"] in WITHOUT_ID
    acme.agent()
    before = _fingerprint(globex)
    body = (
        (BODIES[operation["operationId"]],) if "requestBody" in operation else ({"tenant_id": str(globex.tenant.pk)},)
    )

    answer = getattr(acme.client(), method)(path, *body)

    assert answer.status_code < 300, answer.content
    assert not [value for value in [*theirs.values(), str(globex.tenant.pk)] if value.encode() in answer.content]
    assert _fingerprint(globex) == before


@pytest.mark.parametrize("filters", ["agent={slug}", "q=secret", "status=queued", "cursor="])
def test_no_filter_finds_anothers_runs(acme: Any, theirs: dict[str, str], filters: str) -> None:
    answer = acme.client().get("/api/v1/runs?" + filters.format(**theirs).removesuffix("cursor="))

    assert answer.json() == {"items": [], "next_cursor": None}


def test_anothers_cursor_shows_nothing_of_theirs(acme: Any, globex: Any, theirs: dict[str, str]) -> None:
    globex.run(theirs["slug"])
    cursor = globex.client().get("/api/v1/runs?limit=1").json()["next_cursor"]

    assert acme.client().get(f"/api/v1/runs?cursor={cursor}").json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("suffix", ["", "@1", "@production"])
def test_anothers_agent_cannot_be_started(acme: Any, theirs: dict[str, str], suffix: str) -> None:
    def start(slug: str) -> tuple[int, str]:
        answer = acme.client().post(
            "/api/v1/runs", {"agent": slug + suffix, "input": "x"}, headers={"X-Request-Id": "walk"}
        )
        return answer.status_code, answer.content.decode().replace(slug, "ID")

    assert start(theirs["slug"]) == start(_random("slug"))
    assert start(theirs["slug"])[0] == 404


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=_name)
def test_no_operation_is_there_for_everybody(
    db: None, method: str, path: str, operation: dict[str, Any], client: Any
) -> None:
    for headers in ({}, {"Authorization": "Bearer loom_0_0"}, {"X-HTTP-Method-Override": "GET"}):
        answer = getattr(client, method)(
            re.sub(r"{\w+_id}", str(uuid4()), path).replace("{slug}", "x"), headers=headers
        )

        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


# --- pages ------------------------------------------------------------------------------------------------------------


def _patterns(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, URLPattern]]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern, route)
        else:
            yield route, pattern


ROUTES = [route for route, _ in _patterns(get_resolver())]
API = [route for route in ROUTES if route.startswith("api/v1/")]
PAGES = [route for route in ROUTES if route not in PUBLIC and not route.startswith(("api/v1/", "admin/"))]


def test_every_route_of_the_api_is_in_its_description() -> None:
    described = {re.sub(r"{\w+}", "*", path).lstrip("/") for _, path, _ in OPERATIONS}

    assert {re.sub(r"<[^>]+>", "*", route) for route in API} - PUBLIC == described


@pytest.mark.parametrize("route", PAGES)
def test_a_page_without_a_login_leads_to_the_login(db: None, client: Any, route: str) -> None:
    path = "/" + re.sub(r"<\w+:(\w+)>", lambda match: _random(match[1]), route)

    answer = client.get(path)

    assert answer.status_code in (302, 405), path
    if answer.status_code == 302:
        assert answer["Location"].startswith("/login?next=")


@pytest.mark.parametrize("route", [route for route in PAGES if "<" in route])
def test_a_page_of_anothers_id_is_not_there(acme: Any, theirs: dict[str, str], route: str) -> None:
    ann = acme.member("ann")

    def ask(value_of: Callable[[str], str]) -> list[int]:
        path = "/" + re.sub(r"<\w+:(\w+)>", lambda match: value_of(match[1]), route)
        return [getattr(ann, method)(path).status_code for method in ("get", "post")]

    assert ask(theirs.__getitem__) == ask(_random)
    assert set(ask(theirs.__getitem__)) <= {404, 405}


# --- the admin --------------------------------------------------------------------------------------------------------


def _admin_pages() -> Iterator[tuple[str, Any]]:
    for model, model_admin in admin.site._registry.items():
        if tenancy.is_tenant_table(model):
            yield f"{model._meta.app_label}/{model._meta.model_name}", model_admin


def _rows_of(place: Any, model: Any) -> list[str]:
    with place.scope():
        return [str(pk) for pk in model._base_manager.values_list("pk", flat=True)]


ADMIN = [pytest.param(page, model_admin.model, id=page) for page, model_admin in _admin_pages()]


@pytest.mark.parametrize(("page", "model"), ADMIN)
def test_the_admin_lists_the_members_own_rows_only(
    acme: Any, globex: Any, theirs: dict[str, str], page: str, model: Any
) -> None:
    acme.run(acme.agent())
    acme.client().post("/api/v1/schedules", BODIES["create_schedule"])
    acme.client().post("/api/v1/policies", BODIES["create_policy"])
    acme.question(acme.run())
    ann = acme.member("ann")

    shown = ann.get(f"/admin/{page}/").content.decode()

    assert ann.get(f"/admin/{page}/").status_code == 200
    assert [pk for pk in _rows_of(acme, model) if f"/admin/{page}/{quote(pk)}/change/" in shown]
    assert not [pk for pk in _rows_of(globex, model) if f"/admin/{page}/{quote(pk)}/" in shown]
    assert "secret" not in shown


@pytest.mark.parametrize("what", ["change", "history", "delete"])
@pytest.mark.parametrize(("page", "model"), ADMIN)
def test_the_admin_has_no_page_for_anothers_row(
    acme: Any, globex: Any, theirs: dict[str, str], page: str, model: Any, what: str
) -> None:
    ann = acme.member("ann")

    def ask(pk: Any) -> tuple[int, str | None]:
        answer = ann.get(f"/admin/{page}/{pk}/{what}/")
        return answer.status_code, answer.get("Location")

    (their, *_), nobody = _rows_of(globex, model), uuid4() if model._meta.pk.get_internal_type() == "UUIDField" else 0

    assert ask(their) == ask(nobody)
    assert ask(their)[0] in (302, 403)


@pytest.mark.parametrize(
    ("page", "action", "model"),
    [
        (page, action, model_admin.model)
        for page, model_admin in _admin_pages()
        for action in (model_admin.actions or ())
    ],
)
def test_no_action_of_the_admin_reaches_anothers_row(
    acme: Any, globex: Any, theirs: dict[str, str], page: str, action: str, model: Any
) -> None:
    before = _fingerprint(globex)

    answer = acme.member("ann").post(
        f"/admin/{page}/",
        f"action={action}&_selected_action={_rows_of(globex, model)[0]}",
        content_type="application/x-www-form-urlencoded",
    )

    assert answer.status_code in (200, 302)
    assert _fingerprint(globex) == before


def test_a_superuser_without_a_place_sees_no_tenants_rows(
    acme: Any, theirs: dict[str, str], django_user_model: Any, client: Any
) -> None:
    acme.run(acme.agent())
    client.force_login(django_user_model.objects.create_superuser("root"))

    for page, model_admin in _admin_pages():
        answer = client.get(f"/admin/{page}/")

        assert answer.status_code == 200
        assert not re.search(rf"/admin/{page}/[^/]+/change/", answer.content.decode()), model_admin
    assert acme.tenant.slug in client.get("/admin/governance/tenant/").content.decode()


def test_a_member_sees_the_names_of_their_own_tenants_only(acme: Any, globex: Any) -> None:
    shown = acme.member("ann").get("/admin/governance/tenant/").content.decode()

    assert acme.tenant.slug in shown
    assert globex.tenant.slug not in shown
    assert acme.member("ann").get("/admin/governance/user/").status_code == 403


def test_a_session_cannot_be_turned_to_anothers_tenant(acme: Any, globex: Any, theirs: dict[str, str]) -> None:
    ann = acme.member("ann")
    session = ann.session
    session["loom_tenant"] = str(globex.tenant.pk)
    session.save()

    assert ann.get("/api/v1/runs").json()["items"] == []
    assert ann.get(f"/api/v1/runs/{theirs['run_id']}").status_code == 404


# --- sockets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", [route for route in SOCKETS if "<" in route])
def test_a_socket_on_anothers_id_is_closed_like_one_on_no_id(
    acme: Any, globex: Any, theirs: dict[str, str], committed_db: None, web: str, route: str
) -> None:
    def ask(value_of: Callable[[str], str]) -> tuple[int, list[str | bytes]]:
        path = re.sub(r"<\w+:(\w+)>", lambda match: value_of(match[1]), route)
        with connect(f"ws://{web}/{path}", additional_headers={"Authorization": f"Bearer {acme.token}"}) as socket:
            frames: list[str | bytes] = []
            with pytest.raises(ConnectionClosedError) as closed:
                frames.extend(socket)
            assert closed.value.rcvd is not None
            return closed.value.rcvd.code, frames

    assert ask(theirs.__getitem__) == ask(_random) == (4404, [])


def test_the_walk_knows_rows_of_every_kind(theirs: dict[str, str], globex: Any) -> None:
    with globex.scope():
        assert all(model.objects.exists() for model in (Agent, AgentVersion, Run, ApiKey, Schedule, Firing))
