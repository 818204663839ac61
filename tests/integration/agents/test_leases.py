"""What a worker holds, and what several runs write at once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from agents import services
from agents.core.runtime.writer import Append
from agents.models import Run
from governance import tenancy
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
