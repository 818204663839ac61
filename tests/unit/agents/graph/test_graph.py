"""Pictures of agents and workflows."""

from __future__ import annotations

import socket
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from agents.core.agent import Agent
from agents.core.architectures.reflexion import Reflexion
from agents.core.architectures.self_refine import SelfRefine
from agents.core.graph import AgentGraph, Edge, Node, build_graph, write_graph
from agents.core.graph.writing import render
from agents.core.team import Team
from agents.core.tools.tool import tool
from agents.core.workflow import Workflow
from loom.errors import MCPError, Unavailable
from loom.messages import ToolDef
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.facts import InMemoryFactStore

SECRET = "The code word is rhubarb."


@tool
async def search_web(query: str) -> str:
    """Search."""
    return query


def agent(name: str, **more: Any) -> Agent:
    return Agent(SECRET, name=name, model="echo", **more)


def team() -> Agent:
    panel = Team.debate([agent("pro"), agent("con")], model="echo", judge=agent("judge"))
    return Team.supervisor({"researcher": agent("researcher", tools=[search_web]), "panel": panel}, model="echo")


def arrows(graph: AgentGraph) -> set[tuple[str, str, str]]:
    names = {node.id: node.label.splitlines()[0] for node in graph.nodes}
    return {(names[edge.source], edge.label, names[edge.target]) for edge in graph.edges}


def frames(graph: AgentGraph) -> list[str]:
    def within(groups: list[Any]) -> list[str]:
        return [text for group in groups for text in (group.label, *within(group.subgraphs))]

    return within(graph.subgraphs)


# --- what is in it ----------------------------------------------------------------------------------------------------


async def test_an_agent_uses_its_tools_and_remembers() -> None:
    graph = await build_graph(agent("clerk", tools=[search_web]))

    assert arrows(graph) == {("clerk", "uses", "search_web"), ("clerk", "remembers", "InMemoryMemory")}
    assert [node.kind for node in graph.nodes] == ["agent", "tool", "memory"]


async def test_workers_are_drawn_with_their_own_tools_and_workers_to_the_bottom() -> None:
    graph = await build_graph(team())

    assert arrows(graph) >= {
        ("agent", "delegates", "researcher"),
        ("researcher", "uses", "search_web"),
        ("agent", "delegates", "panel"),
        ("panel", "asks", "debater_1 (pro)"),
        ("panel", "asks", "judge"),
    }
    assert frames(graph) == ["supervisor: workers of agent", "debate: workers of panel"]


async def test_the_base_of_an_architecture_is_named_with_its_workers() -> None:
    inner = Team.supervisor({"helper": agent("helper")}, model="echo").architecture
    graph = await build_graph(agent("writer", architecture=SelfRefine(base=inner)))

    assert "self-refine over supervisor over react" in graph.nodes[0].label
    assert ("writer", "helper", "helper") in arrows(graph)


async def test_stores_and_a_blackboard_have_their_own_looks() -> None:
    memory = InMemoryMemory(fact_store=InMemoryFactStore())
    board = Team.blackboard({"a": agent("a"), "b": agent("b")}, model="echo", memory=memory)
    graph = await build_graph(board)

    assert arrows(graph) >= {
        ("agent", "reads", "blackboard"),
        ("a", "posts", "blackboard"),
        ("InMemoryMemory", "facts", "InMemoryFactStore"),
    }
    assert {node.kind for node in graph.nodes} == {"agent", "subagent", "memory", "store", "blackboard"}


async def test_lessons_are_drawn_as_a_store() -> None:
    class Lessons:
        async def search(self, *args: Any, **options: Any) -> list[Any]:
            return []

    graph = await build_graph(agent("learner", architecture=Reflexion(lesson_store=Lessons())))  # type: ignore[arg-type]

    assert ("learner", "lessons", "Lessons") in arrows(graph)


async def test_one_agent_in_two_places_is_drawn_once() -> None:
    shared = agent("shared", tools=[search_web])
    graph = await build_graph(Team.supervisor({"one": shared, "two": shared}, model="echo"))

    assert [node.kind for node in graph.nodes].count("subagent") == 1
    assert [edge.label for edge in graph.edges].count("uses") == 1


async def test_a_team_that_contains_itself_has_an_end() -> None:
    boss = Team.supervisor({"helper": agent("helper")}, model="echo")
    boss.architecture.add_worker("boss", boss)  # type: ignore[attr-defined]

    assert ("agent", "delegates", "agent") in arrows(await build_graph(boss))


async def test_a_tool_server_that_is_down_is_drawn_as_such() -> None:
    class Down:
        async def list_tools(self, *, query: str | None = None) -> list[ToolDef]:
            raise MCPError("connection refused")

        async def call(self, *args: Any, **options: Any) -> Any:
            raise AssertionError("nobody calls a tool")

        def watch(self) -> Any:
            raise AssertionError("nobody watches")

    graph = await build_graph(agent("clerk", tools=Down()))

    assert ("clerk", "uses", "Down: mcp") in arrows(graph)


async def test_a_workflow_is_drawn_with_the_agents_and_workflows_in_it() -> None:
    inner = Workflow.parallel([agent("left"), agent("right")], name="both")
    workflow = Workflow.chain([agent("reader", tools=[search_web]), inner, search_web])
    graph = await build_graph(workflow)

    assert arrows(graph) >= {
        ("START", "", "reader"),
        ("reader", "uses", "search_web"),
        ("reader", "", "both"),
        ("both", "runs", "START"),
        ("fan_out", "", "left"),
        ("both", "", "search_web"),
        ("search_web", "", "END"),
    }
    assert frames(graph) == ["both", "fan_out: at the same time"]


# --- how it is written ------------------------------------------------------------------------------------------------


async def test_the_mermaid_text_has_the_classes_and_the_frames() -> None:
    text = await team().generate_graph()

    assert text.startswith("flowchart TB\n")
    for kind in ("agent", "subagent", "tool", "memory", "store", "blackboard"):
        assert f"classDef {kind} " in text
    assert 'researcher -->|"uses"| researcher_search_web' in text
    assert text.count("subgraph ") == text.count("\n    end") + text.count("\n        end") == 2


def test_names_cannot_break_out_of_their_labels() -> None:
    nasty = 'a"] --> x["<img src=x onerror=alert(1)>\n#quot; `*b*`'
    graph = AgentGraph([Node("n", nasty, "agent"), Node("m", "m", "tool")], [Edge("n", "m", nasty)], title=nasty)
    text = graph.to_mermaid()

    assert len(text.splitlines()) == 2 + 2 + 1 + 6
    assert "<img" not in text
    assert "#quot;" not in text


@pytest.mark.parametrize("name", ["end", "a b", "x-->y", "START", "ünïcode", "1st", "linkStyle", "_self"])
def test_a_workflow_with_odd_names_is_still_a_drawing(name: str) -> None:
    text = Workflow("odd").add_node(name, lambda value: value).set_start(name).to_mermaid()

    ids = [line.split("-->")[0].strip() for line in text.splitlines() if "-->" in line]
    assert all(word.isidentifier() and word not in ("end", "linkStyle", "_self") for word in ids)
    assert len(set(ids)) == 2


def test_a_workflow_shows_what_is_nested_in_it_in_all_its_forms() -> None:
    inner = Workflow.chain([agent("nested")], name="inner")
    workflow = Workflow.chain([team(), inner], name="outer")

    for text in (workflow.to_mermaid(), workflow.to_dot()):
        assert all(word in text for word in ("inner", "nested", "researcher", "debater_1"))
    assert workflow.to_mermaid().startswith("flowchart TD\n")
    assert workflow._repr_mermaid_() in workflow._repr_markdown_()
    assert workflow._repr_markdown_().startswith("```mermaid\nflowchart TD")


async def test_a_graph_shows_itself_in_a_notebook() -> None:
    graph = await build_graph(agent("clerk"))

    assert graph._repr_markdown_() == f"```mermaid\n{graph.to_mermaid()}\n```"


# --- files ------------------------------------------------------------------------------------------------------------


async def test_the_suffix_says_what_is_written(tmp_path: Path) -> None:
    text = await agent("clerk").generate_graph(tmp_path / "a.mmd")
    await agent("clerk").generate_graph(tmp_path / "a.md", title="The clerk")
    await agent("clerk").generate_graph(tmp_path / "a.txt")

    assert (tmp_path / "a.mmd").read_text() == (tmp_path / "a.txt").read_text() == f"{text}\n"
    assert (tmp_path / "a.md").read_text().startswith("# The clerk\n\n```mermaid\nflowchart TB\n")
    assert (tmp_path / "a.md").read_text().endswith("```\n")


async def test_a_picture_is_drawn_here_and_nothing_of_it_is_sent_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pygraphviz", reason="needs the extra: pip install 'loom[graph]'")

    left: list[Any] = []

    def refuse(*args: Any, **options: Any) -> Any:
        left.append(args)
        raise OSError("something wanted to leave this machine")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    await write_graph(team(), tmp_path / "x.png", title='A "team" <b> \\N end\\')
    await write_graph(team(), tmp_path / "x.svg", title='A "team" <b> \\N end\\')

    assert left == []
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    svg = (tmp_path / "x.svg").read_text()
    texts = ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter() if "text" in element.tag]
    assert {"researcher", "search_web", "uses", "debate: workers of panel"} <= set(texts)
    assert 'A "team" <b> \\N end\\' in texts
    assert "rhubarb" not in svg


def test_a_name_that_looks_like_markup_is_drawn_as_a_text() -> None:
    pytest.importorskip("pygraphviz", reason="needs the extra: pip install 'loom[graph]'")

    svg = render(AgentGraph([Node("n", '<IMG SRC="/etc/passwd"/>', "agent")]), "svg").decode()

    assert '<IMG SRC="/etc/passwd"/>' in [element.text for element in ElementTree.fromstring(svg).iter()]


async def test_instructions_are_in_no_picture() -> None:
    assert "rhubarb" not in await team().generate_graph()


async def test_a_missing_drawing_library_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pygraphviz", None)

    with pytest.raises(Unavailable, match=r"pip install 'loom\[graph\]'"):
        await agent("clerk").generate_graph(tmp_path / "a.svg")
    assert not (tmp_path / "a.svg").exists()


async def test_a_workflow_behind_a_tool_is_drawn_with_the_agents_in_it() -> None:
    status = Workflow.chain([agent("finder", tools=[search_web])], name="status").as_tool()

    graph = await build_graph(agent("desk", tools=[status]))
    stepwise = await build_graph(Workflow.chain([status], name="outer"))

    assert arrows(graph) >= {
        ("desk", "uses", "status"),
        ("status", "runs", "START"),
        ("START", "", "finder"),
        ("finder", "uses", "search_web"),
    }
    assert ("status", "runs", "START") in arrows(stepwise)
