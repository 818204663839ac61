"""What a worker holds, and what several runs write at once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

import anyio
from anyio import create_task_group

from agents import services, worker
from agents.adapters import JournalWriter
from agents.core.runtime.writer import Append
from agents.models import Run
from governance import tenancy
from governance.models import Approval
from loom.events import Record


def _model_answered(cost_usd: Any) -> Record:
    usage = {
        "input_tokens": 5, "cached_input_tokens": 0, "cache_write_tokens": 0, "output_tokens": 7, "cost_usd": cost_usd,
    }  # fmt: skip
    return Record(kind="model.completed", step_key="turn:1/model", data={"value": {"usage": usage}})


def _held(place: Any, count: int) -> list[services.Claim]:
    place.agent()
    runs = {place.run().pk for _ in range(count)}
    with tenancy.scheduler_scope():
        claims = services.claim_runs(owner="one", limit=1000, lease_seconds=600)
    return [claim for claim in claims if claim.run_id in runs]


def test_runs_of_which_some_have_cost_and_some_not_are_written_together(acme: Any) -> None:
    paid, free, none = _held(acme, 3)
    batches = [(paid, [_model_answered(0.1), _model_answered("0.2")]), (free, [_model_answered(0)])]
    batches.append((none, [Record(kind="run.resumed", data={"attempt": 1})]))

    with acme.scope():
        written = services.append_events([Append(claim.run_id, claim.fence, records) for claim, records in batches])
        costs = dict(Run.objects.of(acme.tenant).values_list("pk", "cost_usd"))

    assert written.keys() == costs.keys()
    assert [costs[claim.run_id] for claim in (paid, free, none)] == [Decimal("0.3"), 0, 0]


def test_a_run_that_its_worker_has_dropped_is_not_kept(acme: Any) -> None:
    kept, dropped = _held(acme, 2)

    with tenancy.scheduler_scope():
        Run.objects.filter(pk__in=[kept.run_id, dropped.run_id]).update(lease_until="2020-01-01T00:00:00Z")
        assert services.renew_leases(owner="one", run_ids={kept.run_id}, lease_seconds=600) == 1
        claimed = services.claim_runs(owner="two", limit=1000, lease_seconds=600)

    assert [claim.run_id for claim in claimed if claim.run_id in (kept.run_id, dropped.run_id)] == [dropped.run_id]


def test_a_worker_keeps_no_run_of_another(acme: Any) -> None:
    (claim,) = _held(acme, 1)

    with tenancy.scheduler_scope():
        assert services.renew_leases(owner="two", run_ids={claim.run_id}, lease_seconds=600) == 0


# --- workers that die -------------------------------------------------------------------------------------------------


def _die(*claims: services.Claim) -> None:
    """The worker of these runs is gone, and their leases have run out."""
    with tenancy.scheduler_scope():
        Run.objects.filter(pk__in=[c.run_id for c in claims]).update(lease_until="2020-01-01T00:00:00Z")


def _claimed_again(*claims: services.Claim, owner: str = "next") -> dict[Any, services.Claim]:
    with tenancy.scheduler_scope():
        found = services.claim_runs(owner=owner, limit=1000, lease_seconds=600)
    ours = {claim.run_id for claim in claims}
    return {claim.run_id: claim for claim in found if claim.run_id in ours}


def test_a_worker_that_dies_with_a_run_is_counted_until_the_run_finishes_a_step(acme: Any) -> None:
    (claim,) = _held(acme, 1)
    assert (claim.attempt, claim.crashes) == (1, 0)

    _die(claim)
    second = _claimed_again(claim)[claim.run_id]
    with acme.scope():
        services.append_events([Append(claim.run_id, second.fence, [_model_answered(0)])])
    _die(claim)
    third = _claimed_again(claim)[claim.run_id]

    assert (second.attempt, second.crashes) == (2, 1)
    assert (third.attempt, third.crashes) == (3, 1)


def test_a_run_that_was_given_back_or_waited_has_not_lost_its_worker(acme: Any) -> None:
    given_back, waited = _held(acme, 2)

    with tenancy.scheduler_scope():
        assert services.release_runs(owner="one", run_ids=[given_back.run_id]) == 1
    with acme.scope():
        services.append_events([Append(waited.run_id, waited.fence, [Record(kind="run.waiting")])])
        Run.objects.filter(pk=waited.run_id).update(status="queued")
    again = _claimed_again(given_back, waited)

    assert [(c.attempt, c.crashes) for c in again.values()] == [(2, 0)] * 2


def test_runs_whose_workers_died_twice_are_taken_a_few_at_a_time_and_then_one_by_one(acme: Any) -> None:
    claims = _held(acme, 20)

    _die(*claims)
    assert len(_claimed_again(*claims, owner="two")) == 20
    _die(*claims)
    assert [len(_claimed_again(*claims, owner=name)) for name in ("three", "three", "four")] == [8, 0, 8]
    _die(*claims)

    # The four that nobody has taken since their second worker died, and one of those that lost their third.
    assert [len(_claimed_again(*claims, owner=name)) for name in ("five", "five", "six")] == [5, 0, 1]


def test_a_run_that_killed_five_workers_is_failed_and_left_to_a_person(acme: Any, committed_db: None) -> None:
    (claim,) = _held(acme, 1)
    for _ in range(5):
        _die(claim)
        claim = _claimed_again(claim)[claim.run_id]

    async def advance() -> None:
        async with create_task_group() as group:
            await worker.advance_run(claim, JournalWriter(worker._write, group), group)

    anyio.run(advance)

    with acme.scope():
        run = Run.objects.get(pk=claim.run_id)
    assert (run.status, run.error["code"], run.error["retryable"]) == ("failed", "dead_letter", True)
    assert "5 workers in a row died with this run" in run.error["message"]
    assert "attempt 6" in run.error["message"]
    assert "retry the run" in run.error["message"]


def test_a_cancelled_run_that_kills_workers_while_it_is_undone_is_left_to_a_person_too(
    acme: Any, committed_db: None
) -> None:
    (claim,) = _held(acme, 1)
    with acme.scope():
        services.cancel_run(tenant=acme.tenant, run_id=claim.run_id, by="ann", compensate=True)
    for _ in range(5):
        _die(claim)
        claim = _claimed_again(claim)[claim.run_id]

    async def unwind() -> None:
        async with create_task_group() as group:
            await worker.unwind_run(claim, JournalWriter(worker._write, group))

    anyio.run(unwind)

    with acme.scope():
        run = Run.objects.get(pk=claim.run_id)
    assert (run.status, run.error["code"]) == ("failed", "dead_letter")


def test_a_worker_that_has_lost_its_run_asks_nobody_anything(acme: Any) -> None:
    (claim,) = _held(acme, 1)
    _die(claim)
    assert _claimed_again(claim)
    question = {
        "approval_id": str(uuid4()), "kind": "call", "call_id": "call_1", "tool": "pay", "args": {}, "args_hash": "0",
        "schema": {}, "effect": "keyed", "destructive": False, "reason": "", "policy": None,
    }  # fmt: skip
    records = [
        Record(kind="approval.requested", step_key="turn:1/tool:call_1", data=question),
        Record(kind="run.waiting", data={"steps": ["turn:1/tool:call_1"]}),
    ]

    with acme.scope():
        assert services.append_events([Append(claim.run_id, claim.fence, records)]) == {}
        assert not Approval.objects.filter(run_id=claim.run_id).exists()
        run = Run.objects.get(pk=claim.run_id)

    assert (run.status, run.last_seq, run.waiting_for) == ("running", 1, [])
