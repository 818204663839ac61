"""Opening Chroma, for memory and for vectors."""

from __future__ import annotations

import threading
from typing import Any

from memory.core.extras import imported

# Clients of one directory share what is behind them, and chromadb 1.5 trips over two who open it at once.
OPENING = threading.Lock()


def opened(directory: str | None = None, **options: Any) -> Any:
    """A client of Chroma in a directory, or of the one that all of this process share. Raises MissingPackage.

    Chroma 1.5 sends nothing anywhere; should a later one, it is told not to. All clients of a place must have the same
    settings: where the program has opened it in its own way, we follow.
    """
    chromadb = imported("chromadb", extra="chroma")
    try:
        return _client(chromadb, directory, chromadb.config.Settings(anonymized_telemetry=False), options)
    except ValueError as error:
        if "different settings" not in str(error):
            raise
        return _client(chromadb, directory, chromadb.config.Settings(), options)


def _client(chromadb: Any, directory: str | None, settings: Any, options: dict[str, Any]) -> Any:
    if directory is None:
        return chromadb.EphemeralClient(settings, **options)
    return chromadb.PersistentClient(directory, settings, **options)
