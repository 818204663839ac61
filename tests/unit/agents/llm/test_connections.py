"""The pool of HTTP connections that all models of an event loop share."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
import anyio.lowlevel
import httpx2
import pytest

from agents.core.llm.anthropic import AnthropicModel
from agents.core.llm.connections import close_connections, shared_http_client
from agents.core.llm.shards import CALLS_A_POOL, sharded
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


async def test_many_calls_at_once_are_spread_over_pools_and_few_share_one() -> None:
    shards = sharded(httpx2.Limits(max_connections=None, max_keepalive_connections=100))
    calls = 2 * CALLS_A_POOL + 1
    async with serving(Says("hi")) as fake, httpx2.AsyncClient(transport=shards) as client:
        async with AsyncExitStack() as under_way:
            streams = [client.stream("POST", f"{fake.url}/v1/messages", json={}) for _ in range(calls)]
            answers = [await under_way.enter_async_context(stream) for stream in streams]
            assert fake.connections == calls
            for answer in answers:
                await answer.aread()  # a connection is kept when its answer was read to the end
        for _ in range(3):
            await client.post(f"{fake.url}/v1/messages", json={})

    assert fake.connections == calls  # what was opened is used again


async def test_a_call_that_fails_gives_its_place_back() -> None:
    shards = sharded(httpx2.Limits(max_connections=None, max_keepalive_connections=100))
    async with httpx2.AsyncClient(transport=shards) as client:
        for _ in range(CALLS_A_POOL + 1):
            with pytest.raises(httpx2.ConnectError):
                await client.get("http://127.0.0.1:9/")

    assert len(shards._shards) == 1  # type: ignore[attr-defined]


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def proxy(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            asked.append(await stream.receive())
            await stream.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, proxy)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        await shared_http_client().post("http://model.example/v1/messages", json={})
        await close_connections()
        group.cancel_scope.cancel()

    assert asked[0].startswith(b"POST http://model.example/v1/messages ")
