"""A server on loopback that speaks OpenAI's chat completions from a script, and embeds, in a thread of its own.

    with FakeOpenAI(Says("Hello")) as fake:
        OpenAIModel("gpt-4o", api_key="test", base_url=fake.url)

It serves tests of the adapter, of the platform and the measurements: sync and async callers alike, many at once.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

import anyio
import uvicorn

from memory.core.embedders import HashEmbedder

USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}


@dataclass(frozen=True)
class Says:
    """An answer, sent whole or in pieces, as the request wants it.

    `cuts` are the byte positions at which a stream's body is cut into parts; `broken_at` drops the connection after so
    many bytes. Arguments of a call that are a string are sent as they are.
    """

    text: str = ""
    calls: tuple[tuple[str, str, Any], ...] = ()  # id, name, arguments
    finish: str = ""
    usage: Mapping[str, Any] | None = field(default_factory=lambda: dict(USAGE))
    refusal: str | None = None
    fragment: int = 7  # characters of text and arguments per piece
    cuts: tuple[int, ...] = ()
    broken_at: int | None = None
    delay_seconds: float = 0.0
    piece_delay_seconds: float = 0.0

    def reason(self) -> str:
        return self.finish or ("tool_calls" if self.calls else "stop")


@dataclass(frozen=True)
class Fails:
    """An error, in OpenAI's envelope."""

    status: int
    type: str = "server_error"
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """Bytes as they are; `broken` drops the connection after them."""

    parts: tuple[bytes, ...]
    content_type: str = "text/event-stream"
    status: int = 200
    broken: bool = False


Reply = Says | Fails | Raw
Script = Reply | Callable[[dict[str, Any]], Reply]


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


class FakeOpenAI:
    """`script` is played in order, one entry a request; the last one again and again. Without one it echoes."""

    def __init__(self, *script: Script) -> None:
        self.script: list[Script] = list(script) or [echo]
        self.requests: list[Request] = []
        self.url = ""
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            log_level="critical",
            lifespan="off",
            ws="none",
            http="h11",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name="fake-openai", daemon=True)

    def __enter__(self) -> Self:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def play(self, *script: Script) -> None:
        """Begin another script and forget what was asked."""
        self.script, self.requests = list(script), []

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The bodies of the chat requests, in order."""
        return [request.body for request in self.requests]

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    async def _app(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if scope["path"].endswith("/models"):
            models = {"object": "list", "data": [{"id": "fake", "object": "model", "owned_by": "loom"}]}
            return await _send(send, 200, "application/json", [json.dumps(models).encode()])
        if scope["path"].endswith("/embeddings"):
            answer = json.dumps(await _embedded(json.loads(body))).encode()
            # An embedder has no one who closes its connections.
            return await _send(send, 200, "application/json", [answer], headers={"connection": "close"})
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        asked = json.loads(body)
        self.requests.append(Request(scope["path"], headers, asked))
        entry = self.script[min(len(self.requests), len(self.script)) - 1]
        await _reply(entry(asked) if callable(entry) else entry, asked, send)
        return None


async def _embedded(asked: dict[str, Any]) -> dict[str, Any]:
    """Vectors of the size of text-embedding-3-small that are near as far as texts share words. Not counted as asked."""
    vectors = await HashEmbedder(asked.get("dimensions", 1536)).embed_batch(asked["input"])
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return {"object": "list", "model": asked["model"], "data": data, "usage": usage}


def echo(asked: dict[str, Any]) -> Says:
    """What a scriptless server says: the last thing the user said."""
    said = next((turn["content"] for turn in reversed(asked["messages"]) if turn["role"] == "user"), "")
    return Says(f"You said: {said}")


async def _reply(reply: Reply, asked: dict[str, Any], send: Any) -> None:
    if isinstance(reply, Fails):
        error = {"message": f"scripted {reply.status}", "type": reply.type, "code": reply.code, "param": None}
        body = json.dumps({"error": error}).encode()
        await _send(send, reply.status, "application/json", [body], headers=reply.headers)
    elif isinstance(reply, Raw):
        await _send(send, reply.status, reply.content_type, reply.parts, broken=reply.broken)
    else:
        await anyio.sleep(reply.delay_seconds)
        streams = bool(asked.get("stream"))
        body = b"".join(_events(reply)) if streams else json.dumps(_whole(reply)).encode()
        if streams and not reply.cuts and reply.broken_at is None:
            parts = list(_events(reply))
        else:
            parts = _cut(body[: reply.broken_at], reply.cuts)
        kind = "text/event-stream" if streams else "application/json"
        broken = reply.broken_at is not None
        await _send(send, 200, kind, parts, broken=broken, pause=reply.piece_delay_seconds)


async def _send(
    send: Any,
    status: int,
    kind: str,
    parts: list[bytes] | tuple[bytes, ...],
    *,
    headers: Mapping[str, str] | None = None,
    broken: bool = False,
    pause: float = 0.0,
) -> None:
    named = {"content-type": kind, "x-request-id": "req_1", **(headers or {})}
    listed = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
        await anyio.sleep(pause)
    if broken:
        await anyio.sleep(0.01)  # what was sent leaves before the connection drops
        raise ConnectionAbortedError("scripted")
    await send({"type": "http.response.body", "body": b""})


def events(says: Says) -> bytes:
    """The whole body of a streamed answer."""
    return b"".join(_events(says))


def _events(says: Says) -> Iterator[bytes]:
    yield _event({"role": "assistant", "content": ""})
    for piece in _pieces(says.text, says.fragment):
        yield _event({"content": piece})
    if says.refusal:
        yield _event({"refusal": says.refusal})
    for index, (call_id, name, args) in enumerate(says.calls):
        function = {"name": name, "arguments": ""}
        yield _event({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]})
        for piece in _pieces(_arguments(args), says.fragment):
            yield _event({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield _event({}, finish=says.reason())
    if says.usage is not None:
        yield _frame({"choices": [], "usage": says.usage})
    yield b"data: [DONE]\n\n"


def _event(delta: dict[str, Any], *, finish: str | None = None) -> bytes:
    return _frame({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None})


def _frame(data: dict[str, Any]) -> bytes:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fake"}
    return b"data: " + json.dumps({**head, **data}, ensure_ascii=False).encode() + b"\n\n"


def _whole(says: Says) -> dict[str, Any]:
    calls = [
        {"id": call_id, "type": "function", "function": {"name": name, "arguments": _arguments(args)}}
        for call_id, name, args in says.calls
    ]
    message = {"role": "assistant", "content": says.text or None, "refusal": says.refusal}
    if calls:
        message["tool_calls"] = calls
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "fake",
        "choices": [{"index": 0, "message": message, "finish_reason": says.reason()}],
        "usage": says.usage,
    }


def _arguments(args: Any) -> str:
    return args if isinstance(args, str) else json.dumps(args)


def _pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def _cut(body: bytes, positions: tuple[int, ...]) -> list[bytes]:
    places = [0, *sorted(place for place in set(positions) if 0 < place < len(body)), len(body)]
    return [body[start:end] for start, end in pairwise(places)]
