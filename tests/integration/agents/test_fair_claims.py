"""Whose run is next, and how many run at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from math import ceil
from typing import Any
from uuid import UUID

import pytest
from django.db import connections

from agents import services
from agents.core.runtime.writer import Append
from agents.models import AgentVersion, Run
from governance import services as governance
from governance import tenancy
from loom.events import Record

SLOTS = 32


def _claim(limit: int = SLOTS, owner: str = "test") -> list[services.Claim]:
    with tenancy.scheduler_scope():
        return services.claim_runs(owner=owner, limit=limit, lease_seconds=600)


def _finish(claims: Collection[services.Claim]) -> None:
    for claim in claims:
        with tenancy.scope(claim.tenant_id):
            end = Record(kind="run.succeeded", data={"output": ""})
            services.append_events([Append(claim.run_id, claim.fence, [end])])


def _queue(place: Any, count: int, agent: str = "assistant", **columns: Any) -> list[UUID]:
    """Many runs at once, without what a request does besides."""
    with place.scope():
        version = AgentVersion.objects.get(agent__slug=agent)
        runs = [
            Run(tenant=place.tenant, version=version, session_id="s", input="x", trace_id="t", **columns)
            for _ in range(count)
        ]
        return [run.pk for run in Run.objects.bulk_create(runs)]


@pytest.fixture
def alone(db: None) -> None:
    """Nothing is queued but what the test queues."""
    while _claim(1000):
        pass


def _rounds(*, until: Collection[UUID]) -> Iterator[list[services.Claim]]:
    """A fleet of as many slots claims, finishes what it has, and claims again."""
    waiting = set(until)
    while waiting:
        claims = _claim()
        yield claims
        waiting -= {claim.run_id for claim in claims}
        _finish(claims)


def _waits(runs: Collection[UUID]) -> list[int]:
    """In which round each of them was claimed."""
    return [number for number, claims in enumerate(_rounds(until=runs), start=1) for c in claims if c.run_id in runs]


@pytest.mark.usefixtures("alone")
def test_a_tenant_waits_at_most_twice_as_long_beside_a_neighbor_with_five_thousand_queued(
    acme: Any, globex: Any
) -> None:
    acme.agent()
    globex.agent()
    idle = _waits(_queue(globex, 20))
    _queue(acme, 5000)

    beside = _waits(_queue(globex, 20))

    p95 = ceil(0.95 * 20) - 1
    assert sorted(beside)[p95] <= 2 * sorted(idle)[p95]


@pytest.mark.usefixtures("alone")
def test_two_tenants_get_the_same_share_however_many_versions_they_use(acme: Any, globex: Any) -> None:
    globex.agent()
    _queue(globex, 40)
    for number in range(5):
        _queue(acme, 40, acme.agent(f"a{number}"))

    claims = _claim(20)

    assert [c.tenant_id for c in claims].count(globex.tenant.pk) == 10


@pytest.mark.usefixtures("alone")
def test_a_tenants_runs_go_by_priority_and_then_by_age_whatever_their_agent(acme: Any) -> None:
    acme.agent("one")
    acme.agent("two")
    late = acme.run("one").pk
    urgent = acme.run("two", priority=5).pk
    last = acme.run("two").pk

    assert [[claim.run_id for claim in _claim(1)] for _ in range(3)] == [[urgent], [late], [last]]


@pytest.mark.usefixtures("alone")
def test_an_agent_has_no_more_runs_under_way_than_it_may(acme: Any) -> None:
    acme.agent("slow")
    acme.agent("other")
    with acme.scope():
        services.change_agent(tenant=acme.tenant, slug="slow", max_running=2, by="test")
    slow, other = _queue(acme, 50, "slow"), _queue(acme, 3, "other")

    first = _claim()

    assert {c.run_id for c in first} == {*slow[:2], *other}
    assert all(c.is_limited for c in first if c.run_id in slow)
    assert not any(c.is_limited for c in first if c.run_id in other)
    assert _claim() == []
    _finish([c for c in first if c.run_id == slow[0]])
    assert [c.run_id for c in _claim()] == [slow[2]]


@pytest.mark.usefixtures("alone")
def test_a_limit_counts_the_runs_of_all_versions_of_the_agent(acme: Any) -> None:
    acme.agent("slow")
    older = acme.run("slow").pk
    response = acme.client().post("/api/v1/agents/slow/versions", {"spec": {"model": "echo", "instructions": "two"}})
    assert response.status_code == 201
    newer = acme.run("slow@2").pk
    with acme.scope():
        services.change_agent(tenant=acme.tenant, slug="slow", max_running=1, by="test")

    first = _claim()

    assert [c.run_id for c in first] == [older]
    assert _claim() == []
    _finish(first)
    assert [c.run_id for c in _claim()] == [newer]


@pytest.mark.usefixtures("alone")
def test_a_tenant_has_no_more_runs_under_way_than_it_may_and_others_go_on(acme: Any, globex: Any) -> None:
    acme.agent()
    globex.agent()
    governance.change_tenant(tenant_id=acme.tenant.pk, max_running=3, by="test")
    _queue(acme, 50)
    theirs = _queue(globex, 5)

    claims = _claim()

    assert [c.tenant_id for c in claims].count(acme.tenant.pk) == 3
    assert {c.run_id for c in claims} >= set(theirs)
    assert _claim() == []


@pytest.mark.usefixtures("alone")
def test_a_limit_that_is_lowered_stops_nothing_that_runs(acme: Any) -> None:
    acme.agent()
    _queue(acme, 5)
    running = _claim(4)

    governance.change_tenant(tenant_id=acme.tenant.pk, max_running=1, by="test")

    assert len(running) == 4
    assert _claim() == []


def test_claims_at_the_same_time_do_not_pass_the_limit_together(acme: Any, committed_db: None) -> None:
    acme.agent()
    governance.change_tenant(tenant_id=acme.tenant.pk, max_running=3, by="test")
    _queue(acme, 40)

    def take(worker: int) -> int:
        try:
            return sum(c.tenant_id == acme.tenant.pk for _ in range(5) for c in _claim(4, f"worker:{worker}"))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(take, range(8)))

    assert sum(taken) == 3
    governance.change_tenant(tenant_id=acme.tenant.pk, max_running=None, by="test")


def test_the_limits_of_an_agent_are_set_and_cleared_over_the_api(acme: Any) -> None:
    acme.agent()
    client = acme.client()

    limited = client.patch("/api/v1/agents/assistant", {"max_running": 2, "retention_days": 30}).json()
    renamed = client.patch("/api/v1/agents/assistant", {"name": "Other"}).json()
    cleared = client.patch("/api/v1/agents/assistant", {"max_running": None}).json()

    assert (limited["max_running"], limited["retention_days"]) == (2, 30)
    assert (renamed["max_running"], renamed["name"]) == (2, "Other")
    assert (cleared["max_running"], cleared["retention_days"]) == (None, 30)
    assert client.get("/api/v1/agents/assistant").json() == cleared


@pytest.mark.parametrize("field", ["max_running", "retention_days"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "two", 10**9])
def test_a_limit_that_is_none_is_refused(acme: Any, field: str, value: Any) -> None:
    acme.agent()

    answer = acme.client().patch("/api/v1/agents/assistant", {field: value})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"/{field}"
