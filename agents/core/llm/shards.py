"""Many connections at once, in pools of a few dozen.

A pool looks at all of its connections whenever a request begins or ends, so a thousand calls at once in one pool spend
more time on that than on the calls. The first pool takes as many as it may, then the next; so few calls share few
connections and keep them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from httpx2 import AsyncBaseTransport, Limits

CALLS_A_POOL = 50


def sharded(limits: Limits) -> AsyncBaseTransport:
    """A transport over as many pools as the calls under way need. The limits are those of each pool."""
    from httpx2 import AsyncBaseTransport, AsyncByteStream, AsyncHTTPTransport, Request, Response, create_ssl_context

    context = create_ssl_context()  # takes longer than all else of a pool

    class Shard:
        def __init__(self) -> None:
            self.transport, self.busy = AsyncHTTPTransport(verify=context, limits=limits), 0

        def leave(self) -> None:
            self.busy -= 1

    class Body(AsyncByteStream):
        """A response's body; the call is under way until it is closed."""

        def __init__(self, inner: AsyncByteStream, leave: Callable[[], None]) -> None:
            self._inner, self._leave = inner, leave

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for part in self._inner:
                yield part

        async def aclose(self) -> None:
            leave, self._leave = self._leave, _nothing
            try:
                await self._inner.aclose()
            finally:
                leave()

    class Shards(AsyncBaseTransport):
        def __init__(self) -> None:
            self._shards: list[Shard] = []

        async def handle_async_request(self, request: Request) -> Response:
            shard = self._free()
            shard.busy += 1
            try:
                response = await shard.transport.handle_async_request(request)
            except BaseException:
                shard.leave()
                raise
            assert isinstance(response.stream, AsyncByteStream)
            response.stream = Body(response.stream, shard.leave)
            return response

        async def aclose(self) -> None:
            for shard in self._shards:
                await shard.transport.aclose()

        def _free(self) -> Shard:
            found = next((shard for shard in self._shards if shard.busy < CALLS_A_POOL), None)
            if found is None:
                found = Shard()
                self._shards.append(found)
            return found

    return Shards()


def _nothing() -> None:
    """A body that is closed again."""
