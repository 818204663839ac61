"""Writing journals: in one round trip where nothing else belongs into the transaction, and else in one transaction."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents import services
from agents.core.runtime.writer import Append
from agents.models import Run, RunEvent
from governance import services as governance
from governance.models import Approval
from loom.events import Kind, Record

SAID = Record(kind="architecture.said", data={"text": "hello"})
SUCCEEDED = Record(kind=Kind.RUN_SUCCEEDED, data={"output": "done", "parsed": {"a": [1, None]}, "turns": 1})


def _held(place: Any) -> Run:
    """A run that somebody works on."""
    run = place.run()
    place.work(run)
    with place.scope():
        return Run.objects.get(pk=run.pk)


def _write(place: Any, run: Run, *records: Record, fence: int | None = None) -> bool:
    return run.pk in services.write_events(place.tenant.pk, [Append(run.pk, fence or run.fence, records)])


def _kinds(place: Any, run: Run) -> list[str]:
    with place.scope():
        return [event.kind for event in RunEvent.objects.filter(run=run).order_by("seq")]


@pytest.fixture
def acme(committed_db: None, acme: Any) -> Any:
    acme.agent()
    return acme


def test_records_of_several_runs_are_written_in_one_round_trip(acme: Any) -> None:
    first, second = _held(acme), _held(acme)
    with CaptureQueriesContext(connection) as queries:
        written = services.write_events(
            acme.tenant.pk,
            [Append(first.pk, first.fence, [SAID, SAID, SUCCEEDED]), Append(second.pk, second.fence, [SAID])],
        )

    assert (len(queries), written) == (1, {first.pk: 1, second.pk: 1})
    assert _kinds(acme, first) == ["run.started", "architecture.said", "architecture.said", "run.succeeded"]
    assert _kinds(acme, second) == ["run.started", "architecture.said"]
    with acme.scope():
        ended = Run.objects.get(pk=first.pk)
    assert (ended.status, ended.output, ended.parsed, ended.lease_until) == (
        "succeeded",
        "done",
        {"a": [1, None]},
        None,
    )


def test_a_late_attempt_writes_nothing_and_keeps_nobody_else_from_writing(acme: Any) -> None:
    mine, lost = _held(acme), _held(acme)

    written = services.write_events(
        acme.tenant.pk, [Append(lost.pk, lost.fence - 1, [SAID]), Append(mine.pk, mine.fence, [SAID])]
    )

    assert set(written) == {mine.pk}
    assert (_kinds(acme, lost), _write(acme, lost, SUCCEEDED, fence=lost.fence + 1)) == (["run.started"], False)


def test_another_tenants_runs_cannot_be_written_to(acme: Any, globex: Any) -> None:
    run = _held(acme)

    assert services.write_events(globex.tenant.pk, [Append(run.pk, run.fence, [SAID])]) == {}
    assert _kinds(acme, run) == ["run.started"]


def test_an_end_closes_the_open_questions_in_its_own_transaction(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run, other = _held(acme), _held(acme)
    [question] = acme.questions(run, 1, append=partial(_write, acme, run), wait=False)
    together = [Append(other.pk, other.fence, [SAID]), Append(run.pk, run.fence, [SUCCEEDED])]

    with monkeypatch.context() as patched:
        patched.setattr(governance, "supersede_approvals", _fail)
        with pytest.raises(RuntimeError):
            services.write_events(acme.tenant.pk, together)
    assert "run.succeeded" not in _kinds(acme, run)
    assert _kinds(acme, other) == ["run.started"]

    assert set(services.write_events(acme.tenant.pk, together)) == {run.pk, other.pk}
    with acme.scope():
        assert Approval.objects.get(pk=question.pk).status == Approval.Status.SUPERSEDED
        assert Run.objects.get(pk=run.pk).waiting_for == []
    assert _kinds(acme, other) == ["run.started", "architecture.said"]


def test_a_question_is_open_when_its_record_is_there_and_not_before(acme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _held(acme)
    write = partial(_write, acme, run)
    monkeypatch.setattr(governance, "open_approvals", _fail)
    with pytest.raises(RuntimeError):
        acme.questions(run, 1, append=write, wait=False)
    assert _kinds(acme, run) == ["run.started"]

    monkeypatch.undo()
    [question] = acme.questions(run, 1, append=write, wait=False)
    with acme.scope():
        assert Run.objects.get(pk=run.pk).waiting_for == [question.pk]


def _fail(*args: Any, **options: Any) -> None:
    raise RuntimeError
