"""Agents from dictionaries and TOML files."""

from __future__ import annotations

import inspect
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.core.agent import Agent
from agents.core.architectures.react import ReAct
from agents.core.config import AgentConfig, read_config
from agents.core.context_policy import ContextPolicy
from agents.core.llm.echo import EchoModel
from agents.core.tools.tool import tool
from audit.core.log import FullTranscriptAuditLog
from audit.core.telemetry import InMemoryTelemetry
from governance.core.permissions import StandardPermissions
from governance.core.retry import RetryPolicy
from loom.errors import ConfigError
from loom.messages import PromptCacheConfig
from memory.core.backends.in_memory import InMemoryMemory

LEAST: dict[str, Any] = {"instructions": "Help.", "model": "echo"}


@tool
def look() -> str:
    """Look."""
    return "seen"


def test_the_least_that_makes_an_agent() -> None:
    agent = Agent.from_dict(dict(LEAST))
    assert (agent.instructions, agent.model.name, agent.max_turns) == ("Help.", "echo", 50)


def test_everything_that_data_can_say_arrives() -> None:
    agent = Agent.from_dict(
        {
            **LEAST,
            "name": "clerk",
            "max_turns": 7,
            "architecture": "react",
            "effort": "low",
            "strict_effort": True,
            "response_tone": "casual",
            "prompt_caching": {"ttl": "1h"},
            "output_schema": {"type": "object"},
            "memory": {"backend": "inmemory"},
            "auto_consolidate": True,
            "auto_extract": False,
            "runtime": "inproc",
            "telemetry": "memory",
            "audit_log": {"scope_full": True},
            "permissions": {"denied_tools": ["bash"]},
            "budget": {"max_tokens": 10, "per_user_max_tokens": 5, "per_user_max_wall_clock_minutes": 2},
            "retry_policy": {"max_attempts": 5},
            "workspace": "memory",
            "living_plan": True,
            "max_stop_hook_iterations": 3,
            "context_window": {"max_tokens": 2000, "act_above": 0.7, "compact": False},
        }
    )
    assert (agent.name, agent.max_turns, agent.effort, agent.strict_effort) == ("clerk", 7, "low", True)
    assert isinstance(agent.architecture, ReAct)
    assert (agent.response_tone, agent.prompt_caching) == ("casual", PromptCacheConfig(enabled=True, ttl="1h"))
    assert (agent.output_schema, agent.auto_consolidate, agent.auto_extract) == ({"type": "object"}, True, False)
    assert isinstance(agent.memory, InMemoryMemory)
    assert isinstance(agent.telemetry, InMemoryTelemetry)
    assert isinstance(agent.audit_log, FullTranscriptAuditLog)
    assert isinstance(agent.permissions, StandardPermissions)
    assert agent.kit is not None
    assert agent.kit.workspace is not None
    assert agent.max_stop_hook_iterations == 3
    assert agent.context_policy == ContextPolicy(max_tokens=2000, act_above=0.7, compact=False)


def test_whatever_the_constructor_takes_data_can_say_but_for_code() -> None:
    code = {"self", "hooks", "tools", "approval_handler", "secrets", "stop_hooks"}
    takes = set(inspect.signature(Agent.__init__).parameters) - code
    assert takes - set(AgentConfig.model_fields) == set()


async def test_the_cap_of_a_user_can_be_configured() -> None:
    agent = Agent.from_dict({**LEAST, "budget": {"per_user_max_tokens": 11}})
    assert (await agent.run("one two three four", user_id="alice")).interrupted is False
    assert (await agent.run("x", user_id="alice")).interruption_reason == "budget:per_user_max_tokens"
    assert (await agent.run("x", user_id="bob")).interrupted is False


def test_minutes_are_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.core.config.StandardBudget", lambda limits: limits)
    said = read_config({**LEAST, "budget": {"max_wall_clock_minutes": 1.5}})
    assert said["budget"].max_wall_clock == timedelta(seconds=90)


def test_what_is_given_wins_over_the_config() -> None:
    model, memory = EchoModel(), InMemoryMemory()
    agent = Agent.from_dict(
        {**LEAST, "model": "gpt-4o"}, model=model, memory=memory, retry_policy=RetryPolicy.disabled()
    )
    assert (agent.model, agent.memory, agent.asked_model) == (model, memory, model)
    assert Agent.from_dict({"instructions": "x"}, model="echo").model.name == "echo"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model": "echo"}, "instructions is missing"),
        ({"instructions": 3, "model": "echo"}, "instructions: .*not 3"),
        ({"instructions": "x"}, "model"),
        ({**LEAST, "max_tuns": 3}, "no key 'max_tuns'; did you mean 'max_turns'?"),
        ({**LEAST, "max_turns": 0}, "max_turns: .*not 0"),
        ({**LEAST, "max_turns": "many"}, "max_turns: .*not 'many'"),
        ({**LEAST, "budget": {"max_token": 3}}, "budget has no 'max_token'; did you mean 'max_tokens'?"),
        ({**LEAST, "budget": {"max_tokens": "many"}}, "budget.max_tokens: .*not 'many'"),
        ({**LEAST, "budget": {"max_wall_clock_minutes": "long"}}, "budget.max_wall_clock_minutes: .*not 'long'"),
        ({**LEAST, "retry_policy": {"attempts": 3}}, "retry_policy has no 'attempts'; did you mean 'max_attempts'?"),
        ({**LEAST, "retry_policy": {"max_attempts": "x"}}, "retry_policy.max_attempts: "),
        ({**LEAST, "permissions": "strikt"}, "strikt"),
        ({**LEAST, "audit_log": {"nam": "x"}}, "audit_log has no 'nam'; did you mean 'name'?"),
        ({**LEAST, "skills": [{"label": "x"}]}, "skills: .*path"),
        ({**LEAST, "skills": [{"path": "x", "lable": "y"}]}, "skills has no 'lable'; did you mean 'label'?"),
        (
            {**LEAST, "mcp": [{"name": "a", "transport": "stdio", "comand": "x"}]},
            "'mcp.0.comand'; did you mean 'command'?",
        ),
        ({**LEAST, "mcp": [{"name": "a", "transport": "smoke"}]}, "mcp.0.transport"),
        ({**LEAST, "mcp": [{"name": "a", "transport": "stdio"}]}, "mcp.0: a stdio server needs a command"),
        ({**LEAST, "architecture": "reakt"}, "reakt"),
        ({**LEAST, "effort": "hgih"}, "effort: .*'hgih'"),
        ({**LEAST, "output_schema": {"type": "objct"}}, "the output schema is no JSON Schema: type"),
        ({**LEAST, "runtime": {"backend": "sqlite", "pth": "x"}}, "runtime has no 'pth'; did you mean 'path'?"),
        ({**LEAST, "permissions": {"mod": "strict"}}, "permissions has no 'mod'; did you mean 'mode'?"),
        ({**LEAST, "memory": {"backend": "inmemory", "embeder": "hash"}}, "memory has no 'embeder'; .* 'embedder'?"),
        ({**LEAST, "telemetry": {"backend": "file", "paht": "x"}}, "telemetry 'file' has no 'paht'; .* 'path'?"),
        ({**LEAST, "prompt_caching": {"tll": "5m"}}, "prompt_caching has no 'tll'; did you mean 'ttl'?"),
        ({**LEAST, "model": {"name": "echo", "efort": "low"}}, "model has no 'efort'; did you mean 'effort'?"),
        ({**LEAST, "budget": {"max_wall_clock_minutes": float("inf")}}, "budget.max_wall_clock_minutes: .*not inf"),
        ({**LEAST, "context_window": 0}, "context_window: max_tokens is at least 1"),
        (
            {**LEAST, "context_window": {"max_token": 9}},
            "context_window has no 'max_token'; did you mean 'max_tokens'?",
        ),
        ({**LEAST, "context_window": {"act_above": "high"}}, "context_window.act_above: .*number"),
        ({**LEAST, "context_window": {"act_above": 0.1}}, "context_window: 0 < shrink_to < act_above <= 1"),
        ({**LEAST, "tools": ["look"]}, "'tools' is code and no data: give it as a keyword"),
        (["instructions"], "a config is a table"),
    ],
)
def test_a_wrong_config_is_refused_by_the_name_of_what_is_wrong(config: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Agent.from_dict(config)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read_config({"modell": "echo", "max_turns": 0})
    assert all(word in str(caught.value) for word in ("instructions is missing", "'modell'", "max_turns"))


def test_mcp_servers_and_tools_are_not_given_together() -> None:
    with pytest.raises(ConfigError, match="not both"):
        Agent.from_dict({**LEAST, "mcp": [{"name": "a", "transport": "stdio", "command": "x"}]}, tools=[look])
    with pytest.raises(ConfigError, match="a config is a table"):
        Agent.from_dict(["mcp"], tools=[look])  # type: ignore[arg-type]


def test_a_toml_file_makes_an_agent(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text('instructions = "Help."\nmodel = "echo"\n[budget]\nmax_tokens = 5\n')
    assert Agent.from_config(path, tools=[look]).instructions == "Help."


@pytest.mark.parametrize(
    "text", ['instructions = "x"\nmodel = "echo"\nmax_tuns = 3\n', "instructions = ", None, b"\xff"]
)
def test_what_is_wrong_with_a_file_begins_with_its_path(tmp_path: Path, text: Any) -> None:
    path = tmp_path / "a"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        Agent.from_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).count(str(path)) <= 2


def test_a_file_with_a_short_name_is_named_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("m").write_text('instructions = "x"\nmodel = "nonsense"\n')
    with pytest.raises(ConfigError, match=r"^m: "):
        Agent.from_config("m")
