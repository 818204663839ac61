"""From an agent or a workflow to a picture on disk. Everything is drawn in this process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from agents.core.graph.drafting import Draft
from agents.core.graph.values import AgentGraph, fenced
from loom.errors import LoomError, Unavailable
from loom.messages import ToolDef

if TYPE_CHECKING:
    from agents.core.agent import Agent
    from agents.core.workflow.graph import Workflow

_DRAWN = {".svg": "svg", ".png": "png"}
_ONE_AT_A_TIME = threading.Lock()  # Graphviz keeps its state in globals


async def build_graph(agent: Agent | Workflow, *, title: str = "Agent") -> AgentGraph:
    """The picture of an agent or a workflow: tools, memory and stores, workers, and whatever is nested in them.

    Tool servers are asked for their tools; one that cannot be reached is drawn as a tool that says so.
    """
    tools: dict[int, Sequence[ToolDef]] = {}
    while unasked := [one for one in _draft(agent, Draft(tools)).agents if id(one) not in tools]:
        tools |= {id(one): await _offered(one) for one in unasked}
    return _draft(agent, Draft(tools)).graph(title)


async def write_graph(agent: Agent | Workflow, path: str | Path, *, title: str | None = None) -> str:
    """Write the picture and give its Mermaid text.

    The suffix decides: `.svg` and `.png` are drawn, `.md` has the Mermaid text in a fence, any other file the text
    alone. Raises Unavailable when there is nothing installed to draw with.
    """
    graph = await build_graph(agent, title=title or agent.name)
    text, target = graph.to_mermaid(), anyio.Path(path)
    if (suffix := target.suffix.lower()) in _DRAWN:
        await target.write_bytes(await anyio.to_thread.run_sync(render, graph, _DRAWN[suffix]))
    elif suffix == ".md":
        heading = f"# {title}\n\n" if title else ""
        await target.write_text(f"{heading}{fenced(text)}\n", encoding="utf-8")
    else:
        await target.write_text(f"{text}\n", encoding="utf-8")
    return text


def render(graph: AgentGraph, form: str) -> bytes:
    """The picture as `svg` or `png`, laid out by Graphviz in this process. Raises Unavailable without it."""
    try:
        from pygraphviz import AGraph  # a C library: only where a picture is wanted
    except ImportError as error:
        raise Unavailable(
            f"drawing {form} needs Graphviz: pip install 'loom[graph]'; .mmd and .md need nothing", package="pygraphviz"
        ) from error
    with _ONE_AT_A_TIME:
        drawn: bytes = AGraph(string=graph.to_dot()).draw(format=form, prog="dot")
    return drawn


def _draft(program: Any, draft: Draft) -> Draft:
    if hasattr(program, "architecture"):
        draft.agent(program, program.name, draft.root, kind="agent")
    else:
        draft.workflow(program, draft.root)
    return draft


async def _offered(agent: Agent) -> Sequence[ToolDef]:
    """The agent's own tools, those of its servers, and those that its kit brings."""
    kit = agent.kit
    offered = await _listed(agent.tool_host)
    if kit is not None:
        offered += [tool.to_def() for tool in kit.tools]
        offered += await _listed(kit.mcp) if kit.mcp is not None else []
    return list({tool.name: tool for tool in reversed(offered)}.values())[::-1]


async def _listed(host: Any) -> list[ToolDef]:
    try:
        return list(await host.list_tools())
    except LoomError as error:
        return [ToolDef(name=f"{type(host).__name__}: {error.code}", description=str(error))]
