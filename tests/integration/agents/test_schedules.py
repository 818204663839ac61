"""Schedules: over the API, and as they fire."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, connections, transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from agents import services
from agents.models import Firing, Run, Schedule
from agents.services import schedules
from audit.models import Entry

SCHEDULES = "/api/v1/schedules"
HOURLY = {"slug": "report", "agent": "assistant", "input": "write the report", "cron": "0 * * * *"}
FIELDS = {
    "id", "slug", "name", "agent", "input", "user_id", "session_id", "cron", "time_zone", "missed", "enabled",
    "next_fire_times", "last_fired_at", "last_run_id", "last_error", "created_at", "created_by",
    "changed_by",
}  # fmt: skip


def _json(response: Any, status: int = 200) -> Any:
    assert response.status_code == status, response.content
    return response.json() if response.content else None


def _made(place: Any, **more: Any) -> dict[str, Any]:
    place.agent()
    return dict(_json(place.client().post(SCHEDULES, {**HOURLY, **more}), 201))


def _down_since(place: Any, schedule: dict[str, Any], since: datetime) -> None:
    """Nothing has fired since then."""
    with place.scope():
        Schedule.objects.filter(pk=schedule["id"]).update(next_at=since)


def _fire(place: Any, schedule: dict[str, Any], now: datetime) -> int:
    with place.scope():
        return schedules.fire_schedule(UUID(schedule["id"]), now=now)


def _fired(place: Any) -> list[datetime]:
    with place.scope():
        assert Firing.objects.count() == Run.objects.count()
        return list(Firing.objects.order_by("fire_at").values_list("fire_at", flat=True))


def _audited(place: Any, subject: str = "schedule:report") -> list[tuple[str, str]]:
    with place.scope():
        return list(Entry.objects.filter(subject=subject).order_by("id").values_list("action", "actor"))


def _all_of(place: Any) -> list[Any]:
    with place.scope():
        return [*Schedule.objects.order_by("id").values(), *Run.objects.order_by("id").values(), *_audited(place)]


# --- over the API -----------------------------------------------------------------------------------------------------


def test_a_schedule_shows_when_it_fires_next(acme: Any) -> None:
    schedule = _made(acme, time_zone="Asia/Kolkata", user_id="u1")

    assert schedule.keys() == FIELDS
    assert (schedule["missed"], schedule["enabled"], schedule["user_id"]) == ("skip", True, "u1")
    times = [parse_datetime(time) for time in schedule["next_fire_times"]]
    assert [later - earlier for earlier, later in pairwise(times)] == [timedelta(hours=1)] * 4
    assert times[0] - timedelta(hours=1) <= timezone.now() < times[0]
    assert all(time.minute == 30 for time in times)  # a full hour there
    assert _json(acme.client().get(f"{SCHEDULES}/{schedule['id']}")) == schedule


def test_a_schedule_is_changed_paused_resumed_and_deleted(acme: Any) -> None:
    client, path = acme.client(), f"{SCHEDULES}/{_made(acme, user_id='u1')['id']}"

    daily = _json(client.patch(path, {"cron": "30 2 * * *", "time_zone": "Europe/Berlin", "user_id": None}))
    paused = _json(client.patch(path, {"enabled": False}))
    resumed = _json(client.patch(path, {"enabled": True}))
    deleted = client.delete(path)

    assert (daily["cron"], daily["user_id"], daily["slug"]) == ("30 2 * * *", None, "report")
    assert (paused["enabled"], paused["next_fire_times"]) == (False, [])
    assert resumed == daily
    assert (deleted.status_code, client.get(path).status_code) == (204, 404)
    actions = ["created", "changed", "changed", "changed", "deleted"]
    assert [action for action, _ in _audited(acme)] == [f"schedule.{action}" for action in actions]


def test_the_audit_log_does_not_repeat_what_a_schedule_says(acme: Any) -> None:
    schedule = _made(acme)

    acme.client().patch(f"{SCHEDULES}/{schedule['id']}", {"input": "a secret", "user_id": "ann@example.com"})

    with acme.scope():
        entry = Entry.objects.filter(action="schedule.changed").get()
    assert entry.payload == {"fields": ["input", "user_id"]}


def test_a_schedule_is_run_now_paused_or_not(acme: Any) -> None:
    schedule = _made(acme, enabled=False, input={"a": 1}, user_id="u1", session_id="s1")

    run = _json(acme.client().post(f"{SCHEDULES}/{schedule['id']}/run"), 202)

    assert (run["status"], run["input"], run["user_id"], run["session_id"]) == ("queued", {"a": 1}, "u1", "s1")
    after = _json(acme.client().get(f"{SCHEDULES}/{schedule['id']}"))
    assert (after["last_run_id"], after["next_fire_times"]) == (run["id"], [])


def test_deleting_a_schedule_leaves_its_runs(acme: Any) -> None:
    schedule = _made(acme)
    run = _json(acme.client().post(f"{SCHEDULES}/{schedule['id']}/run"), 202)

    acme.client().delete(f"{SCHEDULES}/{schedule['id']}")

    assert _json(acme.client().get(f"/api/v1/runs/{run['id']}"))["status"] == "queued"


BAD = [
    ({"cron": "0 0 31 2 *"}, "/cron"),
    ({"cron": "* * */20 * 1L"}, "/cron"),
    ({"cron": ""}, "/cron"),
    ({"cron": "@daily"}, "/cron"),
    ({"cron": "* * * * * *"}, "/cron"),
    ({"cron": "61 * * * *"}, "/cron"),
    ({"cron": "x" * 201}, "/cron"),
    ({"cron": None}, "/cron"),
    ({"cron": 5}, "/cron"),
    ({"time_zone": "Europe/Atlantis"}, "/time_zone"),
    ({"time_zone": "../../etc/passwd"}, "/time_zone"),
    ({"time_zone": None}, "/time_zone"),
    ({"agent": "nobody"}, "/agent"),
    ({"agent": "assistant@7"}, "/agent"),
    ({"agent": "assistant@nowhere"}, "/agent"),
    ({"agent": "no such"}, "/agent"),
    ({"agent": None}, "/agent"),
    ({"missed": "sometimes"}, "/missed"),
    ({"missed": None}, "/missed"),
    ({"enabled": None}, "/enabled"),
    ({"input": 7}, "/input"),
    ({"input": None}, "/input"),
    ({"user_id": ""}, "/user_id"),
    ({"tenant_id": str(UUID(int=7))}, "/tenant_id"),
    ({"next_at": "2026-01-01T00:00:00Z"}, "/next_at"),
]


@pytest.mark.parametrize(("wrong", "pointer"), BAD, ids=str)
@pytest.mark.parametrize("method", ["post", "patch"])
def test_what_makes_no_sense_is_refused_with_its_place_and_changes_nothing(
    acme: Any, method: str, wrong: dict[str, Any], pointer: str
) -> None:
    schedule = _made(acme)
    before = _all_of(acme)

    if method == "post":
        answer = acme.client().post(SCHEDULES, {**HOURLY, "slug": "other", **wrong})
    else:
        answer = acme.client().patch(f"{SCHEDULES}/{schedule['id']}", wrong)

    assert (answer.status_code, answer["Content-Type"]) == (422, "application/problem+json")
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert _all_of(acme) == before


def test_a_slug_that_is_taken_is_a_conflict_and_another_tenants_is_not_taken(acme: Any, globex: Any) -> None:
    _made(globex)
    _made(acme)

    assert acme.client().post(SCHEDULES, HOURLY).status_code == 409


def test_the_agent_of_another_tenant_is_an_unknown_one(acme: Any, globex: Any) -> None:
    globex.agent("theirs")
    acme.agent()

    answer = acme.client().post(SCHEDULES, {**HOURLY, "agent": "theirs"})

    assert (answer.status_code, answer.json()["detail"]) == (422, "no agent 'theirs'")


def test_a_list_goes_by_slug_and_takes_the_same_number_of_statements_however_long_it_is(
    acme: Any, statements: Callable[[Callable[[], Any]], Any]
) -> None:
    client = acme.client()
    _made(acme, slug="b")

    def look() -> Any:
        return _json(client.get(SCHEDULES))["items"]

    look()
    few = len(statements(look))
    for slug in "dace":
        schedule = _json(client.post(SCHEDULES, {**HOURLY, "slug": slug}), 201)
        client.post(f"{SCHEDULES}/{schedule['id']}/run")

    assert [schedule["slug"] for schedule in look()] == ["a", "b", "c", "d", "e"]
    assert len(statements(look)) == few


# --- as they fire -----------------------------------------------------------------------------------------------------


def test_a_schedule_fires_at_its_time_and_then_waits_for_the_next(acme: Any) -> None:
    schedule = _made(acme, user_id="u1", session_id="s1")
    time = parse_datetime(schedule["next_fire_times"][0])

    assert [_fire(acme, schedule, time + timedelta(seconds=s)) for s in (-1, 1, 2)] == [0, 1, 0]

    after = _json(acme.client().get(f"{SCHEDULES}/{schedule['id']}"))
    [run] = _json(acme.client().get("/api/v1/runs"))["items"]
    assert (after["last_run_id"], after["last_fired_at"]) == (run["id"], schedule["next_fire_times"][0])
    assert after["next_fire_times"][0] == schedule["next_fire_times"][1]
    assert (run["input"], run["user_id"], run["session_id"]) == ("write the report", "u1", "s1")
    assert _audited(acme, f"run:{run['id']}") == [("run.started", "schedule:report")]


@pytest.mark.parametrize(("missed", "fired"), [("skip", []), ("once", ["12:00"]), ("all", ["10:00", "11:00", "12:00"])])
def test_after_a_downtime_its_policy_says_what_is_made_up_for(acme: Any, missed: str, fired: list[str]) -> None:
    schedule = _made(acme, missed=missed)
    _down_since(acme, schedule, datetime(2027, 5, 1, 10, tzinfo=UTC))

    _fire(acme, schedule, datetime(2027, 5, 1, 12, 30, tzinfo=UTC))

    assert [time.strftime("%H:%M") for time in _fired(acme)] == fired
    shown = _json(acme.client().get(f"{SCHEDULES}/{schedule['id']}"))
    assert shown["next_fire_times"][0] == "2027-05-01T13:00:00Z"


@pytest.mark.parametrize(
    ("day", "fires"), [(datetime(2027, 3, 28), "01:00"), (datetime(2027, 10, 31), "00:30")], ids=["forward", "back"]
)
def test_a_schedule_of_half_past_two_fires_once_on_the_day_when_clocks_change(
    acme: Any, day: datetime, fires: str
) -> None:
    schedule = _made(acme, cron="30 2 * * *", time_zone="Europe/Berlin")
    start = day.replace(tzinfo=UTC) - timedelta(hours=2)
    _down_since(acme, schedule, datetime.fromisoformat(f"{day.date()}T{fires}:00+00:00"))

    for minutes in range(0, 20 * 60, 10):
        _fire(acme, schedule, start + timedelta(minutes=minutes))

    assert [time.strftime("%H:%M") for time in _fired(acme)] == [fires]
    with acme.scope():
        following = Schedule.objects.get().next_at.astimezone(ZoneInfo("Europe/Berlin"))
    assert following.replace(tzinfo=None) == day + timedelta(days=1, hours=2, minutes=30)


def test_who_changed_a_schedule_last_counts_as_the_starter_of_its_runs(acme: Any) -> None:
    schedule = _made(acme)
    changed = _json(acme.member("ann").patch(f"{SCHEDULES}/{schedule['id']}", {"input": "pay everybody"}))

    _fire(acme, schedule, parse_datetime(schedule["next_fire_times"][0]))

    assert changed["changed_by"] == f"user:{acme.people['ann'].username}"
    with acme.scope():
        assert Run.objects.get().started_by == changed["changed_by"]


def test_a_fire_time_that_a_clock_comes_to_again_starts_nothing(acme: Any) -> None:
    schedule = _made(acme)
    time = parse_datetime(schedule["next_fire_times"][0])
    _fire(acme, schedule, time)
    _down_since(acme, schedule, time)

    assert _fire(acme, schedule, time) == 0
    assert _fired(acme) == [time]


def test_the_database_refuses_a_second_run_for_one_fire_time(acme: Any) -> None:
    schedule = _made(acme)
    _fire(acme, schedule, parse_datetime(schedule["next_fire_times"][0]))

    with acme.scope():
        firing = Firing.objects.get()
        with pytest.raises(IntegrityError), transaction.atomic():
            Firing.objects.create(tenant=acme.tenant, schedule=firing.schedule, fire_at=firing.fire_at, run=firing.run)


def test_schedulers_at_the_same_time_start_one_run_for_each_fire_time(
    acme: Any, globex: Any, committed_db: None
) -> None:
    this_minute = timezone.now().replace(second=0, microsecond=0)
    for place in (acme, globex):
        place.agent()
        for number in range(5):
            body = {**HOURLY, "slug": f"s{number}", "cron": "* * * * *", "missed": "once"}
            _down_since(place, _json(place.client().post(SCHEDULES, body), 201), this_minute)

    def fire(_: int) -> int:
        try:
            return sum(services.fire_due_schedules() for _ in range(3))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        fired = sum(pool.map(fire, range(6)))

    for place in (acme, globex):
        with place.scope():
            Schedule.objects.update(enabled=False, next_at=None)
            times = list(Firing.objects.values_list("schedule", "fire_at"))
            assert Run.objects.count() == len(times) == len(set(times)) >= 5
    assert fired >= 10


def test_a_paused_schedule_does_not_fire_and_owes_nothing_when_it_is_resumed(acme: Any) -> None:
    schedule = _made(acme, missed="all")
    path = f"{SCHEDULES}/{schedule['id']}"
    acme.client().patch(path, {"enabled": False})

    assert _fire(acme, schedule, timezone.now() + timedelta(days=2)) == 0
    acme.client().patch(path, {"enabled": True})

    services.tick()
    assert _fired(acme) == []


def test_a_schedule_whose_agent_is_gone_says_so_and_holds_up_no_other(acme: Any) -> None:
    gone, other = _made(acme), None
    acme.agent("clerk")
    other = _json(acme.client().post(SCHEDULES, {**HOURLY, "slug": "other", "agent": "clerk"}), 201)
    acme.client().delete("/api/v1/agents/assistant")
    for schedule in (gone, other):
        _down_since(acme, schedule, timezone.now().replace(minute=0, second=0) - timedelta(hours=5))
        acme.client().patch(f"{SCHEDULES}/{schedule['id']}", {"missed": "once"})

    services.tick()

    gone, other = (_json(acme.client().get(f"{SCHEDULES}/{schedule['id']}")) for schedule in (gone, other))
    assert (gone["last_error"], gone["last_run_id"]) == ("no agent 'assistant'", None)
    assert parse_datetime(gone["next_fire_times"][0]) > timezone.now()
    assert (other["last_error"], other["last_run_id"] is None) == (None, False)
    assert ("schedule.failed", "schedule:report") in _audited(acme)
    assert acme.client().post(f"{SCHEDULES}/{gone['id']}/run").status_code == 409


def test_a_schedule_takes_the_version_that_its_label_is_on_when_it_fires(acme: Any) -> None:
    schedule = _made(acme)
    acme.client().post("/api/v1/agents/assistant/versions", {"spec": {"model": "echo", "instructions": "two"}})
    acme.client().post("/api/v1/agents/assistant/promote", {"version": 2})

    run = _json(acme.client().post(f"{SCHEDULES}/{schedule['id']}/run"), 202)

    assert run["agent_version"] == 2
