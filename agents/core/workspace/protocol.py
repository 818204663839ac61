"""What agents ask of a workspace."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol, runtime_checkable

from agents.core.workspace.values import (
    Note,
    NoteKind,
    NoteMatch,
    NoteSummary,
    NoteVersion,
    PruneResult,
    WorkspaceMembership,
)

EVERYTHING = 2**63 - 1  # as a limit


@runtime_checkable
class Workspace(Protocol):
    """Notes by user; None is a bucket of its own. Everybody reads the user's notes, only the author changes one.

    A change by somebody else raises PermissionError, one of a note that is not there FileNotFoundError. Authors count
    their notes apart, so two may have the same slug: `author/slug` says whose is meant.
    """

    async def write_note(
        self,
        *,
        author: str,
        title: str,
        body: str,
        kind: NoteKind = "finding",
        tags: list[str] | None = None,
        user_id: str | None = None,
        run_id: str | None = None,
        namespace: str | None = None,
        answered: bool | None = None,
        parent_slug: str | None = None,
    ) -> Note:
        """A new note; its slug is a number that counts the author's notes, and the title."""
        ...

    async def read_note(self, slug_or_title: str, *, user_id: str | None = None) -> Note | None:
        """The note with that slug, else the newest whose title contains the text. The reading counts as a citation."""
        ...

    async def list_notes(
        self,
        *,
        author: str | None = None,
        kind: NoteKind | None = None,
        user_id: str | None = None,
        namespace: str | None = None,
        include_archived: bool = False,
        limit: int = 50,
    ) -> list[NoteSummary]:
        """Newest first. A filter that is None filters nothing."""
        ...

    async def search_notes(
        self,
        query: str,
        *,
        user_id: str | None = None,
        namespace: str | None = None,
        include_archived: bool = False,
        mode: str = "auto",
        boost_relevance: bool = False,
        limit: int = 10,
    ) -> list[NoteMatch]:
        """Best first. `mode` is bm25 (words), semantic, hybrid, or auto: hybrid where there is an embedder."""
        ...

    async def update_note(
        self,
        *,
        author: str,
        slug: str,
        body: str,
        tags: list[str] | None = None,
        user_id: str | None = None,
        mark_answered: str | None = None,
    ) -> Note:
        """Replace the body; the one before it is kept as a version.

        `mark_answered` names who answered a question. Everybody may give it, but from others than the author nothing
        else is taken.
        """
        ...

    async def archive_note(self, *, author: str, slug: str, user_id: str | None = None) -> Note:
        """Hide a note from lists and searches. It can still be read."""
        ...

    async def list_versions(self, slug: str, *, author: str, user_id: str | None = None) -> list[NoteVersion]: ...

    async def read_version(
        self, slug: str, version: int, *, author: str, user_id: str | None = None
    ) -> Note | None: ...

    async def prune(
        self,
        *,
        older_than: timedelta | None = None,
        min_cited_count: int = 1,
        keep_kinds: list[NoteKind] | None = None,
        keep_last_versions: int | None = None,
        user_id: str | None = None,
    ) -> PruneResult:
        """Delete notes not changed for `older_than` and cited less than `min_cited_count` times, and old versions.

        Without `older_than` no note is deleted, without `keep_last_versions` no version of a note that stays.
        """
        ...

    async def attribute_outcome(
        self, *, success: bool, slugs: list[str] | None = None, user_id: str | None = None
    ) -> int:
        """Credit notes with a run's outcome, by default those read since the last time; returns how many."""
        ...

    async def render_index(self, *, user_id: str | None = None) -> str:
        """All notes on one Markdown page."""
        ...

    async def aclose(self) -> None: ...

    def member(self, name: str | None = None, *, teammates: list[str] | None = None) -> WorkspaceMembership: ...
