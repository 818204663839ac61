"""A server on loopback that speaks Anthropic's Messages API from a script, and remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio.abc import SocketAttribute, SocketStream

USAGE = {"input_tokens": 12, "output_tokens": 80}


@dataclass
class Answer:
    """One HTTP answer. `pieces` are sent one by one; `cut` drops the connection instead of ending it."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    cut: bool = False
    stall: bool = False


@dataclass
class Says:
    """A message, sent whole or as events, as the request wants it."""

    text: str = ""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)  # id, name, input
    stop_reason: str = ""
    usage: dict[str, int] = field(default_factory=lambda: dict(USAGE))
    fragment: int = 7  # characters of text and tool input per event
    stop_details: dict[str, Any] | None = None

    def reason(self) -> str:
        return self.stop_reason or ("tool_use" if self.calls else "end_turn")


def fails(status: int, kind: str = "api_error", **headers: str) -> Answer:
    body = {"type": "error", "error": {"type": kind, "message": f"scripted {status}"}}
    return Answer(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, [json.dumps(body).encode()]
    )


def streams(events: Iterable[dict[str, Any] | bytes], *, cut: bool = False, stall: bool = False) -> Answer:
    pieces = [event if isinstance(event, bytes) else sse(event) for event in events]
    return Answer(200, {"content-type": "text/event-stream"}, pieces, cut=cut, stall=stall)


def sse(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def events_of(said: Says) -> list[dict[str, Any]]:
    """The events of a message. Usage is cumulative, as the API sends it: a first number, then the final one."""
    start = {**said.usage, "output_tokens": min(41, said.usage.get("output_tokens", 0))}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": whole(said) | {"content": [], "stop_reason": None, "usage": start}},
        {"type": "ping"},
    ]
    index = 0
    if said.text:
        deltas = [{"type": "text_delta", "text": part} for part in cut_up(said.text, said.fragment)]
        events += block(index, {"type": "text", "text": ""}, deltas)
        index += 1
    for call_id, name, args in said.calls:
        text = args if isinstance(args, str) else json.dumps(args)
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in ["", *cut_up(text, said.fragment)]]
        events += block(index, {"type": "tool_use", "id": call_id, "name": name, "input": {}}, deltas)
        index += 1
    delta = {"stop_reason": said.reason(), "stop_sequence": None, "stop_details": said.stop_details}
    return [*events, {"type": "message_delta", "delta": delta, "usage": said.usage}, {"type": "message_stop"}]


def block(index: int, start: dict[str, Any], deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    middle = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *middle,
        {"type": "content_block_stop", "index": index},
    ]


def cut_up(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def whole(said: Says) -> dict[str, Any]:
    text = [{"type": "text", "text": said.text}] if said.text else []
    calls = [{"type": "tool_use", "id": i, "name": n, "input": args} for i, n, args in said.calls]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-fake",
        "content": text + calls,
        "stop_reason": said.reason(),
        "stop_sequence": None,
        "stop_details": said.stop_details,
        "usage": said.usage,
    }


@dataclass
class FakeAnthropic:
    """`script` is played in order, one entry a request; the last one again and again."""

    script: list[Answer | Says]
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0

    async def handle(self, connection: SocketStream) -> None:
        self.connections += 1
        async with connection:
            received = b""
            while True:
                try:
                    while b"\r\n\r\n" not in received:
                        received += await connection.receive()
                    head, _, received = received.partition(b"\r\n\r\n")
                    lines = head.decode().split("\r\n")
                    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
                    length = int(headers.get("content-length", 0))
                    while len(received) < length:
                        received += await connection.receive()
                except (anyio.EndOfStream, anyio.BrokenResourceError):
                    return
                body, received = received[:length], received[length:]
                assert lines[0].split()[:2] == ["POST", "/v1/messages"], lines[0]
                self.headers.append(headers)
                self.requests.append(json.loads(body))
                try:
                    if not await self.answer(connection, self.next_answer()):
                        return
                except anyio.BrokenResourceError:
                    return

    def next_answer(self) -> Answer:
        entry = self.script[min(len(self.requests), len(self.script)) - 1]
        if isinstance(entry, Answer):
            return entry
        if self.requests[-1].get("stream"):
            return streams(events_of(entry))
        return Answer(200, {}, [json.dumps(whole(entry)).encode()])

    async def answer(self, connection: SocketStream, answer: Answer) -> bool:
        """Send it; whether the connection may be used again."""
        headers = {"content-type": "application/json", "request-id": "req_1", **answer.headers}
        lines = [f"HTTP/1.1 {answer.status} Scripted", *[f"{name}: {value}" for name, value in headers.items()]]
        await connection.send("\r\n".join([*lines, "transfer-encoding: chunked", "", ""]).encode())
        for piece in answer.pieces:
            await connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            await anyio.sleep(0)
        if answer.stall:
            await anyio.sleep_forever()
        if answer.cut:
            return False
        await connection.send(b"0\r\n\r\n")
        return True


@asynccontextmanager
async def serving(*script: Answer | Says) -> AsyncIterator[FakeAnthropic]:
    fake = FakeAnthropic(list(script))
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    port = listener.extra(SocketAttribute.local_port)
    fake.url = f"http://127.0.0.1:{port}"
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, fake.handle)
        try:
            yield fake
        finally:
            group.cancel_scope.cancel()
