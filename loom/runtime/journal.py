"""Runs that are written down, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.runtime.journaled import JournaledRuntime as JournaledRuntime
    from agents.core.runtime.journaled import JournaledSession as JournaledSession
    from agents.core.runtime.postgres import PostgresJournalStore as PostgresJournalStore
    from agents.core.runtime.sqlite import SqliteJournalStore as SqliteJournalStore
    from agents.core.runtime.store import InMemoryJournalStore as InMemoryJournalStore
    from agents.core.runtime.store import JournalEntry as JournalEntry
    from agents.core.runtime.store import JournalStore as JournalStore

HOMES = {
    "InMemoryJournalStore": "agents.core.runtime.store",
    "JournalEntry": "agents.core.runtime.store",
    "JournalStore": "agents.core.runtime.store",
    "JournaledRuntime": "agents.core.runtime.journaled",
    "JournaledSession": "agents.core.runtime.journaled",
    "PostgresJournalStore": "agents.core.runtime.postgres",
    "SqliteJournalStore": "agents.core.runtime.sqlite",
}

__all__ = [
    "InMemoryJournalStore",
    "JournalEntry",
    "JournalStore",
    "JournaledRuntime",
    "JournaledSession",
    "PostgresJournalStore",
    "SqliteJournalStore",
]

__getattr__, __dir__ = door(__name__, HOMES)
