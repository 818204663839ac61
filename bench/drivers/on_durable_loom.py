"""Durable steps on Loom: through the SDK's PostgreSQL runtime, and through the platform's journal."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID

import django
from durable_work import RUNS, STEPS, Talk, per_step
from harness import PROMPT, repeat, serve

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loomsite.settings")
django.setup()

import anyio  # noqa: E402 - the platform's modules want settings
from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from agents import services, worker  # noqa: E402
from agents.adapters import JournalWriter  # noqa: E402
from agents.core.runtime.journal import JournalSession  # noqa: E402
from agents.core.runtime.postgres import PostgresRuntime  # noqa: E402
from agents.models import Agent as AgentRow  # noqa: E402
from agents.models import Run  # noqa: E402
from governance.models import Tenant  # noqa: E402
from governance.tenancy import unit  # noqa: E402
from loom import Agent, RunContext, ScriptedModel, ScriptedTurn, ToolCall, Usage, tool  # noqa: E402
from loom.ids import new_id  # noqa: E402

Session = Any


async def effect(amount: int) -> str:
    return f"paid {amount}"


async def take_steps(session: Session, steps: int) -> None:
    for number in range(steps):
        await session.step(f"turn:{number}/tool:call_1", effect, number)


# --- the SDK ----------------------------------------------------------------------------------------------------------


async def runtime(stack: AsyncExitStack) -> PostgresRuntime:
    made = await PostgresRuntime.connect(os.environ["DATABASE_OWNER_URL"])
    stack.push_async_callback(made.aclose)
    await made.init_schema()
    return made


async def sdk(runs: int, seconds: float) -> float:
    async with AsyncExitStack() as stack:
        durable = await runtime(stack)

        async def run() -> None:
            async with durable.run(RunContext("ann", new_id("s"), new_id("run")), "go") as session:
                await take_steps(session, STEPS)

        return await per_step(run, runs, seconds)


# --- the platform -----------------------------------------------------------------------------------------------------


def tenant_of() -> Tenant:
    return Tenant.objects.get(slug=os.environ["BENCH_TENANT"])


def claimed(tenant: Tenant) -> UUID:
    """A run that this process holds, as if it had been claimed."""
    if not AgentRow.objects.filter(slug="bench").exists():
        services.create_agent(tenant=tenant, slug="bench", spec={"instructions": ".", "model": "echo"}, by="bench")
    run = services.start_run(tenant=tenant, agent="bench", input="go", by="bench")
    Run.objects.filter(pk=run.pk).update(
        status="running", fence=1, attempt=1, lease_owner="bench", lease_until=timezone.now() + timedelta(days=1)
    )
    return run.pk


async def platform(runs: int, seconds: float) -> float:
    tenant = await anyio.to_thread.run_sync(tenant_of)
    async with anyio.create_task_group() as group:
        writer = JournalWriter(worker._write, group)

        async def run() -> None:
            run_id = await unit(tenant.pk, claimed)(tenant)
            journal = writer.journal(tenant.pk, run_id, 1)
            await take_steps(JournalSession(str(run_id), journal), STEPS)
            await journal.flush()

        return await per_step(run, runs, seconds)


# --- a whole run ------------------------------------------------------------------------------------------------------


@tool(effect="read")
async def weather(city: str) -> str:
    """How the weather is in a city."""
    return f"sunny in {city}"


def asking() -> ScriptedModel:
    call = ToolCall(id="call_1", tool="weather", args={"city": "Paris"})
    usage = Usage(input_tokens=20, output_tokens=10)
    return ScriptedModel([ScriptedTurn("", [call], usage), ScriptedTurn("It is sunny.", usage=usage)])


async def agent_run(seconds: float, *, is_durable: bool) -> float:
    async with AsyncExitStack() as stack:
        durable = await runtime(stack) if is_durable else None

        async def run() -> None:
            result = await Agent("Answer.", model=asking(), tools=[weather], runtime=durable).run(PROMPT, user_id="ann")
            assert result.turns == 2

        return await repeat(run, seconds)


# --- how long journals get --------------------------------------------------------------------------------------------


def journal_bytes(turns: int, *, of_platform: bool) -> Callable[[float], Awaitable[float]]:
    talk = Talk(turns)

    @tool(effect="read")
    async def search(query: str, page: int) -> str:
        """Search in the archive."""
        return talk.found(page)

    def agent(**options: Any) -> Agent:
        calls = [ToolCall(id=f"call_{n}", tool="search", args=talk.args(n)) for n in range(turns)]
        usage = Usage(input_tokens=4_000, cached_input_tokens=3_000, output_tokens=60, cost_usd=0.0123)
        script = [*(ScriptedTurn(talk.said, [call], usage) for call in calls), ScriptedTurn(talk.answer, usage=usage)]
        return Agent("Search.", model=ScriptedModel(script), tools=[search], max_turns=turns + 1, **options)

    async def in_sdk(seconds: float) -> float:
        async with AsyncExitStack() as stack:
            durable = await runtime(stack)
            result = await agent(runtime=durable).run(talk.prompt, user_id="ann")
            assert result.output == talk.answer
            last = "SELECT id FROM loom_run ORDER BY place DESC LIMIT 1"
            query = f"SELECT sum(octet_length(data::text)) FROM loom_journal WHERE run_id = ({last})"
            async with durable._postgres.pool.connection() as open_connection:
                [size] = await (await open_connection.execute(query)).fetchone()
            return float(size) / talk.unique

    async def on_platform(seconds: float) -> float:
        from agents.core.ambient import Ambient
        from agents.core.runtime import engine

        tenant = await anyio.to_thread.run_sync(tenant_of)
        run_id = await unit(tenant.pk, claimed)(tenant)
        async with anyio.create_task_group() as group:
            journal = JournalWriter(worker._write, group).journal(tenant.pk, run_id, 1)
            context = RunContext("ann", "s", str(run_id))
            ambient = Ambient(context, runtime=JournalSession("s", journal))
            outcome = await engine.advance(agent(), talk.prompt, ambient, journal)
            assert isinstance(outcome, engine.Finished), outcome

        def size() -> int:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT sum(octet_length(data::text)) FROM agents_runevent WHERE run_id = %s AND seq > 1", [run_id]
                )
                return int(cursor.fetchone()[0])

        return (await unit(tenant.pk, size)() + len(json.dumps(talk.prompt))) / talk.unique

    return on_platform if of_platform else in_sdk


async def alone(seconds: float) -> float:
    return await sdk(1, seconds)


async def many(seconds: float) -> float:
    return await sdk(RUNS, seconds)


async def platform_alone(seconds: float) -> float:
    return await platform(1, seconds)


async def platform_many(seconds: float) -> float:
    return await platform(RUNS, seconds)


async def durable_run(seconds: float) -> float:
    return await agent_run(seconds, is_durable=True)


async def plain_run(seconds: float) -> float:
    return await agent_run(seconds, is_durable=False)


if __name__ == "__main__":
    sizes = {f"bytes_{turns}": journal_bytes(turns, of_platform=False) for turns in (10, 25, 50, 100)}
    theirs = {f"platform_bytes_{turns}": journal_bytes(turns, of_platform=True) for turns in (10, 25, 50, 100)}
    serve(
        {
            "sequence": alone, "concurrent": many, "platform_sequence": platform_alone,
            "platform_concurrent": platform_many, "durable_run": durable_run, "plain_run": plain_run,
            **sizes, **theirs,
        }
    )  # fmt: skip
