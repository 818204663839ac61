"""Runs that begin with what another has done: what is kept of its journal, and what they may begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from agents import services
from agents.models import Blob, Run, RunEvent
from audit.models import Entry
from loom.errors import Conflict, Invalid, NotFound
from loom.events import Kind, Record
from loom.messages import ToolCall, ToolResult

pytestmark = pytest.mark.django_db

FAILED = Record(kind=Kind.RUN_FAILED, data={"error": {"type": "Boom", "code": "internal", "message": "boom"}})
CALL = ToolCall(id="c1", tool="pay", args={"amount": 5})
Fields = dict[str, Any]


def asked(turn: int) -> Record:
    return Record(kind=Kind.MODEL_STARTED, step_key=f"turn:{turn}/model", data={"digest": str(turn)})


def answered(turn: int, text: str = "", *calls: ToolCall) -> Record:
    usage = {"input_tokens": 10, "output_tokens": 2, "cost_usd": 0.5}
    value = {
        "text": text,
        "tool_calls": [c.model_dump(mode="json") for c in calls],
        "usage": usage,
        "finish_reason": "stop",
    }
    return Record(kind=Kind.MODEL_COMPLETED, step_key=f"turn:{turn}/model", data={"value": value})


def called(key: str, effect: str | None = "keyed", run: str = "r") -> Record:
    begun = {"effect": effect, "idempotency_key": f"{run}:{key}"} if effect else {}
    return Record(kind=Kind.TOOL_STARTED, step_key=key, data={"tool": "pay", "args": {"amount": 5}, **begun})


def returned(key: str, output: Any = "paid", **more: Any) -> Record:
    result = ToolResult(call_id="c1", ok=True, output=output).model_dump(mode="json") | more
    return Record(kind=Kind.TOOL_COMPLETED, step_key=key, data={"value": result})


def question(key: str) -> Record:
    data = {
        "approval_id": "00000000-0000-4000-8000-000000000001", "kind": "call", "call_id": "c1", "tool": "pay",
        "args": {"amount": 5}, "args_hash": "h", "schema": {}, "effect": "keyed", "destructive": False, "reason": "why",
        "policy": None,
    }  # fmt: skip
    return Record(kind=Kind.APPROVAL_REQUESTED, step_key=key, data=data)


def done(key: str, value: Any = True) -> Record:
    return Record(kind="architecture.step.completed", step_key=key, data={"value": value})


TOOL = "turn:1/tool:call_1"
STEP = "step:b#1/tool:call_1"
TURNS = (asked(1), answered(1, "", CALL), called(TOOL), returned(TOOL), asked(2))  # events 2 to 6


@pytest.fixture
def ended(acme: Any) -> Callable[..., Run]:
    """A run with these records in its journal, the last of which ends it."""
    acme.agent()

    def end(*records: Record, **options: Any) -> Run:
        run = acme.run(**options)
        acme.work(run)(*records)
        with acme.scope():
            return Run.objects.get(pk=run.pk)

    return end


def _journal(place: Any, run: Run) -> list[tuple[str, str]]:
    with place.scope():
        events = services.read_events(run.pk)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return [(event.kind, event.step_key) for event in events]


def _of(*records: Record) -> list[tuple[str, str]]:
    return [(Kind.RUN_STARTED, ""), *((record.kind, record.step_key) for record in records)]


def _retry(place: Any, run: Run, from_seq: int | None = None) -> Run:
    with place.scope():
        return services.retry_run(tenant=place.tenant, run_id=run.pk, by="user:ann", from_seq=from_seq)


def _fork(place: Any, run: Run, at_seq: int, **options: Any) -> Run:
    with place.scope():
        return services.fork_run(tenant=place.tenant, run_id=run.pk, at_seq=at_seq, by="user:ann", **options)


# --- retry ------------------------------------------------------------------------------------------------------------


def test_a_failed_run_goes_on_from_its_last_finished_step_in_a_new_run(acme: Any, ended: Callable[..., Run]) -> None:
    more: Fields = {"user_id": "u", "session_id": "s", "metadata": {"a": 1}, "priority": 3, "deadline_seconds": 60}
    source = ended(*TURNS, FAILED, output_schema={"type": "object"}, **more)

    run = _retry(acme, source)

    with acme.scope():
        run = Run.objects.get(pk=run.pk)
        entry = Entry.objects.get(subject=f"run:{run.pk}")
    same = ("version_id", "input", "user_id", "session_id", "metadata", "priority", "output_schema")
    assert [getattr(run, name) for name in same] == [getattr(source, name) for name in same]
    assert (run.parent_id, run.status, run.started_by) == (source.pk, "queued", "user:ann")
    assert (run.turns, run.input_tokens, run.cost_usd) == (0, 0, 0)
    assert run.deadline_at is not None
    assert (run.deadline_at - run.created_at).total_seconds() == pytest.approx(60)
    assert run.last_seq == 5
    assert _journal(acme, run) == _of(*TURNS[:4])
    assert (entry.actor, entry.action, entry.payload["parent"]) == ("user:ann", "run.retried", str(source.pk))
    assert _journal(acme, source) == _of(*TURNS, FAILED)


@pytest.mark.parametrize(
    ("records", "kept"),
    [
        pytest.param((), (), id="nothing was done"),
        pytest.param((called(TOOL),), (called(TOOL),), id="a call that was cut off keeps its key"),
        pytest.param((called(TOOL, None),), (), id="a call that was only answered for has not begun"),
        pytest.param((*TURNS[:4], question("turn:2/tool:call_1")), TURNS[:4], id="a question"),
        pytest.param(
            (done("step:a#1"), called(STEP), returned(STEP, ok=False, error="down")),
            (done("step:a#1"), called(STEP)),
            id="a workflow's tool that failed",
        ),
        pytest.param(
            (called(STEP, None), returned(STEP, ok=False, denied=True, reason="no")),
            (),
            id="a workflow's tool that was refused",
        ),
        pytest.param(
            (*TURNS[:2], called(TOOL), returned(TOOL, ok=False, error="down"), asked(2)),
            (*TURNS[:2], called(TOOL), returned(TOOL)),
            id="an agent's tool that failed was told to its model",
        ),
        pytest.param(
            (
                called(STEP), returned(STEP, ok=False, error="down"),
                done("step:b#1/failed:1"), called("step:b#1/attempt:2/tool:call_1"),
                returned("step:b#1/attempt:2/tool:call_1"), asked(2),
            ),
            (
                called(STEP), returned(STEP), done("step:b#1/failed:1"),
                called("step:b#1/attempt:2/tool:call_1"), returned("step:b#1/attempt:2/tool:call_1"),
            ),
            id="an attempt that another one got over",
        ),
        pytest.param(
            (
                called(STEP), returned(STEP, ok=False, error="down"), done("step:b#1/failed:1"),
                called("step:b#1/attempt:2/tool:call_1"),
                returned("step:b#1/attempt:2/tool:call_1", ok=False, error="down"),
            ),
            (called(STEP), called("step:b#1/attempt:2/tool:call_1")),
            id="all attempts of a workflow's tool are there again",
        ),
        pytest.param(
            (done("step:a#1"), done("step:b#1/failed:1"), done("step:b#1/failed:2")),
            (done("step:a#1"),),
            id="all attempts are there again",
        ),
    ],
)  # fmt: skip
def test_what_was_not_finished_is_done_again(
    acme: Any, ended: Callable[..., Run], records: Sequence[Record], kept: Sequence[Record]
) -> None:
    assert _journal(acme, _retry(acme, ended(*records, FAILED))) == _of(*kept)


def test_an_answer_that_did_not_fit_is_asked_for_again(acme: Any, ended: Callable[..., Run]) -> None:
    error = {"type": "OutputValidationError", "code": "output_validation", "message": "no"}
    source = ended(*TURNS, answered(2, "nonsense"), Record(kind=Kind.RUN_FAILED, data={"error": error}))

    assert _journal(acme, _retry(acme, source)) == _of(*TURNS[:4])


def test_a_permission_is_kept_only_with_the_call_it_was_for(acme: Any, ended: Callable[..., Run]) -> None:
    permitted = (
        question(TOOL),
        Record(kind=Kind.RUN_WAITING, data={"steps": [TOOL], "until": None}),
        Record(kind=Kind.APPROVAL_DECIDED, step_key=TOOL, data={"decision": "approve"}),
        Record(kind=Kind.RUN_RESUMED, data={"attempt": 2}),
        done(f"{TOOL}/permit", {"allowed": None}),
    )
    source = ended(*TURNS[:2], *permitted, called(TOOL), returned(TOOL), FAILED)

    whole = _retry(acme, source)
    before_the_call = _retry(acme, source, from_seq=9)

    question_and_answer = [(record.kind, TOOL) for record in (permitted[0], permitted[2])]
    assert _journal(acme, whole) == [
        *_of(*TURNS[:2]), *question_and_answer, *_of(permitted[4], called(TOOL), returned(TOOL))[1:]
    ]  # fmt: skip
    assert _journal(acme, before_the_call) == _of(*TURNS[:2])


@pytest.mark.parametrize(("effect", "kept"), [("keyed", 5), ("transactional", 2)])
def test_a_permission_does_not_last_for_a_second_effect(
    acme: Any, ended: Callable[..., Run], effect: str, kept: int
) -> None:
    answer = Record(kind=Kind.APPROVAL_DECIDED, step_key=TOOL, data={"decision": "approve"})
    journal = (*TURNS[:2], question(TOOL), answer, called(TOOL, effect), returned(TOOL))

    run = _retry(acme, ended(*journal, FAILED), from_seq=7)

    assert _journal(acme, run) == _of(*journal[:kept])


@pytest.mark.parametrize(("seq", "kept"), [(1, 0), (2, 0), (3, 0), (4, 2), (5, 3), (6, 4), (7, 4)])
def test_a_run_is_tried_again_from_any_of_its_events(acme: Any, ended: Callable[..., Run], seq: int, kept: int) -> None:
    source = ended(*TURNS, FAILED)

    assert _journal(acme, _retry(acme, source, from_seq=seq)) == _of(*TURNS[:kept])


def test_a_retry_can_be_retried(acme: Any, ended: Callable[..., Run]) -> None:
    again = _retry(acme, ended(*TURNS, FAILED))
    acme.work(again)(FAILED)

    third = _retry(acme, again)

    assert (_journal(acme, third), third.parent_id) == (_of(*TURNS[:4]), again.pk)
    assert third.heard_until == again.heard_until


def test_a_run_that_succeeded_is_only_tried_again_from_an_event(acme: Any, ended: Callable[..., Run]) -> None:
    source = ended(*TURNS[:4], Record(kind=Kind.RUN_SUCCEEDED, data={"output": "paid", "parsed": None}))

    with pytest.raises(Invalid, match="1 to 6") as refused:
        _retry(acme, source)

    assert refused.value.facts["pointer"] == "/from_seq"
    assert _journal(acme, _retry(acme, source, from_seq=4)) == _of(*TURNS[:2])


def test_what_was_undone_is_done_again(acme: Any, ended: Callable[..., Run]) -> None:
    second = "turn:2/tool:call_1"
    cancelling = Record(kind=Kind.RUN_CANCELLING, data={"by": "ann", "reason": "", "compensate": True})
    undone = (cancelling, done(f"{second}/undo"), Record(kind=Kind.RUN_CANCELLED, data={"undone": [second]}))
    source = ended(*TURNS, answered(2, "", CALL), called(second), returned(second), *undone)

    assert _journal(acme, _retry(acme, source)) == _of(*TURNS, answered(2))
    with pytest.raises(Conflict, match=f"event 8 began '{second}', which was undone"):
        _retry(acme, source, from_seq=9)


def _foreign(place: Any, run: Run) -> int:
    with place.scope():
        return int(services.read_events(run.pk)[0].data["from"]["foreign"])


def test_a_retry_answers_for_what_was_done_and_a_fork_does_not(acme: Any, ended: Callable[..., Run]) -> None:
    source = ended(*TURNS, FAILED)
    retry, fork = _retry(acme, source), _fork(acme, source, 6)
    acme.work(fork)(asked(2), answered(2), FAILED)
    with acme.scope():
        Run.objects.filter(pk=fork.pk).update(parent=None)  # as when the first run is deleted

    assert (_foreign(acme, retry), _foreign(acme, fork), _foreign(acme, _retry(acme, fork))) == (0, 5, 5)


def test_a_retry_of_a_run_that_succeeded_answers_for_nothing_of_it(acme: Any, ended: Callable[..., Run]) -> None:
    source = ended(*TURNS[:4], Record(kind=Kind.RUN_SUCCEEDED, data={"output": "paid", "parsed": None}))

    assert _foreign(acme, _retry(acme, source, from_seq=6)) == 5


def test_a_retry_that_has_not_begun_is_cancelled_with_what_was_done_before(
    acme: Any, ended: Callable[..., Run]
) -> None:
    run = _retry(acme, ended(*TURNS, FAILED))

    with acme.scope():
        cancelled = services.cancel_run(tenant=acme.tenant, run_id=run.pk, by="ann", compensate=True)

    assert cancelled.status == "cancelling"


def test_large_values_stay_where_they_are(acme: Any, ended: Callable[..., Run]) -> None:
    source = ended(called(TOOL), returned(TOOL, "x" * 100_000), FAILED)

    run = _retry(acme, source)

    with acme.scope():
        assert services.read_events(run.pk)[2].data["value"]["output"] == "x" * 100_000
        assert Blob.objects.count() == 1
        Run.objects.filter(pk=source.pk).delete()
        assert services.drop_orphan_blobs() == 0
        assert services.read_events(run.pk)[2].data["value"]["output"] == "x" * 100_000


def test_a_retry_takes_as_many_statements_for_a_long_journal_as_for_a_short_one(
    acme: Any, ended: Callable[..., Run], statements: Callable[..., Sequence[str]]
) -> None:
    short = ended(*TURNS, FAILED)
    long = ended(*[record for _ in range(50) for record in TURNS], FAILED)

    def count(run: Run) -> list[int]:
        tenant, run_id = acme.tenant, run.pk
        with acme.scope():
            return [
                len(statements(lambda: services.retry_run(tenant=tenant, run_id=run_id, by="x"))),
                len(statements(lambda: services.fork_run(tenant=tenant, run_id=run_id, at_seq=3, by="x"))),
                len(statements(lambda: services.preview_replay(tenant=tenant, run_id=run_id, from_seq=2))),
            ]

    assert count(short) == count(long)
    assert max(count(long)) <= 8


# --- fork -------------------------------------------------------------------------------------------------------------


def test_a_fork_goes_on_with_another_result_of_a_tool(acme: Any, ended: Callable[..., Run]) -> None:
    source = ended(
        *TURNS, answered(2, "paid"), Record(kind=Kind.RUN_SUCCEEDED, data={"output": "paid", "parsed": None})
    )

    run = _fork(acme, source, 5, edit={"tool_result": {"paid": False}})

    assert _journal(acme, run) == _of(*TURNS[:4])
    with acme.scope():
        events, entry = services.read_events(run.pk), Entry.objects.get(subject=f"run:{run.pk}")
    value = events[4].data["value"]
    assert (value["call_id"], value["ok"], value["output"]) == ("c1", True, {"paid": False})
    told = events[0].data["from"]
    assert told == {"run_id": str(source.pk), "how": "fork", "seq": 5, "edit": "tool_result", "foreign": 5}
    assert (entry.action, entry.payload["edit"], run.parent_id) == ("run.forked", "tool_result", source.pk)


def test_a_fork_with_a_large_result_keeps_it_beside_the_journal(acme: Any, ended: Callable[..., Run]) -> None:
    run = _fork(acme, ended(*TURNS, FAILED), 5, edit={"tool_result": "x" * 100_000})

    with acme.scope():
        assert services.read_events(run.pk)[4].data["value"]["output"] == "x" * 100_000
        assert "$blob" in str(RunEvent.objects.get(run_id=run.pk, seq=5).data)


def test_a_fork_goes_on_with_another_answer_of_the_model(acme: Any, ended: Callable[..., Run]) -> None:
    source = ended(*TURNS, FAILED)

    plain = _fork(acme, source, 3, edit={"message": "Never mind."})
    calls = [{"tool": "pay", "args": {"amount": 7}}]
    calling = _fork(acme, source, 3, edit={"message": {"text": "", "tool_calls": calls}})

    with acme.scope():
        values = [services.read_events(run.pk)[2].data["value"] for run in (plain, calling)]
    assert [(value["text"], value["finish_reason"]) for value in values] == [
        ("Never mind.", "stop"),
        ("", "tool_calls"),
    ]
    assert [[call["args"] for call in value["tool_calls"]] for value in values] == [[], [{"amount": 7}]]
    assert values[1]["tool_calls"][0]["id"]


def test_a_fork_asks_something_else(acme: Any, ended: Callable[..., Run]) -> None:
    run = _fork(acme, ended(*TURNS, FAILED), 1, edit={"input": {"mail": "other"}})

    with acme.scope():
        [first] = services.read_events(run.pk)
    assert (run.input, first.data["input"]) == ({"mail": "other"}, {"mail": "other"})


def test_a_fork_without_an_edit_does_the_event_again(acme: Any, ended: Callable[..., Run]) -> None:
    assert _journal(acme, _fork(acme, ended(*TURNS, FAILED), 5)) == _of(*TURNS[:3])


def test_a_waiting_run_can_be_forked_and_goes_on_waiting(acme: Any) -> None:
    acme.agent()
    source = acme.run()
    approval = acme.question(source)

    run = _fork(acme, source, 3)

    assert _journal(acme, run) == _of()
    with acme.scope():
        source.refresh_from_db()
        assert (source.status, source.waiting_for, run.waiting_for) == ("waiting", [approval.pk], [])


def test_a_fork_on_another_version_is_not_held_against_what_models_were_asked(
    acme: Any, ended: Callable[..., Run]
) -> None:
    source = ended(*TURNS, FAILED)
    with acme.scope():
        agent = source.version.agent
        spec = {"instructions": "Other.", "model": "echo"}
        other = services.add_version(tenant=acme.tenant, agent=agent, spec=spec, by="test")

    run = _fork(acme, source, 6, agent_version=2)

    assert run.version_id == other.pk
    assert _journal(acme, run) == _of(*TURNS[1:4])
    with acme.scope():
        assert services.read_events(run.pk)[0].data["agent"] == "assistant@2"
    with pytest.raises(NotFound, match="has no version 9"):
        _fork(acme, source, 6, agent_version=9)


@pytest.mark.parametrize(
    ("at_seq", "edit", "words", "pointer"),
    [
        (5, {"message": "x"}, "event 5 is tool.completed; what can be edited there is `tool_result`", "/at_seq"),
        (4, {"tool_result": 1}, "event 4 is tool.started; nothing can be edited there; `tool_result` is", "/at_seq"),
        (2, {"input": "x"}, "event 2 is model.started; nothing can be edited there; `input` is edited in", "/at_seq"),
        (1, {"tool_result": 1}, "event 1 is run.started; what can be edited there is `input`", "/at_seq"),
        (1, {"input": 5}, "a text or an object, not 5", "/edit/input"),
        (3, {"message": 5}, "/edit/message", None),
        (3, {"message": {"text": "x", "tool": 1}}, "/edit/message/tool", None),
        (3, {"message": "x", "input": "y"}, "an edit is one of input, tool_result, message", "/edit"),
        (3, {}, "not nothing", "/edit"),
        (0, None, "has no event 0; it has 1 to 7", "/at_seq"),
        (8, None, "has no event 8; it has 1 to 7", "/at_seq"),
    ],
)  # fmt: skip
def test_an_edit_that_does_not_fit_is_refused(
    acme: Any, ended: Callable[..., Run], at_seq: int, edit: Fields | None, words: str, pointer: str | None
) -> None:
    source = ended(*TURNS, FAILED)

    with pytest.raises(Invalid) as refused:
        _fork(acme, source, at_seq, edit=edit)

    assert words in str(refused.value)
    assert refused.value.facts.get("pointer") == pointer


def test_a_run_that_somebody_has_in_hand_is_neither_retried_nor_forked(acme: Any) -> None:
    acme.agent()
    queued, running = acme.run(), acme.run()
    acme.work(running)(*TURNS)

    for run in (queued, running):
        for act in (lambda run: _retry(acme, run), lambda run: _fork(acme, run, 1)):
            with pytest.raises(Conflict, match="only a run that has ended"):
                act(run)


def test_a_waiting_run_is_not_retried(acme: Any) -> None:
    acme.agent()
    run = acme.run()
    acme.question(run)

    with pytest.raises(Conflict, match="is waiting; only a run that has ended is retried"):
        _retry(acme, run)


def test_runs_of_an_archived_agent_are_not_started_again(acme: Any, ended: Callable[..., Run]) -> None:
    source = ended(*TURNS, FAILED)
    with acme.scope():
        services.archive_agent(tenant=acme.tenant, slug="assistant", by="test")

    with pytest.raises(Conflict, match="'assistant' was archived"):
        _retry(acme, source)


# --- preview ----------------------------------------------------------------------------------------------------------


def test_a_preview_says_what_is_kept_and_what_runs_again(acme: Any, ended: Callable[..., Run]) -> None:
    source = ended(*TURNS, FAILED)

    with acme.scope():
        unfinished = services.preview_replay(tenant=acme.tenant, run_id=source.pk)
        from_the_call = services.preview_replay(tenant=acme.tenant, run_id=source.pk, from_seq=4)

    assert (unfinished.kept, [step.step_key for step in unfinished.again]) == (2, ["turn:2/model"])
    assert (unfinished.from_seq, unfinished.effects) == (6, [])
    again = [(step.seq, step.kind, step.step_key, step.tool) for step in from_the_call.again]
    assert again == [(4, "tool.started", TOOL, "pay"), (6, "model.started", "turn:2/model", None)]
    assert [(effect.tool, effect.args) for effect in from_the_call.effects] == [("pay", '{"amount": 5}')]


@pytest.mark.parametrize(
    ("effect", "from_the_start_of_the_call", "from_its_end", "asks"),
    [
        ("read", False, False, False),
        ("idempotent", False, False, False),
        ("keyed", True, False, False),  # a call that is cut in the middle is made under its old key
        ("irreversible", True, False, True),
        ("transactional", True, True, False),
    ],
)
def test_a_preview_says_which_effects_may_happen_twice(
    acme: Any, ended: Callable[..., Run], effect: str, from_the_start_of_the_call: bool, from_its_end: bool, asks: bool
) -> None:
    source = ended(asked(1), answered(1, "", CALL), called(TOOL, effect), returned(TOOL), FAILED)

    with acme.scope():
        [early] = services.preview_replay(tenant=acme.tenant, run_id=source.pk, from_seq=4).effects
        [late] = services.preview_replay(tenant=acme.tenant, run_id=source.pk, from_seq=5).effects

    assert (early.may_happen_twice, early.asks_first) == (from_the_start_of_the_call, False)
    assert (late.may_happen_twice, late.asks_first) == (from_its_end, asks)
