"""Where the steps of runs are remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.runtime.base import InProcRuntime as InProcRuntime
    from agents.core.runtime.base import InProcSession as InProcSession
    from agents.core.runtime.journal import Journal as Journal
    from agents.core.runtime.journal import JournalSession as JournalSession
    from agents.core.runtime.journaled import JournaledRuntime as JournaledRuntime
    from agents.core.runtime.journaled import JournaledSession as JournaledSession
    from agents.core.runtime.postgres import PostgresJournalStore as PostgresJournalStore
    from agents.core.runtime.postgres import PostgresRuntime as PostgresRuntime
    from agents.core.runtime.resolver import resolve_runtime as resolve_runtime
    from agents.core.runtime.sqlite import SqliteJournalStore as SqliteJournalStore
    from agents.core.runtime.sqlite import SqliteRuntime as SqliteRuntime
    from agents.core.runtime.store import InMemoryJournalStore as InMemoryJournalStore
    from agents.core.runtime.store import JournaledRun as JournaledRun
    from agents.core.runtime.store import JournalEntry as JournalEntry
    from agents.core.runtime.store import JournalStore as JournalStore

HOMES = {
    "InMemoryJournalStore": "agents.core.runtime.store",
    "InProcRuntime": "agents.core.runtime.base",
    "InProcSession": "agents.core.runtime.base",
    "Journal": "agents.core.runtime.journal",
    "JournalEntry": "agents.core.runtime.store",
    "JournalSession": "agents.core.runtime.journal",
    "JournalStore": "agents.core.runtime.store",
    "JournaledRun": "agents.core.runtime.store",
    "JournaledRuntime": "agents.core.runtime.journaled",
    "JournaledSession": "agents.core.runtime.journaled",
    "PostgresJournalStore": "agents.core.runtime.postgres",
    "PostgresRuntime": "agents.core.runtime.postgres",
    "SqliteJournalStore": "agents.core.runtime.sqlite",
    "SqliteRuntime": "agents.core.runtime.sqlite",
    "resolve_runtime": "agents.core.runtime.resolver",
}

__all__ = [
    "InMemoryJournalStore",
    "InProcRuntime",
    "InProcSession",
    "Journal",
    "JournalEntry",
    "JournalSession",
    "JournalStore",
    "JournaledRun",
    "JournaledRuntime",
    "JournaledSession",
    "PostgresJournalStore",
    "PostgresRuntime",
    "SqliteJournalStore",
    "SqliteRuntime",
    "resolve_runtime",
]

__getattr__, __dir__ = door(__name__, HOMES)
