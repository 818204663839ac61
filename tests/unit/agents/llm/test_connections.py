"""The pool of HTTP connections that all models of an event loop share."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import httpx2
import pytest

from agents.core.llm.anthropic import AnthropicModel
from agents.core.llm.connections import close_connections, shared_http_client
from loom.messages import Message, Role
from tests.fake_anthropic import Answer, Says, serving

HELLO = [Message(role=Role.USER, content="hello")]


async def test_models_with_different_keys_share_a_connection_but_not_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(Says("hi")) as fake:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", fake.url)
        await AnthropicModel(api_key="ann").complete(HELLO)
        await AnthropicModel(api_key="cem").complete(HELLO)
        await close_connections()

    assert fake.connections == 1
    assert [headers["authorization"] for headers in fake.headers] == ["Bearer ann", "Bearer cem"]


async def test_no_cookie_is_kept() -> None:
    async with serving(Answer(headers={"set-cookie": "session=ann; Path=/"})) as fake:
        for _ in range(2):
            await shared_http_client().post(f"{fake.url}/v1/messages", json={})
        await close_connections()

    assert ["cookie" in headers for headers in fake.headers] == [False, False]


def test_every_event_loop_has_a_pool_of_its_own() -> None:
    async def pool() -> httpx2.AsyncClient:
        found = shared_http_client()
        assert shared_http_client() is found
        await close_connections()
        return found

    assert anyio.run(pool) is not anyio.run(pool)


async def test_a_closed_pool_is_replaced() -> None:
    first = shared_http_client()
    await first.aclose()

    assert not shared_http_client().is_closed
    await close_connections()
