"""No way to a tool leads around the gate: each way that there is, under everything that may say no."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agents.core.agent import Agent
from agents.core.architectures.router import RouterRoute
from agents.core.architectures.supervisor import Supervisor
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.skills.skill import Skill
from agents.core.team import Team
from agents.core.tools.host import InProcessToolHost
from agents.core.tools.mcp.client import MCPClient
from agents.core.tools.mcp.registry import MCPRegistry
from agents.core.tools.mcp.spec import MCPServerSpec
from agents.core.tools.tool import Tool
from agents.core.workflow import Workflow
from governance.core.hooks import HookRegistry
from governance.core.permissions import PermissionDecision
from governance.core.sandbox.base import NoSandbox
from governance.core.sandbox.filesystem import FilesystemSandbox
from loom.events import Event, EventKind
from loom.messages import ToolCall, ToolResult
from tests.contract.strategies import ALL, INNER, TOOLLESS, Oracle, build, stamp

# What each way ends with: a tool whose name ends so.
GOAL = "stamp"

SKILL_TOOLS = {
    "its function": "from tests.contract.strategies import stamp\n",
    "its workflow": "from tests.contract.test_one_gate import through\ninner = through()\n",
    "the workflow it builds": (
        "from tests.contract.test_one_gate import through\ndef build_tools(ctx):\n    return [through()]\n"
    ),
}


def worker(**options: Any) -> Agent:
    return Agent("You work.", model=Oracle(), tools=[stamp], **options)


def through() -> Tool:
    """A workflow that reaches the goal by an agent that has no rules of its own."""
    return Workflow.chain([worker()], name=INNER).as_tool()


def watching() -> HookRegistry:
    async def look(call: ToolCall, result: ToolResult) -> None: ...

    return HookRegistry(post_tool_hooks=[look])


def calling(*names: str, **options: Any) -> Agent:
    """An agent that calls tools of these names one after the other."""
    args = {"load_skill": {"name": "sk"}, "grow": {}, "sk__inner": {"input": "x"}, INNER: {"input": "x"}}
    turns = [ScriptedTurn(tool_calls=[ToolCall(tool=name, args=args.get(name, {"text": "x"}))]) for name in names]
    return Agent("", model=ScriptedModel([*turns, ScriptedTurn("done")] * 2), **options)


def growing(**options: Any) -> Agent:
    """An agent that gets the way to the goal in the middle of its run."""
    agent = calling("grow", INNER, **options)

    @agent.with_tool
    async def grow() -> str:
        """Grow."""
        agent.add_tool(through())
        return "grown"

    return agent


def skilled(folder: Path, code: str, name: str, **options: Any) -> Agent:
    place = folder / "sk"
    place.mkdir()
    (place / "SKILL.md").write_text("---\nname: sk\ndescription: d\n---\nDo it.")
    (place / "tools.py").write_text(code)
    return calling("load_skill", name, skills=[Skill(place)], **options)


def scripted(folder: Path, **options: Any) -> Agent:
    place = folder / "sk"
    place.mkdir()
    (place / "SKILL.md").write_text(
        "---\nname: sk\ndescription: d\ntools:\n  stamp:\n    script: s.sh\n    args: {text: string}\n---\nDo it."
    )
    (place / "s.sh").write_text("echo stamped")
    return calling("load_skill", "sk__stamp", skills=[Skill(place)], **options)


def served(**options: Any) -> Agent:
    class Session:
        async def list_tools(self) -> Any:
            described = SimpleNamespace(name=GOAL, description="", inputSchema={"type": "object"}, annotations=None)
            return SimpleNamespace(tools=[described])

        async def call_tool(self, name: str, args: dict[str, Any]) -> Any:
            return SimpleNamespace(content=[SimpleNamespace(type="text", text="stamped")])

    session: Any = Session()
    server = MCPClient(MCPServerSpec.stdio("s", "unused"), session=session)
    return calling(GOAL, mcp=MCPRegistry([server]), **options)


Make = Callable[..., Agent]

TEAMS: dict[str, Make] = {
    "Team.supervisor": lambda **o: Team.supervisor({"w": worker()}, model=Oracle(), **o),
    "Team.router": lambda **o: Team.router([RouterRoute("w", worker())], model=Oracle(), **o),
    "Team.swarm": lambda **o: Team.swarm({"w": worker(), "v": worker()}, "w", model=Oracle(), **o),
    "Team.debate": lambda **o: Team.debate([worker(), worker()], judge=worker(), model=Oracle(), **o),
    "Team.actor_critic": lambda **o: Team.actor_critic(worker(), worker(), model=Oracle(), **o),
    "Team.blackboard": lambda **o: Team.blackboard({"w": worker()}, coordinator=worker(), model=Oracle(), **o),
}


def ways(folder: Path) -> dict[str, Make]:
    def workers_of(name: str, **options: Any) -> Agent:
        return build(name, Oracle(), worker=worker, tools=[stamp], **options)

    def with_tools(tools: Any, **options: Any) -> Agent:
        return calling(INNER, tools=tools, **options)

    nested = Workflow.chain([Workflow.chain([worker()], name="in it")], name=INNER)
    return {
        **{name: partial(workers_of, name) for name in ALL if name not in TOOLLESS},
        **TEAMS,
        "a worker that watches itself": lambda **o: Agent(
            "", model=Oracle(), architecture=Supervisor(workers={"w": worker(hooks=watching())}), **o
        ),
        "a workflow": lambda **o: with_tools([through()], **o),
        "a workflow in a workflow": lambda **o: with_tools([nested.as_tool()], **o),
        "a workflow whose agent watches itself": lambda **o: with_tools(
            [Workflow.chain([worker(hooks=watching())], name=INNER).as_tool()], **o
        ),
        "a step that is a tool": lambda **o: with_tools([Workflow.chain([stamp], name=INNER).as_tool()], **o),
        "a workflow without walls": lambda **o: with_tools(NoSandbox(InProcessToolHost([through()])), **o),
        "a workflow behind walls": lambda **o: with_tools(
            FilesystemSandbox(InProcessToolHost([through()]), roots=[folder]), **o
        ),
        "a workflow that comes in the run": growing,
        "a workflow that comes in the run to one with a kit": partial(growing, living_plan=True),
        **{
            f"a skill, {what}": partial(skilled, folder, code, "sk__stamp" if "stamp" in code else "sk__inner")
            for what, code in SKILL_TOOLS.items()
        },
        "a skill, its script": partial(scripted, folder),
        "a server": served,
    }


WAYS = list(ways(Path()))


async def refuse(call: ToolCall) -> PermissionDecision | None:
    return PermissionDecision.deny_("no") if call.tool.endswith(GOAL) else None


async def ask(call: ToolCall) -> PermissionDecision | None:
    return PermissionDecision.ask_("really?") if call.tool.endswith(GOAL) else None


async def decline(call: ToolCall, user_id: str | None) -> bool:
    return False


class Rule:
    async def check(self, call: ToolCall, *, context: Any, user_id: str | None = None) -> PermissionDecision:
        return await refuse(call) or PermissionDecision.allow_()


GUARDS: dict[str, Callable[[], dict[str, Any]]] = {
    "a rule": lambda: {"permissions": Rule()},
    "a hook": lambda: {"hooks": HookRegistry([refuse])},
    "a question that nobody answers": lambda: {"hooks": HookRegistry([ask])},
    "a person": lambda: {"hooks": HookRegistry([ask]), "approval_handler": decline},
}


async def reached(agent: Agent, *, streamed: bool = False, resumed: bool = False) -> list[ToolResult]:
    """What became of every call of the goal."""
    events: list[Event] = []

    async def hear(event: Event) -> None:
        events.append(event)

    if streamed:
        events += [event async for event in agent.stream("Go.", user_id="ann")]
    else:
        await agent.run("Go.", user_id="ann", session_id="s", emit=hear)
    if resumed:
        await agent.resume("s", "Go on.", user_id="ann", emit=hear)
    calls = [event.payload["call"] for event in events if event.kind is EventKind.TOOL_CALL]
    goals = {call.id for call in calls if call.tool.endswith(GOAL)}
    results = [event.payload["result"] for event in events if event.kind is EventKind.TOOL_RESULT]
    return [result for result in results if result.call_id in goals]


@pytest.mark.parametrize("way", WAYS)
async def test_every_way_leads_to_the_tool_where_nothing_is_wired(way: str, tmp_path: Path) -> None:
    results = await reached(ways(tmp_path)[way]())

    assert results
    assert all(result.ok for result in results)


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("way", WAYS)
async def test_no_way_leads_around_the_gate(way: str, guard: str, tmp_path: Path) -> None:
    results = await reached(ways(tmp_path)[way](**GUARDS[guard]()))

    assert results
    assert all(result.denied for result in results)


@pytest.mark.parametrize("how", ["streamed", "journaled", "resumed"])
@pytest.mark.parametrize("way", WAYS)
async def test_no_way_leads_around_the_gate_however_the_run_is_made(way: str, how: str, tmp_path: Path) -> None:
    runtime = None if how == "streamed" else f"sqlite:{tmp_path / 'runs.db'}"
    agent = ways(tmp_path)[way](**GUARDS["a hook"](), runtime=runtime)

    results = await reached(agent, streamed=how == "streamed", resumed=how == "resumed")

    assert results
    assert all(result.denied for result in results)
