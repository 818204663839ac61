"""A workflow as a tool: part of the run that calls it, not a run beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from agents.core.ambient import Ambient
from agents.core.architectures.base import AgentSession, Dependencies
from agents.core.architectures.lent_memory import Lent
from agents.core.architectures.workers import without_ends
from agents.core.loop.telling import is_recorded
from agents.core.tools.tool import Tool
from agents.core.workflow.run import WorkflowRun
from loom.context import get_run_context
from loom.errors import InvalidArguments, RuntimeJournalError, ToolError
from loom.messages import NO_USAGE, ToolCall, ToolResult, Usage

if TYPE_CHECKING:
    from agents.core.workflow.graph import Workflow


class _Failure(BaseModel):
    """Why a call failed and what it had cost by then: a replay tells the model the same and tries nothing again."""

    error: str
    usage: Usage


@dataclass(kw_only=True)
class WorkflowTool(Tool):
    """A tool that runs a workflow for the run that calls it.

    The caller's user, memory, tone, workspace, budget, permissions and journal are the workflow's, as far as it has
    none of its own; what it costs is the caller's. It has a session of its own, of which memory keeps nothing. Called
    as a plain function, it runs by itself.
    """

    workflow: Workflow
    input_arg: str

    async def execute(self, args: Mapping[str, Any]) -> Any:
        """The same as a plain call. Raises ToolError within a run: its rules and its budget would not reach inside."""
        if get_run_context().run_id:
            raise ToolError(f"{self.name} is a workflow, and its tool host has no call_at to run it within this run")
        return await super().execute(args)

    async def call_at(self, call: ToolCall, key: str, session: AgentSession, deps: Dependencies) -> ToolResult:
        """Run within the caller's step `key`. A workflow that fails is told to the model, like any tool."""
        try:
            args = self.check(call.args)
        except InvalidArguments as error:
            return ToolResult.error_(call.id, str(error))
        failed = f"{key}/failed"
        if is_recorded(deps, failed):
            return await self._told(call, session, deps, failed, _Failure(error="", usage=NO_USAGE))
        async with self.workflow.journaled(args[self.input_arg], _within(key, session, deps)) as ambient:
            run = WorkflowRun(self.workflow, ambient)
            try:
                self.workflow.check()
                output = (await run.run(args[self.input_arg])).output
            except RuntimeJournalError:
                raise
            except Exception as error:
                failure = _Failure(error=str(error) or type(error).__name__, usage=run.usage)
                return await self._told(call, session, deps, failed, failure)
        session.cumulative_usage += run.usage
        return ToolResult.success(call.id, output)

    async def _told(
        self, call: ToolCall, session: AgentSession, deps: Dependencies, key: str, failure: _Failure
    ) -> ToolResult:
        async def fail(tool: str) -> _Failure:
            return failure

        if not deps.fast_runtime:
            failure = await deps.runtime.step(key, fail, self.name)
        session.cumulative_usage += failure.usage
        return ToolResult.error_(call.id, failure.error)


def _within(key: str, session: AgentSession, deps: Dependencies) -> Ambient:
    own_session = f"{session.id}:{deps.context.run_id}:{key}"
    return Ambient(
        context=deps.context.with_overrides(session_id=own_session),
        runtime=None if deps.fast_runtime else deps.runtime,
        memory=Lent(deps.memory, session.id, own_session),
        emit=None if deps.emit is None else without_ends(deps.emit),
        streaming=deps.streaming,
        path=f"{key}/",
        response_tone=deps.response_tone,
        workspace=deps.workspace,
        audit_log=deps.audit_log,
        telemetry=None if deps.fast_telemetry else deps.telemetry,
        parent=deps,
    )
