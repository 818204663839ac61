"""Old runs are deleted, and only those."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from agents import services
from agents.models import AgentVersion, Firing, Run, RunEvent
from agents.services import retention
from audit.models import Entry
from governance import services as governance


def _old(place: Any, days: float, agent: str = "assistant", status: str = "succeeded", **columns: Any) -> Run:
    """A run of so many days ago, with an event."""
    when = timezone.now() - timedelta(days=days)
    pk = UUID(int=(int(when.timestamp() * 1000) << 80) | (uuid4().int & (1 << 76) - 1) | (7 << 76), is_safe=None)
    over = status in ("succeeded", "failed", "cancelled")
    with place.scope():
        version = AgentVersion.objects.get(agent__slug=agent)
        run: Run = Run.objects.create(
            pk=pk, tenant=place.tenant, version=version, session_id="s", input="x", trace_id="t", status=status,
            created_at=when, finished_at=when if over else None, last_seq=1, **columns,
        )  # fmt: skip
        RunEvent.objects.create(tenant=place.tenant, run=run, seq=1, kind="run.started", data={})
    return run


def _left(place: Any) -> set[UUID]:
    with place.scope():
        runs = set(Run.objects.values_list("pk", flat=True))
        assert set(RunEvent.objects.values_list("run_id", flat=True)) == runs
        return runs


def _keep(place: Any, days: int | None, agent: str | None = None) -> None:
    if agent is None:
        governance.change_tenant(tenant_id=place.tenant.pk, retention_days=days, by="test")
        place.tenant.refresh_from_db()
    else:
        with place.scope():
            services.change_agent(tenant=place.tenant, slug=agent, retention_days=days, by="test")


def test_without_a_word_everything_is_kept_for_ever(acme: Any) -> None:
    acme.agent()
    run = _old(acme, 5000)

    services.delete_old_runs()

    assert _left(acme) == {run.pk}


def test_runs_that_ended_before_the_tenants_days_go_with_their_events(acme: Any, globex: Any) -> None:
    for place in (acme, globex):
        place.agent()
    _keep(acme, 30)
    for status in ("succeeded", "failed", "cancelled"):
        _old(acme, 31, status=status)
    young, theirs = _old(acme, 29), _old(globex, 31)

    services.delete_old_runs()

    assert (_left(acme), _left(globex)) == ({young.pk}, {theirs.pk})


def test_what_an_agent_says_goes_before_what_its_tenant_says(acme: Any) -> None:
    acme.agent("brief")
    acme.agent("long")
    acme.agent("other")
    _keep(acme, 30)
    _keep(acme, 1, "brief")
    _keep(acme, 365, "long")
    _old(acme, 2, "brief")
    _old(acme, 40, "other")
    kept = {_old(acme, 40, "long").pk, _old(acme, 2, "other").pk}

    services.delete_old_runs()

    assert _left(acme) == kept


def test_an_agents_word_counts_where_the_tenant_has_none(acme: Any) -> None:
    acme.agent("brief")
    acme.agent("other")
    _keep(acme, 1, "brief")
    _old(acme, 2, "brief")
    kept = _old(acme, 500, "other")

    services.delete_old_runs()

    assert _left(acme) == {kept.pk}


@pytest.mark.parametrize("status", ["queued", "running", "waiting", "cancelling"])
def test_a_run_that_is_not_over_stays_and_so_does_the_one_it_was_forked_from(acme: Any, status: str) -> None:
    acme.agent()
    _keep(acme, 1)
    parent = _old(acme, 20)
    child = _old(acme, 10, status=status, parent=parent)

    services.delete_old_runs()

    assert _left(acme) == {parent.pk, child.pk}


def test_a_fork_that_is_younger_outlives_the_run_it_was_forked_from(acme: Any) -> None:
    acme.agent()
    _keep(acme, 15)
    child = _old(acme, 10, parent=_old(acme, 20))

    services.delete_old_runs()

    assert _left(acme) == {child.pk}
    with acme.scope():
        assert Run.objects.get().parent_id is None


def test_each_batch_is_one_entry_of_the_audit_log(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    acme.agent()
    _keep(acme, 1)
    runs = [_old(acme, 30 - number) for number in range(5)]

    services.delete_old_runs()
    services.delete_old_runs()

    with acme.scope():
        entries = Entry.objects.filter(action="runs.deleted").order_by("id")
        told = [(entry.actor, entry.payload["runs"], entry.payload["first"]) for entry in entries]
    assert told == [("retention", count, str(run.pk)) for count, run in zip((2, 2, 1), runs[::2], strict=True)]


def test_the_firing_of_a_deleted_run_goes_with_it_and_its_schedule_stays(acme: Any) -> None:
    acme.agent()
    _keep(acme, 1)
    plan = {"slug": "report", "agent": "assistant", "input": "x", "cron": "0 * * * *"}
    schedule = acme.client().post("/api/v1/schedules", plan).json()
    started = acme.client().post(f"/api/v1/schedules/{schedule['id']}/run").json()
    with acme.scope():
        assert Firing.objects.get().run_id == UUID(started["id"])
        long_ago = timezone.now() - timedelta(days=2)
        # The id says when a run was accepted, so this one is as old only for whoever looks at all of them.
        Run.objects.update(status="succeeded", finished_at=long_ago)

    retention._delete_of(acme.tenant, 0)

    assert _left(acme) == set()
    with acme.scope():
        assert not Firing.objects.exists()
    assert acme.client().get(f"/api/v1/schedules/{schedule['id']}").json()["last_run_id"] is None
