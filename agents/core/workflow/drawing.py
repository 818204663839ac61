"""Workflows as pictures: Mermaid and DOT text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.core.workflow.nodes import END, Target

if TYPE_CHECKING:
    from agents.core.workflow.graph import Workflow


def mermaid(workflow: Workflow) -> str:
    """A Mermaid flowchart, top down."""
    lines = ["flowchart TD", "    START((START))", "    END_((END))"]
    lines += [f'    {name}["{name}"]' for name in workflow.nodes]
    if workflow.start:
        lines.append(f"    START --> {workflow.start}")
    for source, target, label in _arrows(workflow):
        arrow = f"-->|{label}|" if label else "-->"
        lines.append(f"    {source} {arrow} {_place(target)}")
    return "\n".join(lines)


def dot(workflow: Workflow) -> str:
    """A Graphviz digraph."""
    lines = [f'digraph "{workflow.name}" {{', "    START [shape=circle];", "    END_ [shape=circle, label=END];"]
    lines += [f'    "{name}" [shape=box];' for name in workflow.nodes]
    if workflow.start:
        lines.append(f'    START -> "{workflow.start}";')
    for source, target, label in _arrows(workflow):
        suffix = f' [label="{label}"]' if label else ""
        lines.append(f'    "{source}" -> "{_place(target)}"{suffix};')
    return "\n".join([*lines, "}"])


def _arrows(workflow: Workflow) -> list[tuple[str, Target, str]]:
    """Every way from a node, with its label; a node without one goes to the end."""
    arrows: list[tuple[str, Target, str]] = [(source, target, "") for source, target in workflow.edges.items()]
    for source, choice in workflow.choices.items():
        arrows += [(source, target, key) for key, target in choice.routes.items()]
        if choice.default is not None:
            arrows.append((source, choice.default, "default"))
    left = {source for source, _, _ in arrows}
    return arrows + [(name, END, "") for name in workflow.nodes if name not in left]


def _place(target: Target) -> str:
    return target if isinstance(target, str) else "END_"
