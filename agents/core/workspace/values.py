"""Notes and what is said about them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field

from loom.messages import FROZEN, utcnow

NoteKind = Literal["finding", "question", "decision", "summary", "artifact", "plan", "note"]
KINDS: tuple[NoteKind, ...] = get_args(NoteKind)


def note_kind(kind: str) -> NoteKind:
    """The kind by its name; what is not known is a `note`."""
    return next((known for known in KINDS if known == kind), "note")


class Note(BaseModel):
    """A note. `slug` is its name among the notes of its author; `cited_count` is how often it was credited."""

    model_config = FROZEN

    slug: str
    author: str
    title: str
    body: str
    kind: NoteKind = "finding"
    tags: list[str] = Field(default_factory=list)
    created_at: datetime = Field(default_factory=utcnow)
    updated_at: datetime = Field(default_factory=utcnow)
    user_id: str | None = None
    run_id: str | None = None
    namespace: str | None = None
    archived_at: datetime | None = None
    answered: bool | None = None
    answered_by: str | None = None
    parent_slug: str | None = None
    cited_count: int = 0
    success_count: int = 0
    last_cited_at: datetime | None = None


class NoteSummary(BaseModel):
    """A note without its body; `lede` is the body's first line."""

    model_config = FROZEN

    slug: str
    author: str
    title: str
    kind: NoteKind
    tags: list[str] = Field(default_factory=list)
    created_at: datetime
    updated_at: datetime
    lede: str
    namespace: str | None = None
    archived_at: datetime | None = None
    answered: bool | None = None
    cited_count: int = 0
    success_count: int = 0
    last_cited_at: datetime | None = None


class NoteMatch(BaseModel):
    """A note that fits a query; `snippet` is where it does."""

    model_config = FROZEN

    summary: NoteSummary
    score: float
    snippet: str


class NoteVersion(BaseModel):
    """An earlier text of a note. The first is 1; `created_at` is when that text was written."""

    model_config = FROZEN

    slug: str
    author: str
    version: int
    created_at: datetime
    body_preview: str


class PruneResult(BaseModel):
    """What a pruning did."""

    model_config = FROZEN

    notes_deleted: int
    versions_deleted: int
    notes_kept: int


class WorkspaceMembership(BaseModel):
    """A workspace seen by one of those who share it: under which name it writes, and who else does."""

    model_config = FROZEN

    workspace: Any
    name: str | None = None
    teammates: list[str] | None = None
