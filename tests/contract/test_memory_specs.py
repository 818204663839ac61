"""Memory as people name it: an agent on a new place, from one program to the next."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from loom import Agent
from loom.messages import Role
from tests.contract.durable import new_schema
from tests.contract.extras import NEEDS

SPECS: dict[str, Any] = {
    "sqlite": lambda folder: f"sqlite:{folder}/bot.db",
    "postgres": lambda folder: {"backend": "postgres", "dsn": new_schema()},
    "chroma": lambda folder: f"chroma:{folder}/vectors",
    "redis": lambda folder: {"backend": "redis", "url": os.environ["REDIS_URL"], "key_prefix": f"{folder}:"},
}


@pytest.mark.parametrize(
    "spec", [pytest.param(spec, id=name, marks=NEEDS.get(name, ())) for name, spec in SPECS.items()]
)
def test_an_agent_remembers_from_one_event_loop_to_the_next_in_a_place_that_was_new(spec: Any, tmp_path: Path) -> None:
    async def talk(agent: Agent, text: str) -> list[str]:
        await agent.run(text, user_id="ann", session_id="s1")
        messages = await agent.memory.session_messages("s1", user_id="ann")
        await agent.memory.aclose()  # type: ignore[attr-defined]
        return [message.content for message in messages if message.role is Role.USER]

    place = spec(tmp_path)
    agent = Agent("Be kind.", model="echo", memory=place)
    assert asyncio.run(talk(agent, "my passport is blue")) == ["my passport is blue"]
    assert asyncio.run(talk(agent, "and my bag")) == ["my passport is blue", "and my bag"]

    another = Agent("Be kind.", model="echo", memory=place)
    assert asyncio.run(talk(another, "what color?")) == ["my passport is blue", "and my bag", "what color?"]
