"""How an `Egress` takes part in HTTP: it sits where httpx2 opens connections. Imported with httpx2, on first use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import httpcore2
import httpx2

if TYPE_CHECKING:
    from governance.core.egress import Egress


class CheckedTransport(httpx2.AsyncHTTPTransport):
    """httpx2's own transport, with a check of each URL and each connection. Host and SNI stay those of the URL."""

    def __init__(self, egress: Egress) -> None:
        super().__init__(verify=egress.ssl_context, trust_env=False)
        self._egress = egress
        # httpx2 2.16 hands no network backend on to its pool; the pool itself takes one.
        self._pool = httpcore2.AsyncConnectionPool(ssl_context=egress.ssl_context, network_backend=_Checked(egress))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._egress.check_url(request.url)
        return await super().handle_async_request(request)


class _Checked(httpcore2.AsyncNetworkBackend):
    """Opens connections to checked addresses only."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._wire = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception | None = None
        for address in await self._egress.addresses(host, port):
            try:
                return await self._wire.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as exc:
                failure = exc
        raise failure or httpcore2.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's signature
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        raise httpcore2.ConnectError("a socket in the file system is no place on the internet")

    async def sleep(self, seconds: float) -> None:
        await self._wire.sleep(seconds)
