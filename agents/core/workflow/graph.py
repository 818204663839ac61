"""The graph of a workflow: nodes, edges and choices, checked before anything runs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agents.core.agent import context_for
from agents.core.ambient import Ambient, stream_events
from agents.core.architectures.base import Emit
from agents.core.graph.values import fenced
from agents.core.runtime.base import InProcRuntime, Runtime
from agents.core.runtime.engine import Answer
from agents.core.runtime.journaled import JournaledRuntime
from agents.core.runtime.resolver import resolve_runtime
from agents.core.runtime.written import written
from agents.core.tools.tool import Tool
from agents.core.wiring import steps_of
from agents.core.workflow import drawing
from agents.core.workflow.nodes import END, START, Choice, End, FanOut, Node, StepLike, Target, check_step, name_of
from agents.core.workflow.run import WorkflowResult, WorkflowRun, plain
from agents.core.workflow.tool import WorkflowTool
from agents.core.workspace.resolver import resolve_workspace
from audit.core.log import AuditLog, resolve_audit_log
from audit.core.telemetry import NoTelemetry, Telemetry
from governance.core.budget import Budget
from governance.core.retry import RetryPolicy
from loom.context import get_run_context
from loom.events import Event
from loom.ids import canonical
from memory.core.protocol import Memory

_NO_TELEMETRY = NoTelemetry()


class Workflow:
    """Steps in an order that a developer drew.

    A step gets the value that the last one returned; a node without an edge ends the run. Agents, tools and workflows
    are steps too, share the run's user, session, memory and journal, and add to its tokens and cost. With `state`, a
    Pydantic model, the value before and after every step is one of it, checked when it is written. With a durable
    `runtime` a run that was cut off can be resumed. `budget` is that of the agents that have none.
    """

    def __init__(
        self,
        name: str = "workflow",
        *,
        telemetry: Telemetry | None = None,
        audit_log: AuditLog | str | Path | dict[str, Any] | None = None,
        memory: Memory | None = None,
        response_tone: str | None = None,
        max_steps: int = 100,
        max_visits_per_node: int = 25,
        workspace: Any | str | Mapping[str, Any] | None = None,
        state: type[BaseModel] | None = None,
        budget: Budget | None = None,
        runtime: Runtime | str | Mapping[str, Any] | None = None,
    ) -> None:
        for what, cap in (("max_steps", max_steps), ("max_visits_per_node", max_visits_per_node)):
            if cap < 1:
                raise ValueError(f"{what} is at least 1, not {cap}")
        self.name = name
        self.telemetry = telemetry or _NO_TELEMETRY
        self.audit_log = None if audit_log is None else resolve_audit_log(audit_log)
        self.memory = memory
        self.response_tone = response_tone
        self.workspace = resolve_workspace(workspace)
        self.state = state
        self.budget = budget
        made = resolve_runtime(runtime)
        self.runtime = None if type(made) is InProcRuntime else made
        self.max_steps = max_steps
        self.max_visits_per_node = max_visits_per_node
        self.nodes: dict[str, Node] = {}
        self.edges: dict[str, Target] = {}
        self.choices: dict[Target, Choice] = {}
        self.start: str | None = None

    # --- drawing it ---------------------------------------------------------------------------------------------------

    def add_node(
        self,
        name: str,
        fn: StepLike,
        *,
        retry: RetryPolicy | None = None,
        timeout: float | None = None,
        from_input: bool = False,
    ) -> Workflow:
        """Add a step. `retry` tries a failing one again, `timeout` (seconds) bounds each try.

        Raises ValueError for a name that is taken and TypeError for what cannot be a step.
        """
        if name in self.nodes:
            raise ValueError(f"there is a node {name!r} already")
        check_step(name, fn)
        self.nodes[name] = Node(name, fn, retry, timeout, from_input)
        return self

    def add_edge(self, source: Target, target: Target) -> Workflow:
        """Go from one node to another. An edge from START names the first node."""
        if source is START and isinstance(target, str):
            return self.set_start(target)
        if not isinstance(source, str) or target is START:
            raise ValueError("an edge goes from START or a node to a node or END")
        self._leaves(source)
        self.edges[source] = target
        return self

    def add_router(
        self,
        source: Target,
        fn: Callable[[Any], Any],
        routes: Mapping[str, Target],
        *,
        default: Target | None = None,
    ) -> Workflow:
        """Go where `str(fn(value))` says. A router from START reads the input and names the first node."""
        if source is END or START in (*routes.values(), default):
            raise ValueError("a router goes from START or a node to nodes or END")
        self._leaves(source)
        self.choices[source] = Choice(fn, dict(routes), default)
        return self

    def set_start(self, node: str) -> Workflow:
        self._known(node)
        if START in self.choices:
            raise ValueError("a router from START names the first node already")
        self.start = node
        return self

    def check(self, *around: Workflow) -> None:
        """Raise for a graph that cannot run: no start, or a way to a node that does not exist.

        Nested workflows are checked too; `around` are those that this one is nested in.
        """
        if self.start is None and START not in self.choices:
            raise RuntimeError(f"workflow {self.name!r} has no start; call set_start(name)")
        for source, target in self._ways():
            if isinstance(target, str) and target not in self.nodes:
                raise ValueError(f"workflow {self.name!r} goes from {source!r} to {target!r}, which is no node of it")
        for nested in self._nested():
            if nested is not self and nested not in around:
                nested.check(self, *around)

    def _nested(self) -> list[Workflow]:
        steps = [node.step for node in self.nodes.values()]
        steps += [node.step for step in steps if isinstance(step, FanOut) for node in step.nodes]
        found = [step.workflow if isinstance(step, WorkflowTool) else step for step in steps]
        return [step for step in found if isinstance(step, Workflow)]

    def _ways(self) -> list[tuple[Target, Target]]:
        ways: list[tuple[Target, Target]] = [*self.edges.items()]
        for source, choice in self.choices.items():
            ways += [(source, target) for target in choice.routes.values()]
            ways += [(source, choice.default)] if choice.default is not None else []
        return ways

    def _known(self, name: str) -> None:
        if name not in self.nodes:
            raise ValueError(f"no node {name!r}; there are {', '.join(self.nodes) or 'none'}")

    def _leaves(self, source: Target) -> None:
        if not isinstance(source, str):
            if self.start is not None or source in self.choices:
                raise ValueError("START has a way out already")
            return
        self._known(source)
        if source in self.edges or source in self.choices:
            raise ValueError(f"node {source!r} has a way out already")

    # --- running it ---------------------------------------------------------------------------------------------------

    async def run(
        self,
        input: Any = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        emit: Emit | None = None,
    ) -> WorkflowResult:
        """Run to the end. Raises what a step raises, and RuntimeError when a cap is passed."""
        context = context_for(None, user_id=user_id, session_id=session_id, metadata=metadata)
        return await self.execute(input, Ambient(context, emit=emit, streaming=emit is not None, is_new=True))

    async def resume(
        self,
        session_id: str,
        input: Any = None,
        *,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        emit: Emit | None = None,
    ) -> WorkflowResult:
        """Go on where the last run of this user's session was cut off: its finished steps are not done again.

        If that run was given something else, it is finished first, and then this input is run; None only finishes it.
        Without an unfinished run this is `run`. Raises what the unfinished run raises, which stays unfinished then.
        """
        context = context_for(None, user_id=user_id, session_id=session_id, metadata=metadata)
        ambient = Ambient(context, emit=emit, streaming=emit is not None)
        if isinstance(self.runtime, JournaledRuntime):
            for cut_off in await self.runtime.unfinished(user_id=user_id, session_id=session_id):
                there = replace(ambient, context=context.with_overrides(run_id=cut_off.id))
                result = await self.execute(cut_off.input, there)
                if input is None or written(input) == cut_off.input:
                    return result
        return await self.execute(input, replace(ambient, is_new=True))

    def stream(self, input: Any = None, **options: Any) -> AsyncIterator[Event]:
        """The events of `run` as they happen. Leaving early cancels the run."""

        async def run(emit: Emit) -> WorkflowResult:
            return await self.run(input, emit=emit, **options)

        return stream_events(run)

    async def execute(self, input: Any, ambient: Ambient) -> WorkflowResult:
        """Run within something larger."""
        self.check()
        if self.runtime is None:
            return await WorkflowRun(self, ambient).run(input)
        async with self.journaled(input, ambient) as there:
            return await WorkflowRun(self, there).run(input)

    @asynccontextmanager
    async def journaled(self, input: Any, ambient: Ambient) -> AsyncIterator[Ambient]:
        """The surroundings of a run with its journal, where it has a runtime and the run around it has none."""
        if self.runtime is None or ambient.runtime is not None:
            yield ambient
            return
        async with steps_of(self.runtime, input, ambient) as steps:
            yield replace(ambient, runtime=steps)

    async def answer(self, input: Any, ambient: Ambient, *, output_schema: Any = None) -> Answer:
        """Run as a program of the platform: text as it is, any other output as JSON and as the typed value."""
        result = await self.execute(input, ambient)
        value = plain(result.output)
        text, parsed = (value, None) if isinstance(value, str) else (canonical(value), value)
        return Answer(text, parsed, result.interruption_reason)

    def as_tool(self, *, name: str | None = None, description: str | None = None, input_arg: str = "input") -> Tool:
        """The workflow as a tool of one text argument, run as a part of the run that calls it; see `WorkflowTool`."""

        async def call(**kwargs: Any) -> Any:
            caller = get_run_context()
            metadata = dict(caller.metadata)
            return (await self.run(kwargs[input_arg], user_id=caller.user_id, metadata=metadata)).output

        schema = {"type": "object", "properties": {input_arg: {"type": "string"}}, "required": [input_arg]}
        text = description or f"Run the workflow {self.name}."
        return WorkflowTool(name or self.name, text, call, schema, workflow=self, input_arg=input_arg)

    def to_mermaid(self) -> str:
        return drawing.mermaid(self)

    def to_dot(self) -> str:
        return drawing.dot(self)

    def _repr_mermaid_(self) -> str:
        return self.to_mermaid()

    def _repr_markdown_(self) -> str:
        return fenced(self.to_mermaid())

    # --- the common shapes --------------------------------------------------------------------------------------------

    @classmethod
    def chain(cls, steps: Sequence[StepLike], *, name: str = "chain", **options: Any) -> Workflow:
        """One step after the other."""
        names = _distinct(steps)
        workflow = cls(name, **options)
        for node, candidate in zip(names, steps, strict=True):
            workflow.add_node(node, candidate)
        for source, target in itertools.pairwise(names):
            workflow.add_edge(source, target)
        return workflow.set_start(names[0])

    @classmethod
    def route(
        cls,
        classifier: StepLike,
        routes: Mapping[str, StepLike],
        *,
        default: StepLike | None = None,
        name: str = "route",
        **options: Any,
    ) -> Workflow:
        """Let a classifier name the step that handles the input. The handler gets the input, not the name."""
        if not routes:
            raise ValueError("a route needs at least one handler")
        if taken := {"classify", *(["default"] if default is not None else [])} & set(routes):
            raise ValueError(f"a route cannot be called {taken.pop()!r}: that is the name of another node of it")
        workflow = cls(name, **options).add_node("classify", classifier).set_start("classify")
        handlers = {**routes, **({"default": default} if default is not None else {})}
        for key, handler in handlers.items():
            workflow.add_node(key, handler, from_input=True)
        fallback = "default" if default is not None else None
        return workflow.add_router(
            "classify", lambda said: str(said).strip(), {key: key for key in routes}, default=fallback
        )

    @classmethod
    def parallel(
        cls,
        steps: Sequence[StepLike],
        *,
        merge: Callable[[list[Any]], Any] | None = None,
        name: str = "parallel",
        concurrency: int | None = None,
        **options: Any,
    ) -> Workflow:
        """All steps at the same time, at most `concurrency` of them.

        The output is their results, or what `merge` makes of them.
        """
        if concurrency is not None and concurrency < 1:
            raise ValueError(f"concurrency is at least 1, not {concurrency}")
        for candidate in steps:
            check_step(name_of(candidate), candidate)
        nodes = tuple(Node(node, candidate) for node, candidate in zip(_distinct(steps), steps, strict=True))
        workflow = cls(name, **options).add_node("fan_out", FanOut(nodes, merge, concurrency))
        return workflow.set_start("fan_out")


def _distinct(steps: Sequence[StepLike]) -> list[str]:
    """The names of the steps; a name that comes again gets a number."""
    if not steps:
        raise ValueError("a workflow needs at least one step")
    seen: Counter[str] = Counter()
    names = []
    for candidate in steps:
        name = name_of(candidate)
        names.append(f"{name}_{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


__all__ = ["END", "START", "End", "Workflow"]
