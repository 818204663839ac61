"""What a deployment's modules offer by name."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from agents.core.agent import Agent
from agents.core.registry import Registry
from agents.core.tools.tool import tool
from agents.core.workflow import Workflow
from loom.errors import ConfigError


@tool
def look() -> str:
    """Look."""
    return "seen"


@tool(name="look")
def stare() -> str:
    """Stare."""
    return "seen"


def module(monkeypatch: pytest.MonkeyPatch, name: str, **contents: object) -> str:
    made = ModuleType(name)
    vars(made).update(contents)
    monkeypatch.setitem(sys.modules, name, made)
    return name


def test_programs_are_found_by_name() -> None:
    registry = Registry()
    agent, workflow = Agent("", model="echo", name="clerk"), Workflow("intake")
    assert registry.add(agent) is agent
    registry.add(workflow)
    registry.add(agent)
    assert (registry.program("clerk"), registry.program("intake")) == (agent, workflow)


def test_a_name_is_given_once() -> None:
    registry = Registry()
    registry.add(Workflow("intake"))
    with pytest.raises(ConfigError, match="'intake'"):
        registry.add(Workflow("intake"))


def test_what_is_missing_is_named_with_what_there_is() -> None:
    registry = Registry()
    with pytest.raises(ConfigError, match="none is registered"):
        registry.program("clerk")
    registry.add(Workflow("intake"))
    with pytest.raises(ConfigError, match="did you mean 'intake'"):
        registry.program("intak")
    with pytest.raises(ConfigError, match="there are intake"):
        registry.program("zzz")


def test_the_tools_of_a_module_are_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry()
    one = module(monkeypatch, "loom_test_one", look=look, other=3)
    two = module(monkeypatch, "loom_test_two", look=look)
    registry.load([one, two, one])
    assert registry.tool("look") is look
    with pytest.raises(ConfigError, match="did you mean 'look'"):
        registry.tool("lok")


def test_two_tools_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    one = module(monkeypatch, "loom_test_one", look=look)
    two = module(monkeypatch, "loom_test_two", stare=stare)
    with pytest.raises(ConfigError, match="'look'"):
        Registry().load([one, two])


def test_a_module_that_does_not_import_is_named() -> None:
    with pytest.raises(ConfigError, match="'loom_nowhere'"):
        Registry().load(["loom_nowhere"])
