"""A journal in a list, and a runtime over it, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from agents.core.runtime.base import InProcRuntime
from agents.core.runtime.journal import JournalSession
from agents.core.runtime.written import storable
from loom.events import Record


class ListJournal:
    """Keeps what is posted as JSON, as a database would. `full` refuses from so many records on."""

    def __init__(self, *, full: int | None = None) -> None:
        self.texts: list[str] = []
        self.full = full

    def post(self, record: Record) -> None:
        if self.full is not None and len(self.texts) >= self.full:
            raise Full("no room")
        assert storable(record.data) == record.data, "whoever posts a record has cleaned it"
        self.texts.append(record.model_dump_json())

    async def flush(self) -> None:
        if self.full is not None and len(self.texts) >= self.full:
            raise Full("no room")

    @property
    def records(self) -> list[Record]:
        return [Record.model_validate_json(text) for text in self.texts]

    @property
    def steps(self) -> list[tuple[str, str]]:
        return [(record.kind, record.step_key) for record in self.records]


class Full(Exception):
    pass


class ListRuntime(InProcRuntime):
    """A durable runtime of one run: its session replays `recorded` and writes to `journal`."""

    name = "list"

    def __init__(self, recorded: Sequence[Record] = (), journal: ListJournal | None = None) -> None:
        super().__init__()
        self.journal = journal or ListJournal()
        self._recorded = recorded

    @asynccontextmanager
    async def session(self, session_id: str) -> AsyncIterator[Any]:
        yield JournalSession(session_id, self.journal, self._recorded)
