"""What `Agent.run` promises: its events, its ends, its errors, and who is kept apart from whom."""

from __future__ import annotations

import json
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest
from pydantic import BaseModel

from agents.core.agent import Agent
from agents.core.architectures.react import ReAct
from agents.core.llm.echo import EchoModel
from agents.core.llm.openai import OpenAIModel
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.runtime.base import InProcRuntime
from agents.core.stop_hooks import StopHookResult
from agents.core.tools.host import InProcessToolHost
from agents.core.tools.tool import Tool, tool
from audit.core.log import FullTranscriptAuditLog, InMemoryAuditLog
from audit.core.telemetry import FileTelemetry, InMemoryTelemetry, MultiTelemetry
from governance.core.budget import BudgetConfig, NoBudget
from governance.core.hooks import HookRegistry
from governance.core.permissions import AllowAll, StandardPermissions
from governance.core.retry import RetryPolicy
from governance.core.secrets import DictSecrets
from governance.core.standard_budget import StandardBudget
from loom.context import RunContext, get_run_context
from loom.errors import ConfigError, ModelError, OutputValidationError, RateLimitError
from loom.events import Event, EventKind
from loom.messages import Message, ModelChunk, PromptCacheConfig, ToolCall, Usage
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.facts import InMemoryFactStore
from tests.fake_openai import Fails, FakeOpenAI, Says


def says(*texts: str, usage: Usage | None = None) -> ScriptedModel:
    return ScriptedModel([ScriptedTurn(text, usage=usage or Usage()) for text in texts])


def calls(name: str, **args: Any) -> ScriptedTurn:
    return ScriptedTurn(tool_calls=[ToolCall(id="c1", tool=name, args=args)])


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Watched:
    """Collects events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def kinds(self) -> list[str]:
        return [event.kind.value for event in self.events]


class Answer(BaseModel):
    number: int


class Refusal(BaseModel):
    why: str


# --- running ----------------------------------------------------------------------------------------------------------


async def test_a_run_answers_with_what_it_took() -> None:
    usage = Usage(input_tokens=3, cached_input_tokens=2, cache_write_tokens=1, output_tokens=4, cost_usd=0.5)
    model = ScriptedModel([calls("add", a=1, b=2), ScriptedTurn("three", usage=usage)])
    result = await Agent("Add.", model=model, tools=[add]).run("1+2?", session_id="s1")
    assert (result.output, result.value, result.parsed, result.turns) == ("three", "three", None, 2)
    assert (result.tokens_in, result.cached_tokens_in, result.cache_write_tokens, result.tokens_out) == (3, 2, 1, 4)
    assert (result.cost_usd, result.total_tokens, result.session_id) == (0.5, 10, "s1")
    assert result.interrupted is False
    assert result.duration == result.finished_at - result.started_at


async def test_the_events_of_a_run_come_in_their_order() -> None:
    watched = Watched()
    model = ScriptedModel([calls("add", a=1, b=2), ScriptedTurn("it is three")])
    await Agent("Add.", model=model, tools=[add]).run("1+2?", emit=watched)
    assert watched.kinds == [
        "started",
        *["model_chunk"] * 2,
        "tool_call",
        "tool_result",
        *["model_chunk"] * 4,
        "memory_write",
        "completed",
    ]
    assert watched.events[0].payload == {"prompt": "1+2?"}
    assert watched.events[-1].payload["result"]["output"] == "it is three"
    assert len({event.session_id for event in watched.events}) == 1


async def test_a_model_is_asked_in_one_piece_unless_somebody_watches() -> None:
    asked: list[str] = []

    class Both(EchoModel):
        async def complete(self, *args: Any, **options: Any) -> Any:
            asked.append("complete")
            return await super().complete(*args, **options)

        def stream(self, *args: Any, **options: Any) -> Any:
            asked.append("stream")
            return super().stream(*args, **options)

    agent = Agent("", model=Both())
    await agent.run("a")
    await agent.run("a", emit=Watched())
    assert asked == ["complete", "stream"]


async def test_what_is_named_wins_over_the_context() -> None:
    seen: list[RunContext] = []

    @tool
    async def look() -> str:
        """Look."""
        seen.append(get_run_context())
        return "seen"

    agent = Agent("", model=ScriptedModel([calls("look"), ScriptedTurn()] * 2), tools=[look])
    given = RunContext("alice", "s1", "mine", {"a": 1})
    await agent.run("x", context=given, user_id="bob")
    await agent.run("x", context=given, metadata={"b": 2}, session_id="s2")
    assert [(c.user_id, c.session_id, dict(c.metadata)) for c in seen] == [
        ("bob", "s1", {"a": 1}),
        ("alice", "s2", {"b": 2}),
    ]
    assert all(c.run_id.startswith("run_") for c in seen)
    assert get_run_context() == RunContext()


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"prompt": None}, "prompt"),
        ({"user_id": 7}, "user_id"),
        ({"user_id": UUID(int=7)}, "user_id"),
        ({"session_id": 7}, "session_id"),
        ({"context": RunContext(7)}, "user_id"),  # type: ignore[arg-type]
    ],
)
async def test_who_asks_and_what_are_texts_or_nothing_is_done(wrong: dict[str, Any], name: str) -> None:
    model = says("hello")
    with pytest.raises(TypeError, match=f"{name} is a text, not"):
        await Agent("", model=model).run(**{"prompt": "x", **wrong})
    assert model.remaining == 1


async def test_a_tool_always_has_an_idempotency_key() -> None:
    keys: list[str | None] = []

    @tool
    async def look() -> str:
        """Look."""
        keys.append(get_run_context().idempotency_key)
        return "seen"

    await Agent("", model=ScriptedModel([calls("look"), calls("look"), ScriptedTurn()]), tools=[look]).run("x")
    assert len(set(keys)) == 2
    assert None not in keys


async def test_a_session_goes_on_where_it_was() -> None:
    heard: list[list[Message]] = []

    def listen(messages: list[Message]) -> ScriptedTurn:
        heard.append(list(messages))
        return ScriptedTurn("noted")

    agent = Agent("Be kind.", model=ScriptedModel([listen, listen]))
    first = await agent.run("my name is Ann")
    await agent.resume(first.session_id, "who am I?")
    assert [m.content for m in heard[1]] == ["Be kind.", "my name is Ann", "noted", "who am I?"]


async def test_the_turn_cap_interrupts_and_does_not_raise() -> None:
    model = ScriptedModel([calls("add", a=1, b=2)] * 9)
    result = await Agent("", model=model, tools=[add], max_turns=3).run("x")
    assert (result.turns, result.interrupted, result.interruption_reason) == (3, True, "max_turns_exceeded")


async def test_a_spent_budget_interrupts_and_names_the_limit() -> None:
    budget = StandardBudget(BudgetConfig(max_tokens=10))
    model = ScriptedModel(
        [ScriptedTurn("a", [ToolCall(tool="add", args={"a": 1, "b": 2})], Usage(input_tokens=10))] * 9
    )
    watched = Watched()
    result = await Agent("", model=model, tools=[add], budget=budget).run("x", emit=watched)
    assert result.interruption_reason == "budget:max_tokens"
    assert "budget_exceeded" in watched.kinds
    assert result.turns == 2


async def test_a_budget_warns_before_it_stops() -> None:
    budget = StandardBudget(BudgetConfig(max_tokens=100))
    watched = Watched()
    model = ScriptedModel([ScriptedTurn("a", [ToolCall(tool="add", args={"a": 1, "b": 2})], Usage(input_tokens=90))])
    await Agent("", model=model, tools=[add], budget=budget).run("x", emit=watched)
    warning = next(event for event in watched.events if event.kind is EventKind.BUDGET_WARNING)
    assert warning.payload["status"].reason == "tokens at 90%"


async def test_what_a_model_raises_is_raised() -> None:
    def fail(messages: Any) -> ScriptedTurn:
        raise RateLimitError("slow down")

    with pytest.raises(RateLimitError, match="slow down"):
        await Agent("", model=ScriptedModel([fail])).run("x")


@pytest.mark.parametrize("tools", [None, [add], add, InProcessToolHost([add])])
async def test_tools_are_a_list_one_of_them_or_a_host(tools: Any) -> None:
    assert await Agent("", model="echo", tools=tools).tools_list() == ([] if tools is None else ["add"])


def test_anything_else_as_tools_is_refused() -> None:
    with pytest.raises(TypeError, match="int"):
        Agent("", model="echo", tools=3)  # type: ignore[arg-type]


async def test_extra_tools_are_there_for_one_run() -> None:
    agent = Agent("", model=ScriptedModel([calls("add", a=1, b=2), ScriptedTurn(), calls("add", a=1, b=2)]))
    watched = Watched()
    await agent.run("x", extra_tools=[add], emit=watched)
    await agent.run("x", emit=watched)
    results = [e.payload["result"] for e in watched.events if e.kind is EventKind.TOOL_RESULT]
    assert [(r.ok, r.error) for r in results] == [(True, None), (False, "unknown tool: add")]


async def test_tools_can_be_added_and_taken_away() -> None:
    agent = Agent("", model="echo")
    assert isinstance(agent.add_tool(add), Tool)

    @agent.with_tool
    def sub(a: int, b: int) -> int:
        """Subtract."""
        return a - b

    assert sub(3, 2) == 1
    assert await agent.tools_list() == ["add", "sub"]
    assert agent.remove_tool("add") is True
    assert agent.remove_tool("add") is False

    class Host:
        list_tools = call = watch = None

    with pytest.raises(ConfigError, match="Host"):
        Agent("", model="echo", tools=Host()).add_tool(add)  # type: ignore[arg-type]


async def test_a_hook_decorator_guards_tools() -> None:
    agent = Agent("", model=ScriptedModel([calls("add", a=1, b=2), ScriptedTurn("ok")]), tools=[add])
    after: list[bool] = []

    @agent.before_tool
    async def before(call: ToolCall) -> None:
        return None

    @agent.after_tool
    async def note(call: ToolCall, result: Any) -> None:
        after.append(result.ok)

    await agent.run("x")
    assert after == [True]


async def test_a_hook_on_events_hears_what_a_listener_hears_and_fails_for_itself_alone() -> None:
    hooks, heard, told = HookRegistry(), list[Event](), list[Event]()

    @hooks.register_event
    async def broken(event: Event) -> None:
        raise RuntimeError("not today")

    @hooks.register_event
    async def listen(event: Event) -> None:
        heard.append(event)

    def clerk() -> Agent:
        model = ScriptedModel([calls("add", a=1, b=2), ScriptedTurn("three")])
        return Agent("", model=model, tools=[add], hooks=hooks)

    assert (await clerk().run("1 + 2?")).output == "three"
    assert [event.kind for event in heard] == [
        EventKind.STARTED, EventKind.TOOL_CALL, EventKind.TOOL_RESULT, EventKind.MEMORY_WRITE, EventKind.COMPLETED,
    ]  # fmt: skip

    heard.clear()
    async for event in clerk().stream("1 + 2?"):
        told.append(event)
    assert heard == told


@pytest.mark.parametrize("said_before", [6, 25], ids=["short", "longer than what is told of it"])
async def test_what_was_said_in_this_session_keeps_no_earlier_one_out_of_the_prompt(said_before: int) -> None:
    model = EchoModel()
    agent, heard = Agent("", model=model), []
    await agent.run("the code of the tea is 4711", user_id="ann", session_id="old")
    for _ in range(said_before):
        await agent.run("tea please", user_id="ann", session_id="new")

    async def listen(messages: list[Message]) -> ScriptedTurn:
        heard.extend(messages)
        return ScriptedTurn("yes")

    await Agent("", model=ScriptedModel([listen]), memory=agent.memory).run("tea?", user_id="ann", session_id="new")

    assert "4711" in heard[0].content
    assert "tea please" not in heard[0].content


async def test_recall_reads_the_memory_of_one_user() -> None:
    agent = Agent("", model="echo", memory=InMemoryMemory())
    await agent.run("the code is 4711", user_id="alice")
    await agent.run("the code is 1234", user_id="bob")
    assert [e.input for e in await agent.recall("code", user_id="alice")] == ["the code is 4711"]
    assert await agent.recall("code", user_id="carol") == []


async def test_consolidation_that_fails_is_an_event_and_no_failure() -> None:
    class Failing(InMemoryMemory):
        async def consolidate(self) -> int:
            raise OSError("disk full")

    watched = Watched()
    agent = Agent("", model="echo", memory=Failing(), auto_consolidate=True)
    assert (await agent.run("x", emit=watched)).output == "Echo: x"
    assert watched.kinds[-2:] == ["error", "completed"]
    assert watched.events[-2].payload == {"type": "OSError", "message": "disk full"}


async def test_consolidate_says_how_many_facts_it_found() -> None:
    assert await Agent("", model="echo").consolidate() == 0


# --- construction -----------------------------------------------------------------------------------------------------


def test_the_properties_are_what_was_given_and_not_what_wraps_it() -> None:
    model = OpenAIModel("gpt-4o", api_key="k")
    memory, runtime, budget = InMemoryMemory(), InProcRuntime(), StandardBudget(BudgetConfig())
    permissions = StandardPermissions()
    agent = Agent(
        "Be kind.", model=model, memory=memory, runtime=runtime, budget=budget, permissions=permissions,
        retry_policy=RetryPolicy(max_attempts=4), auto_extract=True,
    )  # fmt: skip
    assert agent.model is model
    assert agent.asked_model is not model
    assert (agent.memory, agent.runtime, agent.budget, agent.permissions) == (memory, runtime, budget, permissions)
    assert agent.instructions == "Be kind."
    assert agent.skills is None


def test_the_defaults_cost_nothing() -> None:
    agent = Agent("", model="echo")
    assert (type(agent.budget), type(agent.permissions), type(agent.runtime)) == (NoBudget, AllowAll, InProcRuntime)
    assert isinstance(agent.architecture, ReAct)
    assert agent.asked_model is agent.model
    assert agent.auto_extract is False
    assert agent.gate.is_open


def test_network_models_are_retried_and_extracted_from_by_default() -> None:
    agent = Agent("", model=OpenAIModel("gpt-4o", api_key="k"))
    assert agent.auto_extract is True
    assert agent.asked_model is not agent.model


def test_repr_names_the_parts() -> None:
    assert repr(Agent("", model="echo", max_turns=7)) == (
        "Agent(model='echo', memory=InMemoryMemory, runtime=InProcRuntime, tool_host=InProcessToolHost, max_turns=7)"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "model"),
        ({"model": "nonsense-1"}, "nonsense-1"),
        ({"model": {"nam": "echo"}}, "nam"),
        ({"model": "echo", "architecture": "reakt"}, "did you mean 'react'"),
        ({"model": "echo", "memory": "nowhere"}, "nowhere"),
        ({"model": "echo", "runtime": "nowhere"}, "nowhere"),
        ({"model": "echo", "runtime": "postgresql://x"}, "PostgresRuntime.connect"),
        ({"model": "echo", "prompt_caching": {"ttl": "2h"}}, "ttl"),
        ({"model": "echo", "prompt_caching": {"ttI": "5m"}}, "ttI"),
        ({"model": "echo", "prompt_caching": {"cache_key": 3}}, "cache_key"),
        ({"model": "echo", "prompt_caching": 3}, "prompt_caching"),
        ({"model": "echo", "permissions": 3}, "permissions"),
        ({"model": "echo", "workspace": 3}, "workspace"),
    ],
)
def test_what_cannot_be_is_refused_at_construction(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Agent("", **options)


def test_other_wrong_arguments_are_python_errors() -> None:
    with pytest.raises(ValueError, match="max_stop_hook_iterations"):
        Agent("", model="echo", max_stop_hook_iterations=-1)
    with pytest.raises(ValueError, match="max_turns is 1 or more, not 0"):
        Agent("", model="echo", max_turns=0)
    with pytest.raises(TypeError, match="audit_log"):
        Agent("", model="echo", audit_log=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="instructions is a text, not 3"):
        Agent(3, model="echo")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["budget", "retry_policy", "secrets", "hooks", "approval_handler"])
def test_a_part_that_cannot_do_what_it_is_for_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        Agent("", model="echo", **{name: "x"})


def test_a_stop_hook_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="stop_hooks: 'x' cannot be called"):
        Agent("", model="echo", stop_hooks=["x"])  # type: ignore[list-item]


async def test_an_effort_that_does_not_exist_is_refused_before_any_model_is_asked() -> None:
    with pytest.raises(ConfigError, match=r"effort is one of minimal, .*, not 'hgih'"):
        Agent("", model="echo", effort="hgih")
    with pytest.raises(ConfigError, match="not 'hgih'"):
        await Agent("", model="echo").run("x", effort="hgih")


async def test_limits_and_rules_that_are_empty_collections_still_count() -> None:
    class Ledger(StandardBudget, list[str]): ...

    class Rules(StandardPermissions, list[str]): ...

    limited = Agent("", model="echo", budget=Ledger(BudgetConfig(max_tokens=1)))
    ruled = Agent(
        "", model=ScriptedModel([calls("add", a=1, b=2)]), tools=[add], permissions=Rules(denied_tools=["add"])
    )
    results = [e.payload["result"] async for e in ruled.stream("x") if e.kind is EventKind.TOOL_RESULT]

    assert (await limited.run("one two three")).interrupted
    assert [result.denied for result in results] == [True]


@pytest.mark.parametrize(
    ("spec", "config"),
    [
        (None, None),
        (False, None),
        (True, PromptCacheConfig(enabled=True)),
        ({"ttl": "1h", "cache_key": "k"}, PromptCacheConfig(enabled=True, ttl="1h", cache_key="k")),
        ({"enabled": False}, PromptCacheConfig(enabled=False)),
    ],
)
def test_prompt_caching_is_a_bool_or_a_mapping(spec: Any, config: Any) -> None:
    assert Agent("", model="echo", prompt_caching=spec).prompt_caching == config


def test_an_explicit_effort_wins_over_the_models() -> None:
    spec = {"name": "echo", "effort": "low", "strict_effort": True}
    assert Agent("", model=spec).effort == "low"
    assert Agent("", model=spec).strict_effort is True
    assert Agent("", model=dict(spec), effort="high").effort == "high"


class Native(EchoModel):
    """Remembers what it was asked with."""

    supports_native_structured_output = True

    def __init__(self) -> None:
        super().__init__(prefix="")
        self.asked: list[dict[str, Any]] = []

    async def complete(self, messages: Any, **options: Any) -> Any:
        self.asked.append(options)
        return await super().complete(messages, **options)

    async def stream(self, messages: Any, **options: Any) -> AsyncIterator[ModelChunk]:
        self.asked.append(options)
        async for chunk in super().stream(messages, **options):
            yield chunk


async def test_what_an_agent_is_given_for_its_model_reaches_the_model_whole_and_streamed() -> None:
    class Word(BaseModel):
        word: str

    model = Native()
    agent = Agent(
        "", model=model, tools=[add], output_schema=Word, effort="low", strict_effort=True, prompt_caching={"ttl": "1h"}
    )
    prompt = '{"word": "a"}'

    result = await agent.run(prompt)
    async for _ in agent.stream(prompt, effort="high"):
        pass

    assert result.parsed == Word(word="a")
    for asked, effort in zip(model.asked, ("low", "high"), strict=True):
        assert (asked["effort"], asked["strict_effort"], asked["output_schema"]) == (effort, True, Word)
        assert asked["prompt_caching"] == PromptCacheConfig(enabled=True, ttl="1h")
        assert [tool.name for tool in asked["tools"]] == ["add"]


async def test_the_secrets_of_an_agent_are_those_of_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeOpenAI(Says("Hello")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "of the machine")

        await Agent("", model="gpt-4o", secrets=DictSecrets({"OPENAI_API_KEY": "of the agent"})).run("x")

        assert server.requests[0].headers["authorization"] == "Bearer of the agent"


# --- tone -------------------------------------------------------------------------------------------------------------


async def prompted(agent: Agent, **options: Any) -> str:
    await agent.run("x", **options)
    return agent.model.heard  # type: ignore[attr-defined, no-any-return]


class Hears(EchoModel):
    heard = ""

    async def complete(self, messages: list[Message], **options: Any) -> Any:
        self.heard = messages[0].content
        self.options = options
        return await super().complete(messages, **options)


async def test_the_tone_of_the_run_wins_over_the_agents() -> None:
    agent = Agent("Help.", model=Hears(), response_tone="like a pirate")
    assert "like a pirate" in await prompted(agent)
    heard = await prompted(agent, response_tone="like a judge")
    assert "like a judge" in heard
    assert "pirate" not in heard
    assert agent.instructions == "Help."


async def test_the_schema_comes_before_the_tone_and_only_where_the_model_needs_it() -> None:
    agent = Agent("Help.", model=Hears(prefix=""), response_tone="like a pirate", output_schema=Answer)
    await agent.run('{"number": 1}')
    heard = agent.model.heard  # type: ignore[attr-defined]
    assert heard.index("Help.") < heard.index("STRUCTURED OUTPUT REQUIRED") < heard.index("like a pirate")

    class Native(Hears):
        supports_native_structured_output = True

    agent = Agent("Help.", model=Native(prefix=""), output_schema=Answer)
    await agent.run('{"number": 1}')
    assert "STRUCTURED" not in agent.model.heard  # type: ignore[attr-defined]
    assert agent.model.options["output_schema"] is Answer  # type: ignore[attr-defined]


# --- typed answers ----------------------------------------------------------------------------------------------------


async def test_a_typed_answer_is_cleaned_and_parsed() -> None:
    result = await Agent("", model=says('Sure!\n```json\n{"number": 4}\n```')).run("x", output_schema=Answer)
    assert (result.output, result.parsed, result.value) == ('{"number": 4}', Answer(number=4), Answer(number=4))


async def test_an_answer_that_does_not_fit_is_sent_back_without_tools() -> None:
    heard: list[tuple[list[Message], Any]] = []

    class Slow(ScriptedModel):
        async def complete(self, messages: list[Message], *, tools: Any = None, **options: Any) -> Any:
            heard.append((list(messages), tools))
            return await super().complete(messages, tools=tools, **options)

    model = Slow([ScriptedTurn('{"number": "four"}', usage=Usage(input_tokens=1)), ScriptedTurn('{"number": 4}')])
    result = await Agent("", model=model, tools=[add]).run("x", output_schema=Answer)
    assert result.parsed == Answer(number=4)
    assert result.turns == 2
    messages, tools = heard[1]
    assert messages[-1].content.startswith("Your previous response failed schema validation:\n- number: ")
    assert "(type=int_parsing)" in messages[-1].content
    assert tools is None


async def test_answers_that_never_fit_raise_with_everything_needed_to_see_why() -> None:
    agent = Agent("", model=says("no", "no", "no", "no"))
    with pytest.raises(OutputValidationError) as caught:
        await agent.run("x", output_schema=Answer, output_validation_retries=2)
    assert (caught.value.raw, caught.value.schema) == ("no", Answer)
    assert caught.value.cause is not None
    assert agent.model.remaining == 1  # type: ignore[attr-defined]


async def test_no_retries_are_none_and_fewer_are_refused() -> None:
    agent = Agent("", model=says("no", "no"))
    with pytest.raises(OutputValidationError):
        await agent.run("x", output_schema=Answer, output_validation_retries=0)
    with pytest.raises(ValueError, match="output_validation_retries"):
        await agent.run("x", output_schema=Answer, output_validation_retries=-1)
    assert agent.model.remaining == 1  # type: ignore[attr-defined]


async def test_structured_retries_are_charged_to_the_budget_traced_and_audited() -> None:
    budget, telemetry, log = StandardBudget(BudgetConfig(max_tokens=1500)), InMemoryTelemetry(), InMemoryAuditLog()
    model = says("no", '{"number": 4}', usage=Usage(input_tokens=1000))
    agent = Agent("", model=model, budget=budget, telemetry=telemetry, audit_log=log)
    result = await agent.run("x", output_schema=Answer)
    [end] = await log.query(action="run_completed")
    assert (end.payload["turns"], end.payload["tokens_in"]) == (2, 2000)
    assert (result.tokens_in, result.parsed) == (2000, Answer(number=4))
    assert (await budget.allows_step()).blocked
    assert [span.name for span in telemetry.spans()].count("loom.model.complete") == 2


async def test_a_structured_retry_that_the_budget_refuses_interrupts() -> None:
    budget = StandardBudget(BudgetConfig(max_tokens=1000))
    agent = Agent("", model=says("no", '{"number": 4}', usage=Usage(input_tokens=1000)), budget=budget)
    result = await agent.run("x", output_schema=Answer)
    assert (result.interruption_reason, result.parsed) == ("budget:max_tokens", None)


async def test_the_schema_of_the_run_wins_over_the_agents() -> None:
    agent = Agent("", model=says('{"number": 4}', '{"why": "no"}'), output_schema=Answer)
    assert (await agent.run("x")).parsed == Answer(number=4)
    assert (await agent.run("x", output_schema=Answer | Refusal)).parsed == Refusal(why="no")


# --- stop hooks -------------------------------------------------------------------------------------------------------


class Nag:
    """Sends the agent back so many times."""

    def __init__(self, times: int, name: str = "nag") -> None:
        self.name, self.left, self.iterations = name, times, list[int]()

    async def __call__(self, session: Any, deps: Any, *, iteration: int) -> StopHookResult | None:
        self.iterations.append(iteration)
        if self.left == 0:
            return None
        self.left -= 1
        return StopHookResult(f"go on {iteration}", "not done")


def fired(watched: Watched) -> list[dict[str, Any]]:
    return [e.payload for e in watched.events if e.kind is EventKind.ARCHITECTURE_EVENT]


async def test_a_stop_hook_sends_the_agent_back_to_work() -> None:
    watched = Watched()
    agent = Agent("", model="echo", stop_hooks=[Nag(0, "quiet"), Nag(2)])
    result = await agent.run("x", emit=watched)
    assert (result.output, result.turns, result.interrupted) == ("Echo: go on 2", 3, False)
    assert fired(watched) == [
        {"name": "stop_hook.fired", "hook": "nag", "iteration": n, "reason": "not done"} for n in (1, 2)
    ]


async def test_stop_hooks_that_are_never_content_end_at_the_cap() -> None:
    watched = Watched()
    agent = Agent("", model="echo", stop_hooks=[Nag(99)], max_stop_hook_iterations=2)
    result = await agent.run("x", emit=watched)
    assert (result.turns, result.interruption_reason) == (3, "stop_hook_iterations_exhausted")
    assert fired(watched)[-1] == {"name": "stop_hook.exhausted", "iterations": 2, "limit": 2}


async def test_a_hook_that_is_content_after_the_last_iteration_interrupts_nothing() -> None:
    result = await Agent("", model="echo", stop_hooks=[Nag(2)], max_stop_hook_iterations=2).run("x")
    assert (result.turns, result.interrupted) == (3, False)


async def test_a_cap_of_zero_turns_stop_hooks_off() -> None:
    nag = Nag(1)
    result = await Agent("", model="echo", stop_hooks=[nag], max_stop_hook_iterations=0).run("x")
    assert (result.turns, result.interrupted, nag.iterations) == (1, False, [])


async def test_an_interrupted_run_asks_no_stop_hook() -> None:
    nag = Nag(1)
    model = ScriptedModel([calls("add", a=1, b=2)] * 5)
    result = await Agent("", model=model, tools=[add], max_turns=1, stop_hooks=[nag]).run("x")
    assert (result.interruption_reason, nag.iterations) == ("max_turns_exceeded", [])


# --- what is written down ---------------------------------------------------------------------------------------------


async def test_a_run_is_audited_from_its_start_to_its_end() -> None:
    log = InMemoryAuditLog()
    model = ScriptedModel([calls("add", a=1, b=2), ScriptedTurn("three")])
    await Agent("", model=model, tools=[add], audit_log=log).run("p" * 900, user_id="alice")
    entries = await log.all_entries()
    assert [(e.actor, e.action) for e in entries] == [
        ("user", "run_started"),
        ("model", "tool_call"),
        ("system", "tool_result"),
        ("system", "memory_write"),
        ("system", "run_completed"),
    ]
    assert {e.user_id for e in entries} == {"alice"}
    started, called, returned, _, completed = (entry.payload for entry in entries)
    assert called == {"tool": "add", "call_id": "c1", "args": {"a": 1, "b": 2}, "destructive": False, "turn": 1}
    assert set(returned) == {"tool", "call_id", "ok", "denied", "error", "reason", "turn"}
    assert started == {"prompt": "p" * 500, "model": "scripted", "max_turns": 50, "architecture": "react"}
    assert set(completed) == {
        "turns", "interrupted", "interruption_reason", "tokens_in", "tokens_out", "cost_usd", "elapsed_ms",
    }  # fmt: skip


async def test_a_call_is_in_the_file_before_its_tool_runs_and_all_else_before_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    seen: list[list[str]] = []

    def written() -> list[str]:
        return [json.loads(line)["action"] for line in path.read_text().splitlines()]

    @tool
    async def look() -> None:
        """Look."""
        seen.append(written())

    agent = Agent("", model=ScriptedModel([calls("look"), ScriptedTurn()]), tools=[look], audit_log=path)
    await agent.run("x")

    assert seen == [["run_started", "tool_call"]]
    assert written() == ["run_started", "tool_call", "tool_result", "memory_write", "run_completed"]


async def test_that_a_run_has_begun_is_in_the_file_while_its_model_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    async def slow(messages: Any) -> ScriptedTurn:
        with anyio.fail_after(5):
            while "run_started" not in path.read_text():
                await anyio.sleep(0.001)
        return ScriptedTurn()

    await Agent("", model=ScriptedModel([slow]), audit_log=path).run("x")


async def test_a_full_transcript_has_prompts_outputs_and_results() -> None:
    log = FullTranscriptAuditLog(InMemoryAuditLog())
    model = ScriptedModel([calls("add", a=1, b=2), ScriptedTurn('{"number": 3}')])
    await Agent("", model=model, tools=[add], audit_log=log).run("p" * 900, output_schema=Answer)
    by_action = {e.action: e.payload for e in await log.all_entries()}
    assert by_action["run_started"]["prompt"] == "p" * 900
    assert by_action["tool_result"]["output"] == 3
    assert by_action["run_completed"]["parsed"] == {"number": 3}


async def test_a_failed_run_leaves_run_failed_in_the_audit_log() -> None:
    def fail(messages: Any) -> ScriptedTurn:
        raise ModelError("gone")

    log = InMemoryAuditLog()
    with pytest.raises(ModelError):
        await Agent("", model=ScriptedModel([fail]), audit_log=log).run("x")
    entries = await log.all_entries()
    assert [e.action for e in entries] == ["run_started", "run_failed"]
    assert entries[-1].payload == {"type": "ModelError", "message": "gone"}


async def test_a_run_whose_listener_fails_at_once_leaves_run_failed_in_the_audit_log() -> None:
    async def gone(event: Event) -> None:
        raise OSError("the reader is gone")

    log = InMemoryAuditLog()
    with pytest.raises(OSError, match="the reader is gone"):
        await Agent("", model="echo", audit_log=log).run("x", emit=gone)
    assert [e.action for e in await log.all_entries()] == ["run_started", "run_failed"]


async def test_a_cancelled_run_leaves_run_cancelled_in_the_audit_log() -> None:
    async def wait(messages: Any) -> ScriptedTurn:
        await anyio.sleep(10)
        return ScriptedTurn()

    log = InMemoryAuditLog()
    with anyio.move_on_after(0.02):
        await Agent("", model=ScriptedModel([wait]), audit_log=log).run("x")
    assert [e.action for e in await log.all_entries()] == ["run_started", "run_cancelled"]


async def test_keys_are_in_no_audit_entry_and_no_span() -> None:
    key = "sk-abcdefghijklmnopqrstuvwx"
    plain_secret = "correct horse battery"

    class Vault:
        def redact(self, text: str) -> str:
            return text.replace(plain_secret, "[REDACTED]")

    @tool
    async def login(password: str) -> str:
        """Log in."""
        return f"token {key} {plain_secret}"

    log, telemetry = FullTranscriptAuditLog(InMemoryAuditLog()), InMemoryTelemetry()
    model = ScriptedModel([calls("login", password=key), ScriptedTurn(f"used {key} and {plain_secret}")])
    agent = Agent("", model=model, tools=[login], audit_log=log, telemetry=telemetry, secrets=Vault())
    await agent.run(f"my key is {key}, or {plain_secret}")
    written = repr([e.payload for e in await log.all_entries()]) + repr(telemetry.spans()) + repr(telemetry.metrics())
    assert key not in written
    assert plain_secret not in written
    assert "[REDACTED]" in written


async def test_a_secret_of_the_agents_own_is_in_no_span_of_a_failure(tmp_path: Path) -> None:
    secret = "correct horse battery"

    class Fails(EchoModel):
        async def complete(self, messages: Any, **options: Any) -> Any:
            raise ModelError(f"{secret} was refused")

    telemetry, file = InMemoryTelemetry(), FileTelemetry(tmp_path / "spans.jsonl")
    sinks = MultiTelemetry([telemetry, file])
    agent = Agent("", model=Fails(), telemetry=sinks, secrets=DictSecrets({"KEY": secret}))

    with pytest.raises(ModelError, match=f"{secret} was refused"):
        await agent.run("x")

    spans = {span.name: span.exception for span in telemetry.spans()}
    assert spans["loom.model.complete"] == "ModelError: [REDACTED] was refused"
    assert secret not in repr(telemetry.spans()) + repr(telemetry.metrics()) + file.path.read_text()


async def test_every_span_says_whose_it_is_and_no_metric_does() -> None:
    telemetry = InMemoryTelemetry()
    model = ScriptedModel([calls("add", a=1, b=2), ScriptedTurn("three")] * 30)
    agent = Agent("", model=model, tools=[add], telemetry=telemetry)
    for n in range(30):
        await agent.run("x", user_id="alice", session_id=f"s{n}")
    assert {span.name for span in telemetry.spans()} == {"loom.run", "loom.turn", "loom.model.complete", "loom.tool"}
    assert {span.attributes["user_id"] for span in telemetry.spans()} == {"alice"}
    series = {(m.name, tuple(sorted(m.attributes.items()))) for m in telemetry.metrics()}
    assert len(series) < 20, "30 runs make no series of their own"


async def test_an_unserialisable_tool_result_does_not_kill_a_run_with_full_transcripts() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ValueError("no text")

    @tool
    async def odd() -> Any:
        """Something odd."""
        return {"set": {1}, "bytes": b"\xff", "inf": float("inf"), "odd": object(), Odd: 1}

    log = FullTranscriptAuditLog(InMemoryAuditLog(secret="k"))
    model = ScriptedModel([calls("odd"), ScriptedTurn("survived")])
    assert (await Agent("", model=model, tools=[odd], audit_log=log).run("x")).output == "survived"
    assert (await log.inner.verify()).ok  # type: ignore[attr-defined]


async def test_memory_events_are_emitted_and_audited() -> None:
    log, watched = InMemoryAuditLog(), Watched()
    agent = Agent("", model="echo", audit_log=log)
    await agent.run("the sky is blue", user_id="alice")
    await agent.run("what is the sky?", user_id="alice", emit=watched)
    recalled = next(e for e in watched.events if e.kind is EventKind.MEMORY_RECALL)
    stored = next(e for e in watched.events if e.kind is EventKind.MEMORY_WRITE)
    assert recalled.payload == {"facts": 0, "episodes": 1, "blocks": 0}
    assert stored.payload["episode_id"].startswith("ep_")
    actions = [e.action for e in await log.all_entries()]
    assert actions.count("memory_recall") == 1
    assert actions.count("memory_write") == 2


# --- facts on the side ------------------------------------------------------------------------------------------------


FACTS = '[{"subject": "user", "predicate": "likes", "object": "tea", "confidence": 0.9}]'


async def test_extraction_is_gated_charged_traced_and_in_the_cost_of_the_result() -> None:
    memory, budget = InMemoryMemory(fact_store=InMemoryFactStore()), StandardBudget(BudgetConfig(max_tokens=1000))
    telemetry = InMemoryTelemetry()
    model = says("hello", FACTS, usage=Usage(input_tokens=100, cost_usd=0.25))
    agent = Agent("", model=model, memory=memory, auto_extract=True, budget=budget, telemetry=telemetry)
    result = await agent.run("I like tea", user_id="alice")
    assert (result.tokens_in, result.cost_usd, result.output) == (200, 0.5, "hello")
    assert [f.object for f in await memory.recall_facts("tea", user_id="alice")] == ["tea"]
    assert [span.name for span in telemetry.spans()].count("loom.model.complete") == 2
    await budget.consume(tokens_in=800, tokens_out=0, cost_usd=0)
    assert (await budget.allows_step()).blocked


async def test_a_spent_budget_ends_the_extraction_and_not_the_run() -> None:
    memory, budget = InMemoryMemory(fact_store=InMemoryFactStore()), StandardBudget(BudgetConfig(max_tokens=100))
    model = says("hello", FACTS, usage=Usage(input_tokens=100))
    agent = Agent("", model=model, memory=memory, auto_extract=True, budget=budget)
    result = await agent.run("I like tea")
    assert (result.output, result.interrupted, model.remaining) == ("hello", False, 1)


# --- over the wire ----------------------------------------------------------------------------------------------------


async def test_a_rate_limited_call_costs_exactly_max_attempts_requests() -> None:
    with FakeOpenAI(Fails(429)) as fake:
        model = OpenAIModel("gpt-4o", api_key="k", base_url=fake.url)
        agent = Agent("", model=model, retry_policy=RetryPolicy(max_attempts=3, initial_delay_s=0, jitter=0))
        with pytest.raises(RateLimitError):
            await agent.run("x")
        assert len(fake.requests) == 3
        with pytest.raises(RateLimitError):
            await agent.run("x", emit=Watched())
        assert len(fake.requests) == 6


async def test_a_stream_that_breaks_off_is_not_sent_or_paid_twice() -> None:
    with FakeOpenAI(Says("Hello world", broken_at=900), Says("Hello world")) as fake:
        model = OpenAIModel("gpt-4o", api_key="k", base_url=fake.url)
        agent = Agent("", model=model, retry_policy=RetryPolicy(max_attempts=3, initial_delay_s=0, jitter=0))
        watched = Watched()
        with pytest.raises(ModelError):
            await agent.run("x", emit=watched)
        assert len(fake.requests) == 1
        text = "".join(e.payload["chunk"].text or "" for e in watched.events if e.kind is EventKind.MODEL_CHUNK)
        assert text
        assert "Hello world".startswith(text)


# --- many at once -----------------------------------------------------------------------------------------------------


async def test_concurrent_runs_do_not_overspend_a_budget_together() -> None:
    async def answer(messages: Any) -> ScriptedTurn:
        await anyio.sleep(0.001)
        return ScriptedTurn("a", usage=Usage(input_tokens=10))

    budget = StandardBudget(BudgetConfig(max_tokens=100))
    agent = Agent("", model=ScriptedModel([answer] * 50), budget=budget)
    results = []

    async def run(n: int) -> None:
        results.append(await agent.run("x", user_id=f"u{n}"))

    async with anyio.create_task_group() as group:
        for n in range(20):
            group.start_soon(run, n)
    assert sum(r.total_tokens for r in results) == 100
    assert sum(r.interruption_reason == "budget:max_tokens" for r in results) == 10


async def test_the_cap_of_one_user_is_not_anothers() -> None:
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=10))
    agent = Agent("", model=says(*"abcdef", usage=Usage(input_tokens=10)), budget=budget)
    spent = [(await agent.run("x", user_id=user)).interruption_reason for user in ("alice", "alice", "bob")]
    assert spent == [None, "budget:per_user_max_tokens", None]


async def test_users_of_one_agent_are_told_apart() -> None:
    agent = Agent("", model=Hears())
    await agent.run("alice's secret plan", user_id="alice", session_id="s")

    heard: list[str] = []

    class All(EchoModel):
        async def complete(self, messages: list[Message], **options: Any) -> Any:
            heard.extend(m.content for m in messages)
            return await super().complete(messages, **options)

    other = Agent("", model=All(), memory=agent.memory)
    await other.run("what is the plan?", user_id="bob", session_id="s")
    assert not any("secret" in text for text in heard)


async def test_nothing_of_a_failed_run_stays_behind_for_the_next() -> None:
    def fail(messages: Any) -> ScriptedTurn:
        raise ModelError("gone")

    alice = Agent("", model=ScriptedModel([fail]), workspace="memory")
    with pytest.raises(ModelError):
        await alice.run("x", user_id="alice", metadata={"a": 1})
    assert get_run_context() == RunContext()
    offered: list[list[str]] = []

    class Looks(EchoModel):
        async def complete(self, messages: list[Message], *, tools: Any = None, **options: Any) -> Any:
            offered.append([t.name for t in tools or ()])
            return await super().complete(messages, tools=tools, **options)

    await Agent("", model=Looks(), tools=[add]).run("x", user_id="bob")
    assert offered == [["add"]]


async def test_a_memory_that_is_empty_is_still_the_memory() -> None:
    class Sized(InMemoryMemory):
        def __len__(self) -> int:
            return 0

    memory = Sized()
    await Agent("", model="echo", memory=memory).run("x", user_id="alice")
    assert (await memory.profile(user_id="alice")).episode_count == 1


async def test_no_warning_is_raised_by_an_ordinary_run() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await Agent("", model="echo").run("x")
