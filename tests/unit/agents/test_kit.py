"""What an agent brings besides its own tools, and what one run makes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from agents.core.agent import Agent
from agents.core.architectures.rewoo import ReWOO
from agents.core.kit import Desk, make_kit
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.tools.host import InProcessToolHost
from agents.core.tools.mcp.spec import MCPServerSpec
from agents.core.tools.tool import tool
from agents.core.workspace.in_memory import InMemoryWorkspace
from governance.core.permissions import StandardPermissions
from loom.errors import ConfigError
from loom.events import Event, EventKind
from loom.messages import Message, ToolCall, ToolResult


def calling(name: str, /, **args: Any) -> ScriptedTurn:
    return ScriptedTurn(tool_calls=[ToolCall(tool=name, args=args)])


class Watched:
    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def results(self) -> list[Any]:
        return [e.payload["result"] for e in self.events if e.kind is EventKind.TOOL_RESULT]


@pytest.fixture
def skill(tmp_path: Path) -> Path:
    folder = tmp_path / "brewing"
    folder.mkdir()
    (folder / "SKILL.md").write_text(
        "---\nname: brewing\ndescription: How to brew tea.\nallowed-tools: look\n---\nBoil water.\n"
    )
    return folder


@tool
async def look() -> str:
    """Look."""
    return "seen"


@tool(destructive=True)
async def wipe() -> str:
    """Wipe."""
    return "wiped"


def test_an_agent_without_extras_has_no_kit() -> None:
    assert Agent("Help.", model="echo").kit is None


def test_the_instructions_are_followed_by_skills_workspace_and_plan(skill: Path) -> None:
    agent = Agent("Help.", model="echo", skills=[str(skill)], workspace="memory", living_plan=True)
    text = agent.instructions
    assert text.startswith("Help.\n\n")
    places = [text.index("brewing"), text.lower().index("workspace"), text.lower().rindex("plan")]
    assert places == sorted(places)
    assert agent.own_instructions == "Help."
    assert agent.skills is not None
    assert len(agent.stop_hooks) == 1


def test_no_skills_are_as_good_as_none() -> None:
    agent = Agent("Help.", model="echo", skills=[])
    assert (agent.instructions, agent.skills) == ("Help.", None)


@pytest.mark.parametrize(
    ("mcp", "message"),
    [
        ([{"transport": "stdio", "command": "x"}], "name"),
        ([{"name": "a", "transport": "smoke"}], "transport"),
        ([{"name": "a", "transport": "stdio", "comand": "x"}], "did you mean 'command'"),
        ([3], "an MCP server is"),
    ],
)
def test_an_mcp_server_that_makes_no_sense_is_refused(mcp: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Agent("", model="echo", mcp=mcp)


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "a", "transport": "stdio", "command": "x", "args": ["-v"]},
        [{"name": "a", "transport": "http", "url": "http://127.0.0.1:1/mcp"}],
        MCPServerSpec.stdio("a", "x"),
    ],
)
def test_mcp_servers_are_mappings_or_specs(spec: Any) -> None:
    assert make_kit(mcp=spec).mcp is not None


def test_mcp_servers_of_a_config_reach_the_agent() -> None:
    servers = [{"name": "a", "transport": "stdio", "command": "x"}]
    agent = Agent.from_dict({"instructions": "x", "model": "echo", "mcp": servers})
    assert agent.kit is not None
    assert agent.kit.mcp is not None


async def test_a_loaded_skill_restricts_the_tools_to_those_it_lists(skill: Path) -> None:
    model = ScriptedModel([calling("wipe"), calling("load_skill", name="brewing"), calling("wipe"), calling("look")])
    watched = Watched()
    await Agent("", model=model, tools=[look, wipe], skills=[str(skill)]).run("x", emit=watched)
    before, loaded, after, listed = watched.results
    assert (before.ok, loaded.ok, listed.ok) == (True, True, True)
    assert after.denied
    assert "brewing" in after.reason


async def test_a_skill_that_one_run_loaded_is_not_loaded_in_another(skill: Path) -> None:
    model = ScriptedModel(
        [calling("load_skill", name="brewing"), ScriptedTurn("a"), calling("wipe"), ScriptedTurn("b")]
    )
    agent, watched = Agent("", model=model, tools=[look, wipe], skills=[str(skill)]), Watched()
    await agent.run("x", user_id="alice", emit=watched)
    await agent.run("x", user_id="bob", emit=watched)
    assert watched.results[-1].ok


async def test_runs_at_the_same_time_have_plans_of_their_own() -> None:
    plans: dict[str, str] = {}
    both = anyio.Event()

    def agent_for(who: str) -> Agent:
        async def look_at(messages: list[Message]) -> ScriptedTurn:
            if len(plans) == 1:
                both.set()
            return calling("plan_read")

        def keep(messages: list[Message]) -> ScriptedTurn:
            plans[who] = messages[-1].content
            return ScriptedTurn("done")

        write = calling("plan_write", goal=f"serve {who}", steps=["boil"])
        return Agent("", model=ScriptedModel([write, look_at, keep]), living_plan={"auto_stop_hook": False})

    async with anyio.create_task_group() as group:
        for who in ("alice", "bob"):
            group.start_soon(lambda who=who: agent_for(who).run("x", user_id=who))
    assert "alice" in plans["alice"]
    assert "bob" not in plans["alice"]
    assert "alice" not in plans["bob"]


async def test_what_a_skill_asks_for_holds_for_the_steps_of_a_plan_too(skill: Path) -> None:
    plan = [
        {"id": "E1", "tool": "load_skill", "args": {"name": "brewing"}},
        {"id": "E2", "tool": "wipe", "args": {}},
    ]
    watched = Watched()
    model = ScriptedModel([ScriptedTurn(json.dumps(plan)), ScriptedTurn("done")])
    in_turn = ReWOO(parallel_levels=False)
    await Agent("", model=model, tools=[look, wipe], skills=[str(skill)], architecture=in_turn).run("x", emit=watched)

    assert [result.denied for result in watched.results] == [False, True]


async def test_a_skill_stays_in_use_when_its_loading_is_cut_from_the_conversation_or_only_replayed(skill: Path) -> None:
    (skill / "tools.py").write_text("from loom import tool\n\n@tool\ndef boil() -> str:\n    return 'hot'\n")
    desk = Desk(make_kit(skills=[str(skill)]), InProcessToolHost())

    desk.heard(ToolCall(tool="load_skill", args={"name": "brewing"}), ToolResult.success("", "Boil."), was_run=False)

    assert desk.objection(ToolCall(tool="wipe"), []) is not None
    assert desk.objection(ToolCall(tool="look"), []) is None
    assert "brewing__boil" in [tool.name for tool in await desk.tools.list_tools()]


async def test_the_tools_of_an_agent_are_its_own_and_those_of_its_kit(skill: Path) -> None:
    agent = Agent("Help.", model="echo", tools=[look], skills=[str(skill)], workspace="memory", living_plan=True)
    names = await agent.tools_list()
    assert names[0] == "look"
    assert {"load_skill", "note", "plan_write"} < set(names)


async def test_the_tools_of_the_kit_stand_behind_the_gate() -> None:
    watched = Watched()
    model = ScriptedModel([calling("note", title="a", body="b")])
    permissions = StandardPermissions(denied_tools=["note"])
    await Agent("", model=model, workspace="memory", permissions=permissions).run("x", emit=watched)
    assert watched.results[0].denied


async def test_a_surrounding_workspace_is_lent_and_the_agents_own_kept() -> None:
    own, lent = InMemoryWorkspace(), InMemoryWorkspace()
    assert make_kit(workspace=own).with_workspace(lent).workspace is own
    kit = make_kit(living_plan=True).with_workspace(lent)
    assert kit.workspace is lent
    assert "note" in {t.name for t in kit.tools}
    assert kit.section.lower().count("workspace") >= 1


async def test_notes_that_a_run_has_read_are_cited() -> None:
    write, read = calling("note", title="Plan", body="tea"), calling("read_note", slug_or_title="Plan")
    result = await Agent("", model=ScriptedModel([write, read]), workspace="memory").run("x", user_id="alice")
    assert len(result.cited_slugs) == 1
