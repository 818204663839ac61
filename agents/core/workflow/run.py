"""One run of a workflow."""

from __future__ import annotations

import inspect
import itertools
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import anyio
from pydantic import BaseModel, ValidationError

from agents.core import execution, loop
from agents.core.agent import Agent, prompt_of
from agents.core.ambient import Ambient
from agents.core.architectures.base import AgentSession
from agents.core.concurrency import together
from agents.core.runtime.base import key_of
from agents.core.runtime.journal import JournalSession
from agents.core.threads import in_thread
from agents.core.tools.host import InProcessToolHost
from agents.core.tools.tool import Tool
from agents.core.wiring import bare_dependencies, under_budget
from agents.core.workflow.nodes import START, Choice, FanOut, Node, Sleep, StepLike, Target, name_of
from audit.core.telemetry import NoTelemetry
from governance.core.retry import compute_backoff
from loom.context import set_run_context
from loom.errors import Invalid, LoomError, PermissionDenied, ToolError
from loom.events import Event, EventKind
from loom.messages import ToolCall, Usage

if TYPE_CHECKING:
    from agents.core.workflow.graph import Workflow


_AGAIN = re.compile(r"/attempt:\d+$")


@dataclass
class WorkflowResult:
    """What a workflow came to: the last output, the nodes in the order of their visits, and each one's last output.

    An agent that was cut short leaves what it has said to the next step; the first one's reason is kept.
    """

    output: Any
    visited: list[str] = field(default_factory=list)
    per_step: dict[str, Any] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    interruption_reason: str | None = None

    @property
    def interrupted(self) -> bool:
        return self.interruption_reason is not None

    @property
    def cost_usd(self) -> float:
        return self.usage.cost_usd

    @property
    def total_tokens(self) -> int:
        u = self.usage
        return u.input_tokens + u.cached_input_tokens + u.cache_write_tokens + u.output_tokens


class WorkflowRun:
    """A run under way: where it is, how often it has been there, and what it has cost."""

    def __init__(self, workflow: Workflow, ambient: Ambient) -> None:
        self._workflow = workflow
        ambient = ambient if workflow.budget is None else under_budget(ambient, workflow.budget)
        self._ambient = ambient.with_own(
            memory=workflow.memory,
            response_tone=workflow.response_tone,
            workspace=workflow.workspace,
            audit_log=workflow.audit_log,
            telemetry=None if type(workflow.telemetry) is NoTelemetry else workflow.telemetry,
        )
        self._visits: defaultdict[str, int] = defaultdict(int)
        self._result = WorkflowResult(output=None)

    @property
    def usage(self) -> Usage:
        """What the run has cost so far, also when it failed."""
        return self._result.usage

    async def run(self, input: Any) -> WorkflowResult:
        with set_run_context(self._ambient.context):
            await self._tell(EventKind.WORKFLOW_STARTED, input=input)
            value = self._stated(None, input, "the input")
            here = self._workflow.start or await self._after(START, value)
            while isinstance(here, str):
                node = self._workflow.nodes[here]
                self._visit(node)
                value = await self._observed(node, input if node.from_input else value, value)
                self._result.per_step[here] = value
                here = await self._after(here, value)
            self._result.output = value
            await self._tell(EventKind.WORKFLOW_COMPLETED, output=value)
        return self._result

    def _visit(self, node: Node) -> None:
        """Count a visit. Raises RuntimeError when a cap is passed: a cycle that does not end must not cost for ever."""
        workflow = self._workflow
        if len(self._result.visited) >= workflow.max_steps:
            raise RuntimeError(f"workflow {workflow.name!r} passed max_steps={workflow.max_steps} at {node.name!r}")
        if self._visits[node.name] >= workflow.max_visits_per_node:
            cap = workflow.max_visits_per_node
            raise RuntimeError(f"workflow {workflow.name!r} passed max_visits_per_node={cap} at {node.name!r}")
        self._visits[node.name] += 1
        self._result.visited.append(node.name)

    async def _after(self, here: Target, value: Any) -> Target | None:
        choice = self._workflow.choices.get(here)
        if choice is None:
            return self._workflow.edges.get(here) if isinstance(here, str) else None
        key = await self._chosen(choice, here, value)
        target = choice.routes.get(key, choice.default)
        if target is None:
            raise RuntimeError(f"after {here!r} there is no way for {key!r}; there are {', '.join(choice.routes)}")
        return target

    async def _chosen(self, choice: Choice, here: Target, value: Any) -> str:
        """What the function says. It is a step: a replay must go the same way, whatever the function looks at."""

        async def choose(value: Any) -> str:
            said = choice.choose(value)
            return str(await said if inspect.isawaitable(said) else said)

        if self._ambient.runtime is None:
            return await choose(value)
        place = f"{here}#{self._visits[here]}" if isinstance(here, str) else here.value
        key: str = await self._ambient.runtime.step(f"{self._ambient.path}choice:{place}", choose, value)
        return key

    def _stated(self, before: Any, value: Any, whose: str) -> Any:
        """The value as the workflow's state, where it has one.

        A mapping or another model updates what was there. Checked when written. Raises Invalid.
        """
        state = self._workflow.state
        if state is None or isinstance(value, state):
            return value
        if isinstance(value, BaseModel):
            value = value.model_dump()
        if isinstance(before, BaseModel) and isinstance(value, Mapping):
            value = {**before.model_dump(), **value}
        try:
            return state.model_validate(value)
        except ValidationError as error:
            raise Invalid(f"{whose} does not fit {state.__name__}: {error}") from error

    # --- one step -----------------------------------------------------------------------------------------------------

    async def _observed(self, node: Node, value: Any, before: Any) -> Any:
        """Run a step with its beginning and its end told to the listener, the audit log and the telemetry."""
        if self._is_alone:
            return self._stated(before, await self._tried(node, value), f"the result of step {node.name!r}")
        await self._tell(EventKind.WORKFLOW_STEP_STARTED, node=node.name)
        await self._audit("step_started", node=node.name)
        try:
            if self._ambient.telemetry is None:
                output = await self._tried(node, value)
            else:
                context = self._ambient.context
                whose = {"user_id": context.user_id, "session_id": context.session_id}
                about = {"step": node.name, "pattern": self._workflow.name}
                async with self._ambient.telemetry.trace("loom.workflow.step", **about, **whose):
                    output = await self._tried(node, value)
            output = self._stated(before, output, f"the result of step {node.name!r}")
        except Exception as error:
            await self._tell(EventKind.WORKFLOW_STEP_FAILED, node=node.name, error=str(error))
            await self._audit("step_failed", node=node.name, error=str(error))
            raise
        await self._tell(EventKind.WORKFLOW_STEP_COMPLETED, node=node.name, output=output)
        await self._audit("step_completed", node=node.name)
        return output

    @property
    def _is_alone(self) -> bool:
        """Whether nobody listens."""
        around = self._ambient
        return around.emit is None and around.audit_log is None and around.telemetry is None

    async def _tried(self, node: Node, value: Any) -> Any:
        """Run a step, again where its policy says so. An error that says it is not retryable is not tried again.

        What a tool answered is written down, also an error. A run that ended with one and is resumed goes on to new
        tries.
        """
        tries = last = node.retry.max_attempts if node.retry is not None else 1
        name = f"step:{node.name}#{self._visits[node.name]}"
        if node.retry is None and self._ambient.runtime is None:  # one try, and nobody knows of another
            return await self._bounded(node, value, name)
        for attempt in itertools.count(1):
            failed, here = f"{name}/failed:{attempt}", name if attempt == 1 else f"{name}/attempt:{attempt}"
            if self._is_recorded(failed):
                continue
            is_told_again = self._is_recorded(f"{here}/tool:call_1") and _may_repeat(node.step)
            try:
                return await self._bounded(node, value, here)
            except Exception as error:
                if not _may_pass(error) or (attempt == last and not is_told_again):
                    raise
                await self._give_up(failed, error)
            if attempt == last:
                last += tries
            if not is_told_again and node.retry is not None:
                await anyio.sleep(compute_backoff(node.retry, attempt))
        raise AssertionError("a try returns or raises")

    async def _give_up(self, name: str, error: Exception) -> None:
        """Write down that an attempt failed: a replay begins with the next one."""
        if self._ambient.runtime is None:
            return

        async def failed() -> str:
            return f"{type(error).__name__}: {error}"

        await self._ambient.runtime.step(self._ambient.path + name, failed)

    def _is_recorded(self, name: str) -> bool:
        known = getattr(self._ambient.runtime, "is_recorded", None)
        return known is not None and bool(known(self._ambient.path + name))

    async def _bounded(self, node: Node, value: Any, name: str) -> Any:
        if node.timeout is None:
            return await self._take(node.step, value, name)
        with anyio.move_on_after(node.timeout):
            return await self._take(node.step, value, name)
        raise ToolError(f"step {node.name!r} did not finish within {node.timeout:g} s", step=node.name)

    async def _take(self, step: StepLike, value: Any, name: str) -> Any:
        if isinstance(step, FanOut):
            return await self._fan_out(step, value, name)
        if isinstance(step, Sleep):
            await self._sleep(step, name)
            return value
        if isinstance(step, Tool):
            return await self._call_tool(step, value, name)
        if isinstance(step, Agent):
            result = await execution.execute(step, prompt_of(plain(value)), self._ambient.below(name))
            self._count(result.usage, name, result.interruption_reason)
            return result.value
        if hasattr(step, "answer") and hasattr(step, "execute"):
            nested: WorkflowResult = await step.execute(value, self._ambient.below(name))
            self._count(nested.usage, name, nested.interruption_reason)
            return nested.output
        return await self._call(step, value, name)

    async def _fan_out(self, step: FanOut, value: Any, name: str) -> Any:
        work = [partial(self._take, node.step, value, f"{name}/step:{node.name}") for node in step.nodes]
        outputs = await together(work, limit=step.concurrency)
        return outputs if step.merge is None else step.merge(outputs)

    async def _sleep(self, step: Sleep, name: str) -> None:
        session = self._ambient.runtime
        if isinstance(session, JournalSession):
            await session.sleep(self._ambient.path + name, step.seconds)
        else:
            await anyio.sleep(step.seconds)

    async def _call(self, function: StepLike, value: Any, name: str) -> Any:
        """Call a function of one value: an async one here, another one in a thread. It is one step of the journal.

        It finds its idempotency key in the run context: the same when it is tried again, or again after a crash.
        """
        place = self._ambient.path + name
        first = _AGAIN.sub("", place)
        key = key_of(self._ambient.runtime, first) or f"{self._ambient.context.run_id}:{first}"
        context = self._ambient.context.with_overrides(idempotency_key=key)

        @wraps(function, assigned=())  # its result is read back as the function declares it
        async def invoke(value: Any) -> Any:
            async with set_run_context(context):
                return await _invoke(function, value)

        if self._ambient.runtime is None:
            return await invoke(value)
        invoke.__name__ = name_of(function)  # what the journal calls it
        return await self._ambient.runtime.step(place, invoke, value, idempotency_key=key)

    async def _call_tool(self, tool: Tool, value: Any, name: str) -> Any:
        """Call a tool through the gate, as a model would. Raises ToolError or PermissionDenied."""
        args = plain(value)
        if not isinstance(args, dict):
            args = {next(iter(tool.input_schema.get("properties", {})), "input"): args}
        deps = bare_dependencies(self._ambient, InProcessToolHost([tool]))
        call = ToolCall(id=f"{name}/tool:call_1", tool=tool.name, args=args, tool_def=tool.to_def())
        session = AgentSession(self._ambient.context.session_id or "", "")
        [result] = await loop.call_tools(session, deps, [call], step=name)
        self._count(session.cumulative_usage, name, None)
        if result.denied:
            raise PermissionDenied(tool.name, result.reason or "")
        if not result.ok:
            raise ToolError(f"{tool.name}: {result.error}", tool=tool.name)
        return result.output

    def _count(self, usage: Usage, name: str, interruption_reason: str | None) -> None:
        """Add what a step has cost, and why it was cut short if it was."""
        self._result.usage += usage
        if interruption_reason is not None and self._result.interruption_reason is None:
            self._result.interruption_reason = f"{name}:{interruption_reason}"

    # --- telling ------------------------------------------------------------------------------------------------------

    async def _tell(self, kind: EventKind, **payload: Any) -> None:
        if self._ambient.emit is None:
            return
        event = Event(
            kind=kind,
            session_id=self._ambient.context.session_id or "",
            payload={"workflow": self._workflow.name, **payload},
            worker=self._ambient.path.rstrip("/"),
        )
        await self._ambient.emit(event)

    async def _audit(self, action: str, **payload: Any) -> None:
        log, context = self._ambient.audit_log, self._ambient.context
        if log is not None:
            payload = {"workflow": self._workflow.name, **payload}
            await log.append(
                session_id=context.session_id or "",
                actor="workflow",
                action=action,
                payload=payload,
                user_id=context.user_id,
            )


async def _invoke(function: StepLike, value: Any) -> Any:
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        return await function(value)
    # Neither a timeout nor a cancellation waits for the thread: what it does may still happen.
    output = await in_thread(partial(function, value))
    return await output if inspect.isawaitable(output) else output


def _may_pass(error: Exception) -> bool:
    """Whether another attempt makes sense: an error that says that it does not is believed, but for a tool's."""
    return not isinstance(error, LoomError) or error.retryable or isinstance(error, ToolError)


def _may_repeat(step: StepLike) -> bool:
    """Whether a tool that answered with an error may be called again when the run is resumed."""
    return isinstance(step, Tool) and step.effect != "irreversible"


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value
