"""Runs that begin with what another has done: tried again, or tried otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from agents import queue, stream
from agents.core.runtime.blobs import Packed, pack
from agents.core.runtime.cutting import Again, Cut, EffectAgain, Line, cut_before, cut_unfinished
from agents.core.runtime.edits import edited
from agents.models import AgentVersion, Run, RunEvent
from agents.services.blobs import keep_blobs
from audit import services as audit
from governance.models import Tenant
from loom.errors import Conflict, Invalid
from loom.events import Kind

ARGS_EXCERPT = 300


@dataclass(frozen=True)
class Preview:
    """What a retry or a fork would do. Steps that a model or a branch no longer asks for are not taken again."""

    from_seq: int
    kept: int
    again: list[Again]
    effects: list[EffectAgain]


@transaction.atomic
def retry_run(*, tenant: Tenant, run_id: UUID, by: str, from_seq: int | None = None) -> Run:
    """Go on, in a new run, with what a run has done before one of its events, or with all that it had finished.

    Raises NotFound, Conflict for a run that has not ended, and Invalid for a number that is none of its events'.
    """
    source = _locked(tenant, run_id)
    if not source.is_over:
        raise Conflict(
            f"run {source.pk} is {source.status}; only a run that has ended is retried", status=source.status
        )
    cut = _cut(source, from_seq)
    owns_effects = source.status != Run.Status.SUCCEEDED
    return _begin(_Derived(source, cut, source.version, "retry", from_seq, by, owns_effects=owns_effects))


@transaction.atomic
def fork_run(
    *,
    tenant: Tenant,
    run_id: UUID,
    at_seq: int,
    by: str,
    edit: Mapping[str, Any] | None = None,
    agent_version: int | None = None,
) -> Run:
    """Go on otherwise, in a new run: what a run has done before one of its events is kept, and that event as edited.

    `edit` is one of `input`, `tool_result` and `message`. Raises NotFound, also for an unknown version, Conflict for a
    run that a worker may have in hand, and Invalid for a number or an edit that does not fit.
    """
    source = _locked(tenant, run_id)
    if not (source.is_over or source.status == Run.Status.WAITING):
        raise Conflict(
            f"run {source.pk} is {source.status}; only a run that has ended or waits is forked", status=source.status
        )
    version = source.version
    if agent_version is not None:
        version = AgentVersion.objects.of(tenant).select_related("agent").numbered(version.agent, agent_version)
    cut = _cut(source, at_seq, pointer="/at_seq", and_itself=edit is not None)
    change = None if edit is None else _edit(source, at_seq, edit)
    return _begin(_Derived(source, cut, version, "fork", at_seq, by, change))


def preview_replay(*, tenant: Tenant, run_id: UUID, from_seq: int | None = None) -> Preview:
    """What a retry from an event would keep and do again. A fork that edits an event keeps it: ask for the one after.

    Raises like `fork_run`.
    """
    source: Run = Run.objects.of(tenant).one(run_id)
    if not (source.is_over or source.status == Run.Status.WAITING):
        raise Conflict(f"run {source.pk} is {source.status}; what it will have done is not known", status=source.status)
    cut = _cut(source, from_seq, pointer="/query/from_seq", last=source.last_seq + 1)
    calls, again = cut.effects(), cut.again()
    begun = RunEvent.objects.filter(run_id=source.pk, seq__in=[call.seq for call in calls])
    args = {event.seq: event.data.get("edited_args") or event.data.get("args") for event in begun.whole()}
    return Preview(
        from_seq=from_seq or (again[0].seq if again else source.last_seq),
        kept=cut.steps,
        again=again,
        effects=[replace(call, args=json.dumps(args[call.seq], ensure_ascii=False)[:ARGS_EXCERPT]) for call in calls],
    )


# --- what is kept -----------------------------------------------------------------------------------------------------


def _locked(tenant: Tenant, run_id: UUID) -> Run:
    """The run, which stays as it is, with its journal, until this transaction ends."""
    found = Run.objects.of(tenant).whole().select_for_update(of=("self",), no_key=True)
    run: Run = found.one(run_id)
    if run.version.agent.archived_at is not None:
        raise Conflict(f"agent {run.version.agent.slug!r} was archived; its runs can be read and no more")
    return run


def _cut(
    source: Run, seq: int | None, *, pointer: str = "/from_seq", last: int | None = None, and_itself: bool = False
) -> Cut:
    lines = _read_lines(source.pk)
    if seq is None:
        if source.status == Run.Status.SUCCEEDED:
            raise Invalid(
                f"run {source.pk} has succeeded, so there is nothing unfinished: say with `from_seq` from which of its "
                f"events on it is to be done again (1 to {source.last_seq})",
                pointer=pointer,
            )
        return cut_unfinished(lines, (source.error or {}).get("code"))
    if not 1 <= seq <= (last or source.last_seq):
        raise Invalid(f"run {source.pk} has no event {seq}; it has 1 to {source.last_seq}", pointer=pointer)
    return cut_before(lines, max(2, seq + and_itself))  # what it was asked to do belongs to every run


_LINES = """
SELECT seq, kind, step_key, data ? 'value', data ? 'idempotency_key',
       kind <> %(tool_completed)s OR coalesce((data #>> '{value,ok}')::bool, true),
       kind = %(tool_completed)s AND coalesce((data #>> '{value,denied}')::bool, false),
       CASE kind WHEN %(tool_started)s THEN data ->> 'effect' END,
       CASE kind WHEN %(tool_started)s THEN data ->> 'tool' END
FROM agents_runevent WHERE run_id = %(run_id)s ORDER BY seq
"""


def _read_lines(run_id: UUID) -> list[Line]:
    with connection.cursor() as cursor:
        kinds = {"tool_started": Kind.TOOL_STARTED, "tool_completed": Kind.TOOL_COMPLETED}
        cursor.execute(_LINES, {"run_id": run_id, **kinds})
        return [Line(*row) for row in cursor.fetchall()]


@dataclass(frozen=True)
class _Change:
    """An event as somebody has edited it."""

    seq: int
    what: str
    data: dict[str, Any]
    packed: Packed


def _edit(source: Run, seq: int, edit: Mapping[str, Any]) -> _Change:
    [event] = RunEvent.objects.filter(run_id=source.pk, seq=seq).whole()
    data = edited(seq, event.kind, event.data, edit)
    [what] = edit
    return _Change(seq, what, data, pack(data))


# --- the new run ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Derived:
    """A run that is about to begin with the journal of another."""

    source: Run
    cut: Cut
    version: AgentVersion
    how: str
    seq: int | None
    by: str
    change: _Change | None = None
    owns_effects: bool = False  # whether what was done before is undone with the run

    @property
    def kept(self) -> list[int]:
        """The events to begin with. A version of its own is not held against what another has asked its models."""
        lines = self.cut.kept
        if self.version.pk != self.source.version_id:
            lines = [line for line in lines if not line.kind.endswith(".started") or line.kind in _SAFE_TO_COMPARE]
        return [line.seq for line in lines]

    def beginning(self, foreign: int) -> dict[str, Any]:
        """What the first event says otherwise than the source's."""
        edit = self.change.what if self.change else None
        told = {"run_id": str(self.source.pk), "how": self.how, "seq": self.seq, "edit": edit, "foreign": foreign}
        return {"by": self.by, "agent": str(self.version), "from": told}


_SAFE_TO_COMPARE = (Kind.RUN_STARTED, Kind.TOOL_STARTED)


def _begin(derived: _Derived) -> Run:
    """Write the run with its journal; a worker goes on with it when that has committed."""
    source, run_id, now, kept = derived.source, uuid7(), timezone.now(), derived.kept
    change = derived.change
    run = Run(
        id=run_id,
        tenant_id=source.tenant_id,
        version=derived.version,
        parent=source,
        user_id=source.user_id,
        session_id=source.session_id,
        input=change.data["input"] if change and change.what == "input" else source.input,
        output_schema=source.output_schema,
        metadata=source.metadata,
        priority=source.priority,
        deadline_at=now + (source.deadline_at - source.created_at) if source.deadline_at else None,
        heard_until=source.heard_until or source.created_at,
        created_at=now,
        trace_id=run_id.hex,
        started_by=derived.by,
        last_seq=len(kept),
    )
    run.save(force_insert=True)
    _copy_events(run, derived, kept)
    audit.record(
        tenant_id=run.tenant_id,
        actor=derived.by,
        action="run.retried" if derived.how == "retry" else "run.forked",
        subject=f"run:{run.pk}",
        payload={
            "parent": str(source.pk), "agent": str(derived.version), "seq": derived.seq, "kept": derived.cut.steps,
            "edit": change.what if change else None,
        },
    )  # fmt: skip
    transaction.on_commit(queue.wake_workers, robust=True)
    transaction.on_commit(lambda: stream.nudge_tenant(run.tenant_id, run.pk, run.status), robust=True)
    return run


_COPY = """
INSERT INTO agents_runevent (tenant_id, run_id, seq, kind, step_key, data, version, blobs, at)
SELECT e.tenant_id, %(to)s, row_number() OVER (ORDER BY e.seq), e.kind, e.step_key,
       CASE WHEN e.seq = %(changed)s THEN %(data)s::jsonb ELSE e.data END
           || CASE WHEN e.seq = 1 THEN %(beginning)s::jsonb ELSE '{}'::jsonb END,
       CASE WHEN e.seq = %(changed)s THEN %(version)s ELSE e.version END,
       CASE WHEN e.seq = %(changed)s THEN %(blobs)s::text[] ELSE e.blobs END,
       CASE WHEN e.seq = 1 THEN %(now)s ELSE e.at END
FROM agents_runevent e WHERE e.run_id = %(from)s AND e.seq = ANY(%(kept)s)
"""


def _copy_events(run: Run, derived: _Derived, kept: Sequence[int]) -> None:
    change = derived.change
    packed = change.packed if change else Packed("null")
    if packed.blobs:
        keep_blobs(packed.blobs)
    values: dict[str, Any] = {
        "to": run.pk,
        "from": derived.source.pk,
        "kept": list(kept),
        "now": run.created_at,
        "beginning": Jsonb(derived.beginning(_foreign(derived, kept))),
        "changed": change.seq if change else 0,
        "data": packed.text,
        "version": packed.version,
        "blobs": list(packed.blobs) or None,
    }
    with connection.cursor() as cursor:
        cursor.execute(_COPY, values)


def _foreign(derived: _Derived, kept: Sequence[int]) -> int:
    """How many events the new run begins with whose effects it does not answer for: cancelling it undoes none."""
    if not derived.owns_effects:
        return len(kept)
    first = RunEvent.objects.filter(run_id=derived.source.pk, seq=1)
    inherited = first.values_list("data__from__foreign", flat=True).get() or 0
    return sum(seq <= inherited for seq in kept)
