"""Runs over WebSocket. A socket speaks, it does not listen: what a client says is counted and thrown away.

Whose socket it is, `loomsite.asgi` has found out. Close codes: 1000 the run is over, 1008 too many messages, 1009 one
too large, 1011 something broke here, 4401 no valid credential, 4404 no such run, or not yours.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, nullcontext, suppress
from typing import Any
from urllib.parse import parse_qs

import anyio
from django.db import DatabaseError

from agents import stream
from agents.models import Run
from governance.tenancy import unit
from loom.errors import Denied

MAX_MESSAGE_BYTES = 64 * 1024
MAX_MESSAGES_A_SECOND = 100

DONE, TOO_MANY, TOO_LARGE, BROKEN, UNAUTHENTICATED, UNKNOWN = 1000, 1008, 1009, 1011, 4401, 4404

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

log = logging.getLogger(__name__)


async def run(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """The events of one run: what comes after `?after=` at once, then what happens. Closes after the last event."""
    principal = scope["principal"]
    run_id = scope["url_route"]["kwargs"]["run_id"]

    async def frames() -> AsyncGenerator[str, None]:
        notices = stream.follow(principal.tenant.pk, run_id, after=_after(scope), allowed=principal.is_current)
        async with aclosing(notices):
            async for notice in notices:
                if notice is not None:
                    yield notice.json

    async def exists() -> bool:
        return await unit(principal.tenant.pk, Run.objects.filter(pk=run_id).exists)()

    await _serve(scope, receive, send, exists, frames)


async def tenant(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """What changes among the tenant's runs, from now on: `{"type": "run.changed", "run_id": …, "status": …}`."""
    principal = scope["principal"]

    async def frames() -> AsyncGenerator[str, None]:
        messages = stream.follow_tenant(principal.tenant.pk, allowed=principal.is_current)
        async with aclosing(messages):
            async for message in messages:
                if message is not None:
                    yield json.dumps(message)

    async def exists() -> bool:
        return True

    # An open socket has begun to hear: what its client asks for after that, and what it is told, leave nothing out.
    async with stream.hear_tenant(principal.tenant.pk) if principal else nullcontext():
        await _serve(scope, receive, send, exists, frames)


async def _serve(
    scope: dict[str, Any],
    receive: Receive,
    send: Send,
    exists: Callable[[], Awaitable[bool]],
    frames: Callable[[], AsyncGenerator[str, None]],
) -> None:
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})  # a browser is told no close code before that
    with suppress(OSError):  # the client has gone
        async with anyio.create_task_group() as tasks:

            async def end(work: Callable[[], Awaitable[int | None]]) -> None:
                code = await work()
                if code is not None:
                    await send({"type": "websocket.close", "code": code})
                tasks.cancel_scope.cancel()

            async def speak() -> int:
                return await _speak(scope, send, exists, frames)

            async def listen() -> int | None:
                return await _listen(receive)

            tasks.start_soon(end, speak)
            tasks.start_soon(end, listen)


async def _speak(
    scope: dict[str, Any],
    send: Send,
    exists: Callable[[], Awaitable[bool]],
    frames: Callable[[], AsyncGenerator[str, None]],
) -> int:
    if scope["principal"] is None:
        return UNAUTHENTICATED
    try:
        if not await exists():
            return UNKNOWN
        async with aclosing(frames()) as said:
            async for frame in said:
                await send({"type": "websocket.send", "text": frame})
    except Denied:
        return UNAUTHENTICATED
    except DatabaseError as error:
        log.warning("a socket closes because the database does not answer: %s", error)
        return BROKEN
    return DONE


async def _listen(receive: Receive) -> int | None:
    second, count = 0.0, 0
    while (message := await receive())["type"] != "websocket.disconnect":
        if len(message.get("text") or message.get("bytes") or "") > MAX_MESSAGE_BYTES:
            return TOO_LARGE
        now = time.monotonic()
        second, count = (second, count + 1) if now - second < 1 else (now, 1)
        if count > MAX_MESSAGES_A_SECOND:
            return TOO_MANY
    return None


def _after(scope: dict[str, Any]) -> int:
    """The number in `?after=`. What is no number counts as none: the client gets all events, and drops what it has."""
    given = parse_qs(scope["query_string"].decode("latin1")).get("after", ["0"])[0]
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else 0
