"""A client of HTTP/1.1 that costs next to nothing, so that what is measured is the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any


class Client:
    """One connection to the platform, kept alive."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._head = port, f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, body: Any) -> Any:
        data = json.dumps(body).encode()
        more = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        return await self._ask(f"POST {path} HTTP/1.1\r\n{self._head}{more}\r\n".encode() + data)

    async def get(self, path: str) -> Any:
        return await self._ask(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())

    async def lines(self, path: str) -> AsyncGenerator[bytes, None]:
        """The lines of a stream of server-sent events, as they come, without its chunks' sizes."""
        writer = await self._connected()
        writer.write(f"GET {path} HTTP/1.1\r\n{self._head}Accept: text/event-stream\r\n\r\n".encode())
        status, headers = await self._headers()
        if status != 200 or headers.get(b"transfer-encoding") != b"chunked":
            raise RuntimeError(f"{path} answers {status}")
        rest = b""
        while size := int(await self._reader.readline(), 16):
            *lines, rest = (rest + (await self._reader.readexactly(size + 2))[:-2]).split(b"\n")
            for line in lines:
                yield line
        await self._reader.readline()

    async def aclose(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _ask(self, request: bytes) -> Any:
        writer = await self._connected()
        writer.write(request)
        status, headers = await self._headers()
        body = await self._reader.readexactly(int(headers.get(b"content-length", b"0")))
        if status >= 300:
            raise RuntimeError(f"{request.split(b' HTTP')[0].decode()} answers {status}: {body[:300].decode()}")
        return json.loads(body) if b"json" in headers.get(b"content-type", b"") else body

    async def _connected(self) -> asyncio.StreamWriter:
        if self._writer is None or self._reader.at_eof():  # the server lets idle connections go
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        return self._writer

    async def _headers(self) -> tuple[int, dict[bytes, bytes]]:
        head, *lines = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        pairs = (line.partition(b":")[::2] for line in lines if line)
        return int(head.split()[1]), {name.lower(): value.strip() for name, value in pairs}
