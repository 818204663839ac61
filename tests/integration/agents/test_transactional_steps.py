"""Steps whose effect is in our database: committed together with their record, or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from anyio import create_task_group

from agents import services, worker
from agents.adapters import JournalWriter
from agents.core import faults
from agents.models import Agent, Run, RunEvent
from governance import tenancy
from loom import Workflow, register, tool
from loom.errors import Conflict, Unavailable

meanwhile: dict[str, Any] = {}


@tool(effect="transactional", timeout=0.5)
def note(slug: str) -> str:
    """Write a row of the tenant's."""
    tenant = Agent.objects.get(slug="writer").tenant
    services.create_agent(tenant=tenant, slug=slug, spec={"instructions": "Repeat.", "model": "echo"}, by="test")
    meanwhile.get(slug, lambda: None)()
    return f"noted {slug} on {threading.current_thread().name.split('_')[0]}"


async def slug_of(value: dict[str, str]) -> str:
    return value["slug"]


register(Workflow.chain([slug_of, note], name="note-once"))


@pytest.fixture(autouse=True)
def _clean(committed_db: None) -> Iterator[None]:
    yield
    faults.arm(())
    meanwhile.clear()


def _claimed(place: Any, slug: str) -> services.Claim:
    with place.scope():
        services.create_agent(tenant=place.tenant, slug="writer", spec={"program": "note-once"}, by="test")
    run = place.run("writer", {"slug": slug})
    return _taken(run.pk)


def _taken(run_id: Any) -> services.Claim:
    with tenancy.scheduler_scope():
        claims = services.claim_runs(owner=f"test:{run_id}", limit=1000, lease_seconds=600)
    return next(claim for claim in claims if claim.run_id == run_id)


def _advance(claim: services.Claim) -> None:
    async def advance() -> None:
        async with create_task_group() as group:
            writer = JournalWriter(worker._write, group, services.append_events)
            await worker.advance_run(claim, writer, group)

    try:
        anyio.run(advance)
    except ExceptionGroup as group:
        [error] = group.exceptions
        raise error from None


def _ended(place: Any, claim: services.Claim) -> tuple[Run, int, int]:
    """The run, how many rows its step has written, and how many records of the step's end there are."""
    with place.scope():
        run = Run.objects.get(pk=claim.run_id)
        rows = Agent.objects.exclude(slug="writer").count()
        ends = RunEvent.objects.filter(run=run, kind="tool.completed").count()
    return run, rows, ends


def test_a_step_s_effect_and_its_record_are_there_together(acme: Any) -> None:
    claim = _claimed(acme, "one")

    _advance(claim)

    run, rows, ends = _ended(acme, claim)
    assert (run.status, run.output) == ("succeeded", "noted one on transaction")
    assert (rows, ends) == (1, 1)
    with acme.scope():
        assert list(run.events.values_list("seq", flat=True).order_by("seq")) == list(range(1, run.last_seq + 1))


@pytest.mark.parametrize("point", ["after_effect_before_checkpoint", "before_event", "after_checkpoint"])
@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5])
def test_a_step_that_is_cut_off_anywhere_happens_once(acme: Any, point: str, nth: int) -> None:
    claim = _claimed(acme, "one")

    faults.arm(faults.parse(f"{point}:exception:{nth}"))
    try:
        _advance(claim)
    except Unavailable:
        with tenancy.scheduler_scope():
            given_back = services.release_runs(owner=f"test:{claim.run_id}")
        if given_back:  # else its end was written, and only the news of it was lost
            _advance(_taken(claim.run_id))

    run, rows, ends = _ended(acme, claim)
    assert (run.status, run.error, rows, ends) == ("succeeded", None, 1, 1)


def test_what_a_worker_does_that_has_lost_the_run_is_undone(acme: Any) -> None:
    claim = _claimed(acme, "one")

    def lose() -> None:
        with tenancy.scheduler_scope():
            Run.objects.filter(pk=claim.run_id).update(fence=claim.fence + 1)

    def elsewhere() -> None:
        thread = threading.Thread(target=lose)
        thread.start()
        thread.join()

    meanwhile["one"] = elsewhere
    with pytest.raises(Conflict, match="taken over"):
        _advance(claim)

    run, rows, ends = _ended(acme, claim)
    assert (run.status, rows, ends) == ("running", 0, 0)


def test_what_a_function_did_before_it_raised_is_undone_and_the_error_is_recorded(acme: Any) -> None:
    claim = _claimed(acme, "one")

    def fail() -> None:
        raise ValueError("no more paper")

    meanwhile["one"] = fail
    _advance(claim)

    run, rows, ends = _ended(acme, claim)
    assert (run.status, run.error["type"]) == ("failed", "ToolError")
    assert "no more paper" in run.error["message"]
    assert (rows, ends) == (0, 1)


def test_what_a_function_does_that_is_too_late_is_undone(acme: Any) -> None:
    claim = _claimed(acme, "one")

    meanwhile["one"] = lambda: time.sleep(1)
    _advance(claim)
    time.sleep(1)

    run, rows, ends = _ended(acme, claim)
    assert (run.status, run.error["type"]) == ("failed", "ToolError")
    assert (rows, ends) == (0, 1)
