"""One run of one agent, from the prompt to the result."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import anyio

from agents.core import loop
from agents.core import output as outputs
from agents.core.ambient import Ambient
from agents.core.architectures.base import AgentSession, Dependencies, Emit
from agents.core.loop.telling import audit, audit_soon
from agents.core.result import RunResult
from agents.core.runtime.base import Steps
from agents.core.stop_hooks import StopHookResult
from agents.core.wiring import DEFAULTS, Options, dependencies_of, instructions_of, kit_of, steps_at_hand, steps_of
from audit.core.log import wants_full_transcripts
from audit.core.telemetry import agent_span
from governance.core.hooks import HookRegistry
from loom.context import set_run_context
from loom.errors import OutputValidationError
from loom.events import Event, EventKind
from loom.ids import deterministic_hash
from loom.messages import Message, ModelChunk, Role, utcnow
from memory.core.auto_extract import AutoExtractMemory
from memory.core.consolidator import Consolidator
from memory.core.values import Episode

if TYPE_CHECKING:
    from agents.core.agent import Agent

_PROMPT_IN_AUDIT = 500


async def execute(agent: Agent, prompt: str, ambient: Ambient, options: Options = DEFAULTS) -> RunResult:
    """Run the agent in these surroundings. See `Agent.run` for what it raises."""
    if agent.hooks.event_hooks:
        ambient = ambient.with_own(emit=_first_told(agent.hooks, ambient.emit))
    if (runtime := steps_at_hand(agent, ambient)) is not None:
        return await _execute(agent, prompt, ambient, options, runtime)
    async with steps_of(agent.runtime, prompt, ambient) as runtime:
        return await _execute(agent, prompt, ambient, options, runtime)


def _first_told(hooks: HookRegistry, emit: Emit | None) -> Emit:
    """Events for the agent's hooks, which may not fail or hold up a run for long, and then for who listens."""

    async def tell(event: Event) -> None:
        await hooks.on_event(event)
        if emit is not None:
            await emit(event)

    return tell


async def _execute(agent: Agent, prompt: str, ambient: Ambient, options: Options, runtime: Steps) -> RunResult:
    started_at = utcnow()
    schema = options.output_schema or agent.output_schema
    output = outputs.output_for(schema) if schema is not None else None
    kit = kit_of(agent, ambient)
    deps = dependencies_of(agent, ambient, options, output, runtime, kit)
    session = AgentSession(
        ambient.context.session_id or "", instructions_of(agent, ambient, options, output, deps, kit)
    )
    run = _Run(agent, session, deps, ambient, output, options.output_validation_retries, started_at)
    with set_run_context(deps.context):
        return await run.at_desk(prompt)


@dataclass
class _Run:
    """A run under way."""

    agent: Agent
    session: AgentSession
    deps: Dependencies
    ambient: Ambient
    output: outputs.Output | None
    validation_retries: int
    started_at: datetime

    async def at_desk(self, prompt: str) -> RunResult:
        """The run at its desk, where it has one."""
        if self.deps.desk is None:
            return await self.traced(prompt)
        with ExitStack() as stack:
            await self.deps.desk.open(self.agent.tool_host, self.session, stack)
            return await self.traced(prompt)

    async def traced(self, prompt: str) -> RunResult:
        """The run in its span, where somebody looks."""
        agent, deps = self.agent, self.deps
        if deps.fast_telemetry:
            return await self.observed(prompt)
        about = {"architecture": agent.architecture.name, "max_turns": agent.max_turns}
        async with agent_span(deps.telemetry, agent.name, agent.model.name, deps.context, **about):
            return await self.observed(prompt)

    async def observed(self, prompt: str) -> RunResult:
        """The run with its beginning and its end told to the audit log and the listener, also when it fails."""
        if not self.deps.fast_audit:
            await audit_soon(self.session, self.deps, "user", "run_started", self._beginning(prompt))
        try:
            if self.deps.emit is not None:
                await self._tell(Event.started(self.session.id, prompt))
            parsed = await self._answer(prompt)
            await self._remember(prompt)
        except Exception as error:
            await audit(
                self.session, self.deps, "system", "run_failed", {"type": type(error).__name__, "message": str(error)}
            )
            raise
        except anyio.get_cancelled_exc_class():
            if not self.deps.fast_audit:
                with anyio.CancelScope(shield=True):
                    await audit(self.session, self.deps, "system", "run_cancelled", {"turns": self.session.turns})
            raise
        result = self._result(parsed)
        if not self.deps.fast_audit:
            await audit(self.session, self.deps, "system", "run_completed", self._end(result))
        if not self.deps.fast_telemetry:
            elapsed_ms = result.duration.total_seconds() * 1000
            await self.deps.telemetry.emit_metric("loom.session.duration_ms", elapsed_ms, agent=self.agent.name)
        if self.agent.auto_consolidate:
            await self._consolidate()
        if self.deps.emit is not None:
            await self._tell(Event.completed(self.session.id, result))
        return result

    async def _answer(self, prompt: str) -> Any:
        await self._strategy(prompt, self.deps)
        if not self.deps.fast_stop_hooks:
            await self._obey_stop_hooks()
        if self.output is None or self.session.interrupted:
            return None
        return await self._typed(self.output)

    async def _strategy(self, prompt: str, deps: Dependencies) -> None:
        events = self.agent.architecture.run(self.session, deps, prompt)
        try:
            async for event in events:
                await self._tell(event)
        finally:  # a strategy that is left in the middle ends here, and not whenever it is collected
            if (close := getattr(events, "aclose", None)) is not None:
                await close()

    async def _obey_stop_hooks(self) -> None:
        """Let the hooks send the agent back to work, until they are content or the cap is reached."""
        limit = self.agent.max_stop_hook_iterations
        for iteration in itertools.count(1):
            if self.session.interrupted or (wish := await self._wish(iteration)) is None:
                return
            if iteration > limit:
                break
            name, said = wish
            fired = {"hook": name, "iteration": iteration, "reason": said.reason}
            await self._tell(Event.architecture_event(self.session.id, "stop_hook.fired", **fired))
            # A strategy that begins again names its steps as before; the path tells them from the first ones.
            await self._strategy(said.inject_message, replace(self.deps, path=f"{self.deps.path}again:{iteration}/"))
        await self._tell(
            Event.architecture_event(self.session.id, "stop_hook.exhausted", iterations=limit, limit=limit)
        )
        self.session.interrupt("stop_hook_iterations_exhausted")

    async def _wish(self, iteration: int) -> tuple[str, StopHookResult] | None:
        """The first hook that wants more, and what it wants."""
        for hook in self.agent.stop_hooks:
            if (said := await hook(self.session, self.deps, iteration=iteration)) is not None:
                return getattr(hook, "name", type(hook).__name__), said
        return None

    async def _typed(self, output: outputs.Output) -> Any:
        """The value of the answer. An answer that does not fit is sent back; each try is a call like any other."""
        session, deps = self.session, self.deps
        for attempt in range(self.validation_retries + 1):
            try:
                session.output, parsed = output.read(session.output)
            except OutputValidationError as error:
                if attempt == self.validation_retries:
                    raise
                session.messages.append(Message(role=Role.USER, content=output.feedback(error)))
                session.turns += 1
                reply = await loop.call_model(
                    session,
                    deps,
                    session.messages,
                    step=f"correction:{attempt + 1}/model",
                    output_schema=deps.output_schema,
                )
                if reply is None:
                    return None
                session.output = reply.text
                session.messages.append(reply.message())
            else:
                return parsed
        return None

    async def _remember(self, prompt: str) -> None:
        memory, session, deps = self.deps.memory, self.session, self.deps
        if self.agent.auto_extract and getattr(memory, "facts", None) is not None:
            telemetry = None if deps.fast_telemetry else deps.telemetry
            memory = AutoExtractMemory(memory, Consolidator(model=_Metered(session, deps)), telemetry=telemetry)
        if getattr(memory, "answers_alike", False):  # it keeps nothing of its own
            return
        exchange = {"user_id": deps.context.user_id, "input": prompt, "output": session.output}
        if deps.fast_runtime:
            episode_id, is_new = await memory.remember(Episode(session_id=session.id, **exchange)), True
        else:
            key = f"{deps.path}remember"
            # The same episode when the run is replayed: memory replaces it.
            name = f"ep_{deterministic_hash(deps.context.run_id, deps.path)[:26]}"
            is_new = not loop.is_recorded(deps, key)
            episode = Episode(id=name, session_id=session.id, **exchange)
            episode_id = await deps.runtime.step(key, memory.remember, episode)
        if is_new and not deps.fast_audit:
            await audit_soon(session, deps, "system", "memory_write", {"episode_id": episode_id})
        if deps.emit is not None:
            payload = {"episode_id": episode_id}
            await self._tell(Event(kind=EventKind.MEMORY_WRITE, session_id=session.id, payload=payload))

    async def _consolidate(self) -> None:
        try:
            await self.deps.memory.consolidate()
        except Exception as error:  # the answer is there; what failed is told and nothing more
            await self._tell(Event.error(self.session.id, error))

    def _result(self, parsed: Any) -> RunResult:
        session, usage = self.session, self.session.cumulative_usage
        return RunResult(
            session_id=session.id,
            output=session.output,
            parsed=parsed,
            turns=session.turns,
            tokens_in=usage.input_tokens,
            cached_tokens_in=usage.cached_input_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            tokens_out=usage.output_tokens,
            cost_usd=usage.cost_usd,
            started_at=self.started_at,
            finished_at=utcnow(),
            interrupted=session.interrupted,
            interruption_reason=session.interruption_reason,
            cited_slugs=self.deps.desk.cited_slugs(self.deps.context) if self.deps.desk is not None else [],
        )

    # --- telling ------------------------------------------------------------------------------------------------------

    async def _tell(self, event: Event) -> None:
        if self.deps.emit is not None:
            worker = self.deps.path.rstrip("/")
            await self.deps.emit(event if event.worker or not worker else event.model_copy(update={"worker": worker}))

    def _beginning(self, prompt: str) -> dict[str, Any]:
        return {
            "prompt": prompt if wants_full_transcripts(self.deps.audit_log) else prompt[:_PROMPT_IN_AUDIT],
            "model": self.agent.model.name,
            "max_turns": self.agent.max_turns,
            "architecture": self.agent.architecture.name,
        }

    def _end(self, result: RunResult) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "turns": result.turns,
            "interrupted": result.interrupted,
            "interruption_reason": result.interruption_reason,
            "tokens_in": result.tokens_in,
            "tokens_out": result.tokens_out,
            "cost_usd": result.cost_usd,
            "elapsed_ms": result.duration.total_seconds() * 1000,
        }
        if wants_full_transcripts(self.deps.audit_log):
            payload |= {"output": result.output, "parsed": result.parsed}
        return payload


class _Metered:
    """The run's model for work on the side.

    Asked through the same door, so it is gated, charged, journaled and audited.
    """

    def __init__(self, session: AgentSession, deps: Dependencies) -> None:
        self._session, self._deps, self._asked = session, deps, 0

    async def stream(self, messages: list[Message]) -> AsyncIterator[ModelChunk]:
        self._asked += 1
        aside = AgentSession(self._session.id, "")  # a spent budget ends the work on the side, not the run
        reply = await loop.call_model(aside, self._deps, messages, step=f"extract:{self._asked}/model")
        self._session.cumulative_usage += aside.cumulative_usage
        if reply is not None:
            yield ModelChunk(kind="text", text=reply.text)
