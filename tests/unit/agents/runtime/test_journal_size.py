"""How long a journal gets: with what is said, and not with the square of the turns."""

from __future__ import annotations

import json

import pytest

from agents.core.agent import Agent
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.tools.tool import tool
from loom.messages import ToolCall, ToolResult, Usage
from tests.unit.agents.journals import ListJournal, ListRuntime

PROMPT, ANSWER = "Find everything that was said of the harbor. " * 4, "It was said of the harbor that it is deep. " * 8
SAID = "I look for the next part of it, since what was found so far does not say how deep it is. " * 2


def found(number: int) -> str:
    return f"Page {number}: " + "the harbor is as deep as it was in the year before, and ships of all sizes go in. " * 8


def args_of(number: int) -> dict[str, object]:
    return {"query": f"depth of the harbor in the year {1900 + number}", "page": number}


@tool(effect="read")
def search(query: str, page: int) -> str:
    """Search in the archive."""
    return found(page)


async def journal_of(turns: int) -> ListJournal:
    usage = Usage(input_tokens=4_000, cached_input_tokens=3_000, output_tokens=60, cost_usd=0.0123)
    calls = [ToolCall(id=f"call_{n}", tool="search", args=args_of(n)) for n in range(turns)]
    script = [*(ScriptedTurn(SAID, [call], usage) for call in calls), ScriptedTurn(ANSWER, usage=usage)]
    runtime = ListRuntime()
    agent = Agent("You search.", model=ScriptedModel(script), tools=[search], runtime=runtime, max_turns=turns + 1)
    assert (await agent.run(PROMPT)).output == ANSWER
    return runtime.journal


def size(journal: ListJournal) -> int:
    return sum(len(json.dumps(record.data)) for record in journal.records)


def unique(turns: int) -> int:
    each = [len(SAID) + len(json.dumps(args_of(n))) + len(found(n)) for n in range(turns)]
    return len(PROMPT) + len(ANSWER) + sum(each)


@pytest.mark.parametrize("turns", [10, 25, 50, 100])
async def test_a_journal_takes_no_more_than_twice_what_was_said(turns: int) -> None:
    assert size(await journal_of(turns)) <= 2 * unique(turns)


async def test_a_later_turn_takes_no_more_room_than_an_earlier_one() -> None:
    fifty, hundred = size(await journal_of(50)), size(await journal_of(100))

    assert hundred <= 2.05 * fifty


async def test_what_is_left_out_of_a_journal_is_what_reading_fills_in() -> None:
    records = (await journal_of(1)).records
    told = next(r.data["value"] for r in records if r.kind == "tool.completed")
    replied = next(r.data["value"] for r in records if r.kind == "model.completed")

    assert "denied" not in told
    assert "tool_def" not in replied["tool_calls"][0]
    assert ToolResult.model_validate(told) == ToolResult(**{**told, "denied": False, "error": None, "reason": None})
    assert Usage(**replied["usage"]).cached_input_tokens == 3_000
