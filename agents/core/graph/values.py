"""A picture as a value: nodes, edges and groups, and its two spellings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["agent", "subagent", "tool", "memory", "store", "blackboard", "step", "terminal"]


@dataclass(frozen=True, slots=True)
class Node:
    """One box. `label` may have several lines."""

    id: str
    label: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Edge:
    """One arrow."""

    source: str
    target: str
    label: str = ""


@dataclass
class Subgraph:
    """A frame around nodes, by their ids, and around other frames."""

    id: str = ""
    label: str = ""
    nodes: list[str] = field(default_factory=list)
    subgraphs: list[Subgraph] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Look:
    """How one kind of node is drawn."""

    mermaid: tuple[str, str]
    dot: str
    fill: str
    line: str


LOOKS: dict[Kind, Look] = {
    "agent": Look(("[", "]"), "box", "#dbeafe", "#1d4ed8"),
    "subagent": Look(("(", ")"), "box", "#e0e7ff", "#4338ca"),
    "tool": Look(("[/", "/]"), "parallelogram", "#fef3c7", "#b45309"),
    "memory": Look(("[(", ")]"), "cylinder", "#dcfce7", "#15803d"),
    "store": Look(("[(", ")]"), "cylinder", "#f3e8ff", "#7e22ce"),
    "blackboard": Look(("[[", "]]"), "box3d", "#e5e7eb", "#374151"),
    "step": Look(("[", "]"), "box", "#ffffff", "#475569"),
    "terminal": Look(("((", "))"), "circle", "#f8fafc", "#475569"),
}
_ALWAYS: tuple[Kind, ...] = ("agent", "subagent", "tool", "memory", "store", "blackboard")


@dataclass
class AgentGraph:
    """An agent or a workflow as a picture. In a notebook it is shown as one."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    subgraphs: list[Subgraph] = field(default_factory=list)
    title: str = "Agent"

    def to_mermaid(self, *, direction: Literal["TB", "TD"] = "TB") -> str:
        """A Mermaid flowchart, top down."""
        grouped = {node for group in self.subgraphs for node in _ids(group)}
        by_id = {node.id: node for node in self.nodes}
        lines = [f"flowchart {direction}", f"    accTitle: {_one_line(self.title)}"]
        lines += [f"    {_box(node)}" for node in self.nodes if node.id not in grouped]
        for group in self.subgraphs:
            lines += _frame(group, by_id, "    ")
        lines += [f"    {edge.source} {_arrow(edge)} {edge.target}" for edge in self.edges]
        shown = {node.kind for node in self.nodes}
        lines += [f"    {_class(kind)}" for kind in LOOKS if kind in _ALWAYS or kind in shown]
        return "\n".join(lines)

    def to_dot(self) -> str:
        """A Graphviz digraph. Every text is quoted, so that none is read as markup."""
        grouped = {node for group in self.subgraphs for node in _ids(group)}
        by_id = {node.id: node for node in self.nodes}
        lines = [
            f"digraph {_quoted(self.title)} {{",
            f"    graph [label={_quoted(self.title)}, labelloc=t, rankdir=TB, {_FONT}];",
            f"    node [style=filled, {_FONT}];",
            f"    edge [color={_quoted('#64748b')}, fontsize=10, {_FONT}];",
        ]
        lines += [f"    {_dot_box(node)}" for node in self.nodes if node.id not in grouped]
        for group in self.subgraphs:
            lines += _cluster(group, by_id, "    ")
        lines += [f"    {_quoted(e.source)} -> {_quoted(e.target)} [label={_quoted(e.label)}];" for e in self.edges]
        return "\n".join([*lines, "}"])

    def _repr_mermaid_(self) -> str:
        return self.to_mermaid()

    def _repr_markdown_(self) -> str:
        return fenced(self.to_mermaid())


def fenced(mermaid: str) -> str:
    """Mermaid as Markdown has it."""
    return f"```mermaid\n{mermaid}\n```"


def _ids(group: Subgraph) -> Iterator[str]:
    yield from group.nodes
    for inner in group.subgraphs:
        yield from _ids(inner)


# --- Mermaid ----------------------------------------------------------------------------------------------------------


def _box(node: Node) -> str:
    before, after = LOOKS[node.kind].mermaid
    return f'{node.id}{before}"{_escaped(node.label)}"{after}:::{node.kind}'


def _arrow(edge: Edge) -> str:
    return f'-->|"{_escaped(edge.label)}"|' if edge.label else "-->"


def _class(kind: Kind) -> str:
    look = LOOKS[kind]
    return f"classDef {kind} fill:{look.fill},stroke:{look.line},color:#0f172a"


def _frame(group: Subgraph, by_id: dict[str, Node], margin: str) -> list[str]:
    lines = [f'{margin}subgraph {group.id}["{_escaped(group.label)}"]']
    lines += [f"{margin}    {_box(by_id[node])}" for node in group.nodes]
    for inner in group.subgraphs:
        lines += _frame(inner, by_id, margin + "    ")
    return [*lines, f"{margin}end"]


# Mermaid reads these in a quoted label as something else: entities, the end of the text, markup and Markdown.
_ENTITIES = {ord(sign): f"#{ord(sign)};" for sign in '#"<>&`'}


def _escaped(text: str) -> str:
    return "<br/>".join(" ".join(line.split()).translate(_ENTITIES) for line in text.splitlines())


def _one_line(text: str) -> str:
    """A text where Mermaid has no way to escape."""
    return re.sub(r"[^\w .,:!?()'/+-]+", " ", " ".join(text.split())).strip() or "Agent"


# --- DOT --------------------------------------------------------------------------------------------------------------

_FONT = 'fontname="Helvetica,Arial,sans-serif"'


def _dot_box(node: Node) -> str:
    look = LOOKS[node.kind]
    style = ', style="rounded,filled"' if node.kind in ("agent", "subagent") else ""
    colors = f"fillcolor={_quoted(look.fill)}, color={_quoted(look.line)}"
    return f"{_quoted(node.id)} [label={_quoted(node.label)}, shape={look.dot}, {colors}{style}];"


def _cluster(group: Subgraph, by_id: dict[str, Node], margin: str) -> list[str]:
    lines = [f"{margin}subgraph {_quoted('cluster_' + group.id)} {{", f"{margin}    label={_quoted(group.label)};"]
    lines += [f'{margin}    style="rounded"; color="#cbd5e1";']
    lines += [f"{margin}    {_dot_box(by_id[node])}" for node in group.nodes]
    for inner in group.subgraphs:
        lines += _cluster(inner, by_id, margin + "    ")
    return [*lines, f"{margin}}}"]


def _quoted(text: str) -> str:
    """A DOT string: what JSON escapes, Graphviz does too. Other control characters it would not take."""
    return json.dumps("".join(sign for sign in text if sign.isprintable() or sign == "\n"), ensure_ascii=False)
