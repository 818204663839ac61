"""A limit to what an HTTP server can make us read into memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

MAX_MESSAGE_BYTES = 16 * 1_048_576


async def bound_body(response: httpx2.Response) -> None:
    """A response hook: reading more than the limit fails. Event streams are endless; their events have a limit."""
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: object) -> None:
        assert isinstance(stream, httpx2.AsyncByteStream)
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > MAX_MESSAGE_BYTES:
                raise httpx2.StreamError(f"the answer is larger than {MAX_MESSAGE_BYTES} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
