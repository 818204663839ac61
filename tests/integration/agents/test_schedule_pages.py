"""The console's page of schedules, and the admin's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from agents.models import Run, Schedule

PAGE = "/schedules/"
FORM = {
    "name": "Daily Report", "agent": "assistant", "cron": "30 2 * * *", "time_zone": "Europe/Berlin",
    "input": "<b>write</b>", "missed": "once",
}  # fmt: skip


def _post(client: Any, path: str, **said: str) -> Any:
    return Client.post(client, path, said)


@pytest.fixture
def ann(acme: Any) -> Any:
    acme.agent()
    return acme.member("ann")


def _made(place: Any, ann: Any, **more: str) -> Schedule:
    assert _post(ann, f"{PAGE}new", **{**FORM, **more}).status_code == 302
    with place.scope():
        schedule: Schedule = Schedule.objects.get()
    return schedule


def test_a_schedule_is_made_by_a_form_and_shown_with_five_times_in_its_zone(acme: Any, ann: Any) -> None:
    schedule = _made(acme, ann)

    page = ann.get(PAGE).content.decode()

    assert (schedule.slug, schedule.missed, schedule.input) == ("daily-report", "once", "<b>write</b>")
    assert page.count("02:30 CE") + page.count("03:00 CE") == 5
    assert "&lt;b&gt;write&lt;/b&gt;" in page


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"cron": "0 0 31 2 *"}, "makes no sense"),
        ({"cron": "hourly"}, "not of five fields"),
        ({"time_zone": "Atlantis"}, "unknown time zone"),
        ({"agent": "nobody"}, "Select a valid choice"),
        ({"input": "{"}, "begins like a JSON object"),
        ({"name": ""}, "required"),
    ],
)
def test_a_form_that_makes_no_sense_comes_back_with_its_reason(
    acme: Any, ann: Any, wrong: dict[str, str], says: str
) -> None:
    answer = _post(ann, f"{PAGE}new", **{**FORM, **wrong})

    assert answer.status_code == 422
    assert says in answer.content.decode()
    with acme.scope():
        assert not Schedule.objects.exists()


def test_a_schedule_is_paused_resumed_run_and_deleted_on_the_page(acme: Any, ann: Any) -> None:
    path = f"{PAGE}{_made(acme, ann).pk}"

    _post(ann, path, do="pause")
    assert "Paused" in ann.get(PAGE).content.decode()
    _post(ann, path, do="resume")
    assert "Paused" not in ann.get(PAGE).content.decode()
    started = _post(ann, path, do="run")
    assert started["Location"] in ann.get(PAGE).content.decode()
    _post(ann, path, do="delete")

    assert "Nothing is scheduled" in ann.get(PAGE).content.decode()
    with acme.scope():
        assert Run.objects.count() == 1


def test_a_viewer_sees_schedules_and_changes_none(acme: Any, ann: Any) -> None:
    schedule, ben = _made(acme, ann), acme.member("ben")

    page = ben.get(PAGE).content.decode()
    answers = [_post(ben, f"{PAGE}{schedule.pk}", do="delete"), _post(ben, f"{PAGE}new", **FORM)]

    assert "Daily Report" in page
    assert "<form method=\"post\" action=\"/schedules/" not in page  # fmt: skip
    assert [answer.status_code for answer in answers] == [403, 403]
    with acme.scope():
        assert Schedule.objects.count() == 1


def test_the_page_takes_the_same_number_of_statements_however_long_it_is(
    acme: Any, ann: Any, statements: Callable[[Callable[[], Any]], Any]
) -> None:
    def grow(*names: str) -> None:
        for name in names:
            _post(ann, f"{PAGE}new", **{**FORM, "name": name})

    grow("a", "b")
    ann.get(PAGE)
    few = len(statements(lambda: ann.get(PAGE)))
    grow(*"cdefgh")

    assert len(statements(lambda: ann.get(PAGE))) == few


def test_the_admin_shows_a_schedule_and_pauses_it(acme: Any, ann: Any) -> None:
    schedule = _made(acme, ann)

    page = ann.get(f"/admin/agents/schedule/{schedule.pk}/change/").content.decode()
    _post(ann, "/admin/agents/schedule/", action="pause", _selected_action=str(schedule.pk))

    assert "&lt;b&gt;write&lt;/b&gt;" in page
    with acme.scope():
        assert Schedule.objects.get().enabled is False


def test_the_limits_of_an_agent_are_set_in_the_admin(acme: Any, ann: Any) -> None:
    from agents.models import Agent

    with acme.scope():
        path = f"/admin/agents/agent/{Agent.objects.get().pk}/change/"
    inlines = {f"{name}-{count}": "0" for name in ("labels", "versions") for count in ("TOTAL_FORMS", "INITIAL_FORMS")}

    answer = _post(ann, path, name="Assistant", description="", max_running="3", retention_days="", **inlines)
    refused = _post(ann, path, name="Assistant", description="", max_running="0", retention_days="", **inlines)

    assert (answer.status_code, refused.status_code) == (302, 200)
    with acme.scope():
        agent = Agent.objects.get()
    assert (agent.max_running, agent.retention_days, agent.name) == (3, None, "Assistant")


def test_the_limits_of_a_tenant_are_set_in_the_admin_by_superusers_only(acme: Any, ann: Any) -> None:
    path = f"/admin/governance/tenant/{acme.tenant.pk}/change/"
    said = {"name": "Acme", "max_running": "7", "retention_days": "30"}

    by_an_owner = _post(ann, path, **said)
    acme.people["ann"].is_superuser = True
    acme.people["ann"].save()
    by_a_superuser = _post(ann, path, **said)

    acme.tenant.refresh_from_db()
    assert (by_an_owner.status_code, by_a_superuser.status_code) == (403, 302)
    assert (acme.tenant.max_running, acme.tenant.retention_days) == (7, 30)
