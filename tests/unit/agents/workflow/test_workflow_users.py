"""One workflow for many users at once: what belongs to a run stays in the run."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core.agent import Agent
from agents.core.concurrency import together
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.workflow import END, Workflow
from loom.context import RunContext, get_run_context
from loom.messages import Message
from memory.core.backends.in_memory import InMemoryMemory

USERS = ("ann", "cem")


@settings(max_examples=30, deadline=None)
@given(dealt=st.lists(st.integers(0, 3), max_size=60))
def test_two_users_in_every_shape_of_a_workflow_never_mix(dealt: list[int]) -> None:
    async def scene() -> None:
        left, memory = list(dealt), InMemoryMemory()
        heard: list[tuple[str | None, str]] = []

        async def pause() -> str | None:
            for _ in range(left.pop() if left else 0):
                await anyio.sleep(0)
            return get_run_context().user_id

        async def note(value: Any) -> str:
            heard.append((await pause(), str(value)))
            return str(value)

        async def answer(messages: list[Message]) -> ScriptedTurn:
            heard.append((await pause(), "\n".join(m.content for m in messages)))
            return ScriptedTurn(f"answer for {get_run_context().user_id}")

        async def which(value: str) -> str:
            return "a" if await pause() == "ann" else "b"

        agent = Agent("", name="agent", model=ScriptedModel([answer] * 99))
        routed = Workflow.route(which, {"a": note, "b": agent}, name="routed")
        both = Workflow.parallel([note, agent, routed], name="both")
        workflow = Workflow.chain([note, both, agent], memory=memory)
        workflow.add_router("agent", which, {"a": END, "b": END})

        async def converse(user_id: str) -> None:
            for turn in range(2):
                said = f"the secret of {user_id} is {turn}"
                result = await workflow.run(said, user_id=user_id, session_id="s")
                assert result.output == f"answer for {user_id}"
                assert result.per_step["note"] == said

        await together([partial(converse, user_id) for user_id in USERS])
        for user_id, text in heard:
            [other] = set(USERS) - {user_id}
            assert other not in text

    anyio.run(scene)


async def fail(value: Any) -> None:
    raise LookupError("nothing there")


async def test_a_run_that_fails_leaves_no_user_behind() -> None:
    with pytest.raises(LookupError):
        await Workflow.chain([fail]).run("x", user_id="ann")

    assert get_run_context() == RunContext()


async def test_a_stream_that_is_left_leaves_no_user_behind() -> None:
    async with aclosing(Workflow.chain([fail]).stream("x", user_id="ann")) as events:
        async for _ in events:
            assert get_run_context() == RunContext()
            break

    assert get_run_context() == RunContext()
