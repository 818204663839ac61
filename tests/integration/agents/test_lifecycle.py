"""The life of runs against a small model of it: whatever happens in whatever order, both say the same."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agents import services
from agents.core.runtime.writer import Append
from agents.models import Run, RunEvent
from governance import services as governance
from governance import tenancy
from governance.models import Approval
from loom.errors import Conflict
from loom.events import Kind, Record
from tests import platform

EXAMPLES = int(os.environ.get("LOOM_TEST_EXAMPLES", "25"))  # 10,000 commands: 200 examples of 50
ENDED = {"succeeded", "failed", "cancelled"}


@dataclass
class Life:
    """What a run should be."""

    status: str = "queued"
    fence: int = 0
    crashed: bool = False
    kinds: list[str] = field(default_factory=lambda: ["run.started"])
    open: list[UUID] = field(default_factory=list)
    asked: int = 0

    def told(self, *kinds: str) -> None:
        self.kinds += kinds


class Lives(RuleBasedStateMachine):
    runs = Bundle("runs")

    @initialize()
    def open(self) -> None:
        self.place = platform._place("acme", {"ann": "owner"})
        self.place.agent()
        self.ann = self.place.principal("ann")
        self.lives: dict[UUID, Life] = {}

    @rule(target=runs)
    def start(self) -> UUID:
        run = self.place.run()
        self.lives[run.pk] = Life()
        return run.pk

    @rule()
    def claim(self) -> None:
        with tenancy.scheduler_scope():
            crashes = dict(Run.objects.values_list("pk", "crashes"))
            claims = services.claim_runs(owner="w", limit=100, lease_seconds=600)
        mine = {claim.run_id: claim for claim in claims if claim.tenant_id == self.place.tenant.pk}
        left = {pk for pk, life in self.lives.items() if life.status == "queued" or life.crashed}
        # Those that have lost several workers are taken a few at a time, so they may have to wait.
        suspects = {pk for pk in left if self.lives[pk].crashed and crashes[pk] >= 1}
        assert left - suspects <= set(mine) <= left
        for pk, claim in mine.items():
            life = self.lives[pk]
            assert claim.fence == life.fence + 1
            life.fence, life.crashed = claim.fence, False
            life.status = "running" if life.status == "queued" else life.status
            assert claim.status == life.status

    @rule(run=runs)
    def crash(self, run: UUID) -> None:
        """The worker dies: its lease runs out."""
        life = self.lives[run]
        if life.status in ("running", "cancelling") and not life.crashed:
            with tenancy.scheduler_scope():
                Run.objects.filter(pk=run).update(lease_until="2000-01-01T00:00:00Z")
            life.crashed = True

    def _append(self, run: UUID, fence: int, *records: Record) -> bool:
        with self.place.scope():
            return run in services.append_events([Append(run, fence, records)])

    def _may_write(self, life: Life) -> bool:
        return life.status in ("running", "cancelling")

    @rule(run=runs, stale=st.integers(0, 2))
    def step(self, run: UUID, stale: int) -> None:
        """Any attempt writes, also one that has lost the run: then nothing is written."""
        life = self.lives[run]
        fence = life.fence - stale
        written = self._append(run, fence, Record(kind="architecture.step.completed", data={"value": 1}))
        assert written == (self._may_write(life) and stale == 0 and life.fence > 0)
        if written:
            life.told("architecture.step.completed")

    @rule(run=runs, count=st.integers(1, 2))
    def ask(self, run: UUID, count: int) -> None:
        life = self.lives[run]
        if life.status != "running" or life.crashed:
            return
        append = lambda *records: self._append(run, life.fence, *records)  # noqa: E731
        with self.place.scope():
            row = Run.objects.get(pk=run)
        asked = self.place.questions(row, count, append=append, wait=False, prefix=f"turn:{life.asked}")
        life.asked += 1
        life.open += [approval.pk for approval in asked]
        life.told(*[Kind.APPROVAL_REQUESTED] * count)

    @rule(run=runs)
    def wait(self, run: UUID) -> None:
        life = self.lives[run]
        if not self._may_write(life):
            return
        assert self._append(run, life.fence, Record(kind=Kind.RUN_WAITING, data={"steps": [], "until": None}))
        life.told(Kind.RUN_WAITING)
        if life.status == "cancelling":
            life.crashed = True  # its lease ends at once, so that whoever claims it next ends it
        else:
            life.status, life.crashed = ("waiting" if life.open else "queued"), False

    @precondition(lambda self: any(life.open for life in self.lives.values()))
    @rule(data=st.data(), decision=st.sampled_from(["approve", "reject"]))
    def decide(self, data: Any, decision: str) -> None:
        run, pk = data.draw(st.sampled_from([(run, pk) for run, life in self.lives.items() for pk in life.open]))
        life = self.lives[run]
        with self.place.scope():
            approval = Approval.objects.get(pk=pk)
            governance.decide_approval(
                principal=self.ann, approval_id=pk, decision=decision, args_hash=approval.args_hash
            )
            with pytest.raises(Conflict):
                governance.decide_approval(
                    principal=self.ann, approval_id=pk, decision="approve", args_hash=approval.args_hash
                )
        life.open.remove(pk)
        life.told(Kind.APPROVAL_DECIDED)
        if life.status == "waiting" and not life.open:
            life.status = "queued"

    @rule(run=runs, compensate=st.booleans())
    def cancel(self, run: UUID, compensate: bool) -> None:
        life = self.lives[run]
        with self.place.scope():
            if life.status in ENDED:
                with pytest.raises(Conflict, match="already"):
                    services.cancel_run(tenant=self.place.tenant, run_id=run, by="ann", compensate=compensate)
                return
            services.cancel_run(tenant=self.place.tenant, run_id=run, by="ann", compensate=compensate)
        if life.status == "cancelling":
            return
        if life.status == "running" or (compensate and life.fence):
            life.crashed = life.crashed or life.status != "running"
            if life.crashed:  # in this one long transaction no time passes for claims
                with tenancy.scheduler_scope():
                    Run.objects.filter(pk=run).update(lease_until="2000-01-01T00:00:00Z")
            life.status = "cancelling"
            life.told(Kind.RUN_CANCELLING)
        else:
            self._end(life, "cancelled", Kind.RUN_CANCELLED)

    @rule(run=runs, kind=st.sampled_from(sorted(Kind.TERMINAL)))
    def finish(self, run: UUID, kind: str) -> None:
        life = self.lives[run]
        data = {"error": {"code": "x"}} if kind == Kind.RUN_FAILED else {"output": "done"}
        assert self._append(run, life.fence, Record(kind=kind, data=data)) == (self._may_write(life) and life.fence > 0)
        if self._may_write(life):
            self._end(life, kind.removeprefix("run."), kind)

    def _end(self, life: Life, status: str, kind: str) -> None:
        life.status, life.crashed, life.open = status, False, []
        life.told(kind)

    @invariant()
    def both_say_the_same(self) -> None:
        if not getattr(self, "lives", None):
            return
        with self.place.scope():
            rows = {run.pk: run for run in Run.objects.all()}
            events: dict[UUID, list[tuple[int, str]]] = {pk: [] for pk in rows}
            for run_id, seq, kind in RunEvent.objects.order_by("seq").values_list("run_id", "seq", "kind"):
                events[run_id].append((seq, kind))
            pending = set(Approval.objects.pending().values_list("pk", flat=True))
        assert set(rows) == set(self.lives)
        assert pending == {pk for life in self.lives.values() for pk in life.open}
        for pk, life in self.lives.items():
            row = rows[pk]
            assert (row.status, row.fence, sorted(row.waiting_for)) == (life.status, life.fence, sorted(life.open))
            assert events[pk] == list(enumerate(life.kinds, start=1))
            assert row.last_seq == len(life.kinds)
            assert (row.lease_until is not None) == (life.status in ("running", "cancelling"))
            assert sum(kind in Kind.TERMINAL for kind in life.kinds) == (life.status in ENDED)

    def teardown(self) -> None:
        if getattr(self, "lives", None):
            with tenancy.scheduler_scope(), connection.cursor() as cursor:  # the next example claims all that is queued
                cursor.execute("UPDATE agents_run SET status = 'failed', lease_until = NULL, waiting_for = '{}'")


@pytest.mark.django_db
def test_whatever_happens_a_run_is_what_the_model_says() -> None:
    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # making a failure smaller takes minutes against a database
        ),
    )
