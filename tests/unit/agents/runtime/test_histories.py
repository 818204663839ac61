"""Histories of before, replayed against the code of now.

When one fails because its steps are meant to change: `python -m tests.histories.record NAME`, and say in the changelog
that waiting runs of before cannot go on.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from agents.core.llm.scripted import ScriptedModel
from agents.core.runtime.replay import History, record, replay
from agents.core.tools.tool import Tool
from agents.core.workflow.graph import Workflow
from loom.context import RunContext
from loom.errors import NonDeterminism
from tests.histories import programs
from tests.histories.programs import SAMPLES
from tests.histories.record import load


@pytest.mark.parametrize("name", list(SAMPLES))
async def test_a_history_replays_with_the_same_steps_to_the_same_end(name: str) -> None:
    history, sample = load(name), SAMPLES[name]

    assert await replay(sample.make(), history, output_schema=sample.output_schema) == history.steps


@pytest.mark.parametrize("name", list(SAMPLES))
async def test_a_replay_calls_no_model_and_no_tool(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def called(*args: Any, **options: Any) -> None:
        raise AssertionError("a replay called the outside")

    monkeypatch.setattr(ScriptedModel, "complete", called)
    monkeypatch.setattr(ScriptedModel, "stream", called)
    monkeypatch.setattr(Tool, "execute", called)

    await replay(SAMPLES[name].make(), load(name), output_schema=SAMPLES[name].output_schema)


def _without(history: History, step: str) -> History:
    kept = tuple(record for record in history.records if record.step_key != step)
    return history.model_copy(update={"records": kept, "steps": tuple(s for s in history.steps if s != step)})


@pytest.mark.parametrize("name", list(SAMPLES))
async def test_a_step_that_the_history_lacks_is_named(name: str) -> None:
    history, sample = load(name), SAMPLES[name]
    for step in history.steps:
        with pytest.raises(NonDeterminism, match="is new") as raised:
            await replay(sample.make(), _without(history, step), output_schema=sample.output_schema)
        assert raised.value.facts["step_key"] == step


async def test_a_reordered_step_is_named() -> None:
    history = load("workflow")
    steps = list(history.steps)
    steps[0], steps[1] = steps[1], steps[0]

    with pytest.raises(NonDeterminism, match=f"step '{history.steps[0]}' comes where '{history.steps[1]}' was taken"):
        await replay(SAMPLES["workflow"].make(), history.model_copy(update={"steps": tuple(steps)}))


def chain(*names: str) -> Workflow:
    async def same(value: Any) -> Any:
        return value

    workflow = Workflow("chain")
    for name in names:
        workflow.add_node(name, same)
    for before, after in pairwise(names):
        workflow.add_edge(before, after)
    return workflow.set_start(names[0])


async def test_a_workflow_whose_steps_were_exchanged_is_refused_with_the_step_named() -> None:
    history = await record(chain("first", "second"), {"n": 1}, RunContext("ann", "s", "r"))

    with pytest.raises(NonDeterminism, match="step 'step:second#1' comes where 'step:first#1' was taken"):
        await replay(chain("second", "first"), history)


async def test_a_tool_call_with_other_arguments_is_named() -> None:
    history = load("assistant")
    [started] = [r for r in history.records if r.kind == "tool.started" and r.step_key == "turn:2/tool:call_1"]
    other = started.model_copy(update={"data": {**started.data, "args": {"to": "cem@example.com", "text": "."}}})
    changed = tuple(other if record is started else record for record in history.records)

    with pytest.raises(NonDeterminism, match="turn:2/tool:call_1"):
        await replay(programs.assistant(), history.model_copy(update={"records": changed}))


async def test_a_step_that_is_not_taken_any_more_is_named() -> None:
    history = await record(chain("first", "second"), {"n": 1}, RunContext("ann", "s", "r"))

    with pytest.raises(NonDeterminism, match="'step:second#1' is not taken any more"):
        await replay(chain("first"), history)
