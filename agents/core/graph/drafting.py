"""From agents and workflows to nodes and edges."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agents.core.graph.values import AgentGraph, Edge, Kind, Node, Subgraph
from agents.core.tools.host import InProcessToolHost
from loom.messages import ToolDef

if TYPE_CHECKING:
    from agents.core.agent import Agent
    from agents.core.workflow.graph import Workflow
    from memory.core.protocol import Memory

# What the arrow to a worker says, by architecture; elsewhere it is the worker's role.
_VERBS = {"supervisor": "delegates", "router": "routes", "swarm": "hands over", "debate": "asks", "blackboard": "calls"}
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Mermaid reads these in place of a node; Graphviz takes any quoted text.
_RESERVED = frozenset(
    [
        "end",
        "graph",
        "subgraph",
        "flowchart",
        "click",
        "style",
        "class",
        "classdef",
        "linkstyle",
        "default",
        "direction",
        "href",
        "call",
        "interpolate",
        "acctitle",
        "accdescr",
        "_self",
        "_blank",
        "_parent",
        "_top",
    ]
)


class Draft:
    """A picture under way. Every agent and workflow is drawn once, and pointed to when it comes again.

    `tools` are those of the agents that were asked, by the agent's `id()`; of the others, those in this process are
    drawn. `agents` are all that were drawn.
    """

    def __init__(self, tools: Mapping[int, Sequence[ToolDef]] | None = None) -> None:
        self.agents: list[Agent] = []
        self.root = Subgraph()
        self._tools = tools or {}
        self._nodes: list[Node] = []
        self._edges: list[Edge] = []
        self._drawn: dict[int, str] = {}
        self._taken: set[str] = set()

    def graph(self, title: str) -> AgentGraph:
        return AgentGraph(self._nodes, self._edges, self.root.subgraphs, title)

    # --- agents -------------------------------------------------------------------------------------------------------

    def agent(self, agent: Agent, name: str, within: Subgraph, kind: Kind = "subagent") -> str:
        """Draw an agent with what it uses, or find it where it was drawn."""
        if (known := self._drawn.get(id(agent))) is not None:
            return known
        here = self._node(_titled(agent, name), kind, within, name)
        self._drawn[id(agent)] = here
        self._furnish(agent, name, here, within, kind)
        return here

    def _furnish(self, agent: Agent, name: str, here: str, within: Subgraph, kind: Kind) -> None:
        self.agents.append(agent)
        tools = self._tools.get(id(agent))
        for tool in _in_process(agent.tool_host) if tools is None else tools:
            label = tool.name if tool.server is None else f"{tool.name}\n{tool.server}"
            there = self._node(label, "tool", within, f"{here}_{tool.name}")
            self._edge(here, there, "uses")
            self._behind(_tool_of(agent, tool.name), there, within)
        # Below the first agent, memory that was not given is that of the surroundings.
        self._memory(agent, agent.memory if kind == "agent" else agent.own_memory, here, within)
        self._kit(agent, here, within)
        self._workers(agent, name, here, within)

    def _memory(self, agent: Agent, memory: Memory | None, here: str, within: Subgraph) -> None:
        if memory is not None:
            there = self._shared(memory, type(memory).__name__, "memory", within)
            self._edge(here, there, "remembers")
            if (facts := getattr(memory, "facts", None)) is not None:
                self._edge(there, self._shared(facts, type(facts).__name__, "store", within), "facts")
        lessons = getattr(agent.architecture, "lesson_store", None)
        if lessons is not None:
            self._edge(here, self._shared(lessons, type(lessons).__name__, "store", within), "lessons")

    def _kit(self, agent: Agent, here: str, within: Subgraph) -> None:
        kit = agent.kit
        if kit is None:
            return
        if kit.workspace is not None:
            self._edge(here, self._shared(kit.workspace, "workspace", "store", within), "notes")
        if kit.skills is not None:
            self._edge(here, self._shared(kit.skills, "skills", "store", within), "loads")

    def _workers(self, agent: Agent, name: str, here: str, within: Subgraph) -> None:
        workers = agent.architecture.declared_workers()
        if not workers:
            return
        way = agent.architecture.name
        group = Subgraph(self._id(f"{here}_workers"), f"{way}: workers of {name}")
        within.subgraphs.append(group)
        board = self._node("blackboard", "blackboard", group, f"{here}_board") if way == "blackboard" else None
        if board is not None:
            self._edge(here, board, "reads")
        for role, worker in workers.items():
            there = self.agent(worker, role, group)
            self._edge(here, there, _VERBS.get(way, role))
            if board is not None:
                self._edge(there, board, "posts")

    # --- workflows ----------------------------------------------------------------------------------------------------

    def workflow(self, workflow: Workflow, within: Subgraph) -> str:
        """Draw the nodes of a workflow and the ways between them; gives its start."""
        if (known := self._drawn.get(id(workflow))) is not None:
            return known
        start, end = self._node("START", "terminal", within, "START"), self._node("END", "terminal", within, "END_")
        self._drawn[id(workflow)] = start
        places = {name: self.step(node.step, name, within) for name, node in workflow.nodes.items()}
        if workflow.start is not None:
            self._edge(start, places[workflow.start])
        for source, target, label in ways(workflow):
            here = places[source] if isinstance(source, str) else start
            self._edge(here, places[target] if isinstance(target, str) else end, label)
        return start

    def step(self, step: Any, name: str, within: Subgraph) -> str:
        """Draw one step, and in a frame of its own whatever runs in it."""
        if hasattr(step, "architecture"):
            if (known := self._drawn.get(id(step))) is None:
                return self.agent(step, name, within)
            here = self._node(_titled(step, name), "subagent", within, name)
            self._edge(here, known, "is")
            return here
        if hasattr(step, "input_schema"):
            here = self._node(name, "tool", within, name)
            self._behind(step, here, within)
            return here
        here = self._node(name, "step", within, name)
        if hasattr(step, "choices"):
            self._nested(step, here, within)
        elif hasattr(step, "merge"):
            group = Subgraph(self._id(f"{here}_parallel"), f"{name}: at the same time")
            within.subgraphs.append(group)
            for node in step.nodes:
                self._edge(here, self.step(node.step, node.name, group))
        return here

    def _behind(self, tool: Any, here: str, within: Subgraph) -> None:
        """Draw the workflow that a tool runs, if it does."""
        if (workflow := getattr(tool, "workflow", None)) is not None:
            self._nested(workflow, here, within)

    def _nested(self, workflow: Workflow, here: str, within: Subgraph) -> None:
        if id(workflow) not in self._drawn:
            group = Subgraph(self._id(f"{here}_workflow"), workflow.name)
            within.subgraphs.append(group)
            self.workflow(workflow, group)
        self._edge(here, self._drawn[id(workflow)], "runs")

    # --- pieces -------------------------------------------------------------------------------------------------------

    def _shared(self, thing: Any, label: str, kind: Kind, within: Subgraph) -> str:
        """The node of something that several agents may use: drawn where it is first seen."""
        if id(thing) not in self._drawn:
            self._drawn[id(thing)] = self._node(label, kind, within, label)
        return self._drawn[id(thing)]

    def _node(self, label: str, kind: Kind, within: Subgraph, wanted: str) -> str:
        node = Node(self._id(wanted), label, kind)
        self._nodes.append(node)
        within.nodes.append(node.id)
        return node.id

    def _edge(self, source: str, target: str, label: str = "") -> None:
        self._edges.append(Edge(source, target, label))

    def _id(self, wanted: str) -> str:
        """A name for a node that is like the wanted one, allowed, and not taken."""
        name = wanted if _PLAIN.fullmatch(wanted) else re.sub(r"[^A-Za-z0-9_]+", "_", f"n_{wanted}")
        name = f"{name}_" if name.lower() in _RESERVED else name
        free, number = name, 1
        while free in self._taken:
            number += 1
            free = f"{name}_{number}"
        self._taken.add(free)
        return free


def ways(workflow: Workflow) -> list[tuple[Any, Any, str]]:
    """Every way from a node, with its label; a node without one goes to the end, which is no text."""
    found: list[tuple[Any, Any, str]] = [(source, target, "") for source, target in workflow.edges.items()]
    for source, choice in workflow.choices.items():
        found += [(source, target, key) for key, target in choice.routes.items()]
        if choice.default is not None:
            found.append((source, choice.default, "default"))
    left = {source for source, _, _ in found}
    return found + [(name, None, "") for name in workflow.nodes if name not in left]


def _in_process(host: Any) -> list[ToolDef]:
    """The tools of a host that can be seen without asking anybody."""
    return [tool.to_def() for tool in host.tools()] if isinstance(host, InProcessToolHost) else []


def _tool_of(agent: Agent, name: str) -> Any:
    """The tool itself, where it is in this process."""
    return agent.tool_host.get(name) if isinstance(agent.tool_host, InProcessToolHost) else None


def _titled(agent: Agent, name: str) -> str:
    """The name, model and strategy of an agent. Not its instructions: pictures are passed around."""
    title = name if agent.name in (name, "agent") else f"{name} ({agent.name})"
    return f"{title}\n{agent.model.name} · {_way(agent.architecture)}"


def _way(architecture: Any) -> str:
    base = getattr(architecture, "base", None)
    if base is None or not hasattr(base, "declared_workers"):
        return str(architecture.name)
    return f"{architecture.name} over {_way(base)}"
