"""What a stdio server writes to its stderr: the end is kept for problems, all of it goes to the debug log."""

from __future__ import annotations

import logging
import os
from typing import TextIO

import anyio

log = logging.getLogger(__name__)

_KEPT = 1_000
_CHUNK = 65_536


class Stderr:
    """A pipe whose writing end a server gets, and the memory of its last words."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._said = b""
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        self.writer: TextIO = os.fdopen(writing, "w")

    async def follow(self) -> None:
        """Read until cancelled. A pipe that nobody reads would stop the server once it is full."""
        while True:
            await anyio.wait_readable(self._reading)
            if not self._read():
                return

    def last_words(self) -> str:
        return self._said.decode(errors="replace").strip()

    def __enter__(self) -> Stderr:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._read()
        self.writer.close()
        os.close(self._reading)

    def _read(self) -> bool:
        try:
            chunk = os.read(self._reading, _CHUNK)
        except BlockingIOError:
            return True
        self._said = (self._said + chunk)[-_KEPT:]
        if chunk:
            log.debug("MCP server %s: %s", self._server, chunk.decode(errors="replace").rstrip())
        return bool(chunk)
