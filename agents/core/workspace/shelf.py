"""A workspace over a shelf: all rules are here, a shelf only puts and gets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

from agents.core.workspace import notes as rules
from agents.core.workspace.notes import Key, Vector
from agents.core.workspace.values import (
    Note,
    NoteKind,
    NoteMatch,
    NoteSummary,
    NoteVersion,
    PruneResult,
    WorkspaceMembership,
    note_kind,
)
from loom.context import get_run_context
from loom.messages import utcnow
from memory.core.protocol import Embedder

P = ParamSpec("P")
T = TypeVar("T")

_RUNS_REMEMBERED = 100


class Shelf(Protocol):
    """Where notes lie. All methods block; the workspace calls one at a time."""

    def add(self, note: Note) -> Note:
        """Put a new note up under the author's next number, which replaces its slug."""
        ...

    def notes(self, user_id: str | None) -> list[Note]: ...

    def put(self, note: Note) -> None:
        """Replace a note that is there."""
        ...

    def keep_version(self, note: Note) -> None: ...

    def versions(self, note: Note) -> dict[int, Note]:
        """The earlier texts by their number, oldest first."""
        ...

    def drop_versions(self, note: Note, *, keep_last: int) -> int: ...

    def drop(self, note: Note) -> None:
        """Delete a note; its versions were dropped before."""
        ...

    def put_vector(self, note: Note, vector: Vector) -> None: ...

    def vectors(self, user_id: str | None) -> Mapping[Key, Vector]: ...

    def reindex(self, user_id: str | None, render: Callable[[Iterable[Note]], str]) -> None:
        """Something changed: an index that lies beside the notes is out of date."""
        ...

    def forget(self, user_id: str | None) -> None:
        """Delete everything of a user."""
        ...


class ShelfWorkspace:
    """Implements `Workspace`. See there for what the methods promise."""

    def __init__(self, shelf: Shelf, *, embedder: Embedder | None = None) -> None:
        self._shelf = shelf
        self._embedder = embedder
        self._citations: dict[str | None, OrderedDict[str, dict[Key, None]]] = {}

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
        now = utcnow()
        draft = Note(
            slug="",
            author=author,
            title=title,
            body=body,
            kind=note_kind(kind),
            tags=list(tags or ()),
            created_at=now,
            updated_at=now,
            user_id=user_id,
            run_id=run_id,
            namespace=namespace,
            answered=answered,
            parent_slug=parent_slug,
        )
        return await self._do(self._add, draft, await self._vector(draft))

    async def read_note(self, slug_or_title: str, *, user_id: str | None = None) -> Note | None:
        note = rules.find(await self._do(self._shelf.notes, user_id), slug_or_title)
        if note is not None:
            self._cite(note)
        return note

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
        found = rules.listed(
            await self._do(self._shelf.notes, user_id),
            author=author,
            kind=kind,
            namespace=namespace,
            include_archived=include_archived,
        )
        return [rules.summary_of(note) for note in found[: max(limit, 0)]]

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
        mode = rules.effective_mode(mode, has_embedder=self._embedder is not None)
        notes = rules.listed(
            await self._do(self._shelf.notes, user_id), namespace=namespace, include_archived=include_archived
        )
        vector, vectors = None, None
        if self._embedder is not None and mode != "bm25":
            vector, vectors = await self._embedder.embed(query), await self._do(self._shelf.vectors, user_id)
        found = rules.ranked(notes, query, mode=mode, vector=vector, vectors=vectors, boost_relevance=boost_relevance)
        return found[: max(limit, 0)]

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
        note, is_own = await self._do(self._update, author, slug, body, tags, user_id, mark_answered)
        vector = await self._vector(note) if is_own else None
        if vector is not None:
            await self._do(self._shelf.put_vector, note, vector)
        return note

    async def archive_note(self, *, author: str, slug: str, user_id: str | None = None) -> Note:
        return await self._do(self._archive, author, slug, user_id)

    async def list_versions(self, slug: str, *, author: str, user_id: str | None = None) -> list[NoteVersion]:
        return [
            NoteVersion(
                slug=slug,
                author=author,
                version=number,
                created_at=version.updated_at,
                body_preview=rules.summary_of(version).lede,
            )
            for number, version in (await self._do(self._versions, slug, author, user_id)).items()
        ]

    async def read_version(self, slug: str, version: int, *, author: str, user_id: str | None = None) -> Note | None:
        return (await self._do(self._versions, slug, author, user_id)).get(version)

    async def prune(
        self,
        *,
        older_than: timedelta | None = None,
        min_cited_count: int = 1,
        keep_kinds: list[NoteKind] | None = None,
        keep_last_versions: int | None = None,
        user_id: str | None = None,
    ) -> PruneResult:
        return await self._do(
            self._prune, older_than, min_cited_count, tuple(keep_kinds or ()), keep_last_versions, user_id
        )

    async def attribute_outcome(
        self, *, success: bool, slugs: list[str] | None = None, user_id: str | None = None
    ) -> int:
        keys = self._drain(user_id) if slugs is None else None
        return await self._do(self._credit, success, keys, frozenset(slugs or ()), user_id)

    def cited_slugs(self, *, user_id: str | None = None, run_id: str = "") -> list[str]:
        """The slugs of the notes that a run has read so far, in order."""
        runs = self._citations.get(user_id)
        return [slug for _, slug in runs.get(run_id, {})] if runs else []

    async def render_index(self, *, user_id: str | None = None) -> str:
        return rules.index_of(await self._do(self._shelf.notes, user_id))

    async def forget(self, *, user_id: str | None = None) -> int:
        """Delete every note of a user with its versions; returns how many notes there were."""
        self._citations.pop(user_id, None)
        return await self._do(self._forget, user_id)

    async def aclose(self) -> None:
        """Nothing to close."""

    def member(self, name: str | None = None, *, teammates: list[str] | None = None) -> WorkspaceMembership:
        return WorkspaceMembership(workspace=self, name=name, teammates=teammates)

    # --- one unit of work each, done whole before the next begins -----------------------------------------------------

    async def _do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return work(*args, **kwargs)

    def _add(self, draft: Note, vector: Vector | None) -> Note:
        note = self._shelf.add(draft)
        if vector is not None:
            self._shelf.put_vector(note, vector)
        self._shelf.reindex(note.user_id, rules.index_of)
        return note

    def _update(
        self,
        author: str,
        slug: str,
        body: str,
        tags: list[str] | None,
        user_id: str | None,
        mark_answered: str | None,
    ) -> tuple[Note, bool]:
        note = self._one(author, slug, user_id, others=mark_answered is not None)
        changes: dict[str, Any] = {"updated_at": utcnow()}
        if mark_answered is not None:
            changes |= {"answered": True, "answered_by": mark_answered}
        if is_own := note.author == author:
            changes |= {"body": body} | ({} if tags is None else {"tags": list(tags)})
        self._shelf.keep_version(note)
        return self._put(note, changes), is_own

    def _archive(self, author: str, slug: str, user_id: str | None) -> Note:
        note = self._one(author, slug, user_id)
        return note if note.archived_at else self._put(note, {"archived_at": utcnow()})

    def _put(self, note: Note, changes: dict[str, Any]) -> Note:
        changed = note.model_copy(update=changes)
        self._shelf.put(changed)
        self._shelf.reindex(note.user_id, rules.index_of)
        return changed

    def _one(self, author: str, slug: str, user_id: str | None, *, others: bool = False) -> Note:
        """The author's own note of that slug or, if `others` may be meant, somebody else's newest."""
        named = [note for note in self._shelf.notes(user_id) if slug in (note.slug, f"{note.author}/{note.slug}")]
        own = [note for note in named if note.author == author]
        if own or (named and others):
            return max(own or named, key=lambda note: note.created_at)
        if named:
            raise PermissionError(f"note {slug!r} belongs to {named[0].author!r}; {author!r} cannot change it")
        raise FileNotFoundError(f"no note {slug!r}")

    def _versions(self, slug: str, author: str, user_id: str | None) -> dict[int, Note]:
        for note in self._shelf.notes(user_id):
            if (note.slug, note.author) == (slug, author):
                return self._shelf.versions(note)
        return {}

    def _prune(
        self,
        older_than: timedelta | None,
        min_cited_count: int,
        keep_kinds: Sequence[str],
        keep_last_versions: int | None,
        user_id: str | None,
    ) -> PruneResult:
        stale = partial(rules.is_stale, min_cited_count=min_cited_count, keep_kinds=keep_kinds)
        limit = None if older_than is None else utcnow() - older_than
        deleted = versions = kept = 0
        for note in self._shelf.notes(user_id):
            if limit is not None and stale(note, changed_before=limit):
                versions += self._shelf.drop_versions(note, keep_last=0)
                self._shelf.drop(note)
                deleted += 1
                continue
            kept += 1
            if keep_last_versions is not None:
                versions += self._shelf.drop_versions(note, keep_last=max(keep_last_versions, 0))
        if deleted:
            self._shelf.reindex(user_id, rules.index_of)
        return PruneResult(notes_deleted=deleted, versions_deleted=versions, notes_kept=kept)

    def _credit(self, success: bool, keys: frozenset[Key] | None, slugs: frozenset[str], user_id: str | None) -> int:
        now = utcnow()
        credited = [
            note
            for note in self._shelf.notes(user_id)
            if (rules.key_of(note) in keys if keys is not None else note.slug in slugs)
        ]
        for note in credited:
            counts = {"cited_count": note.cited_count + 1, "success_count": note.success_count + int(success)}
            self._shelf.put(note.model_copy(update=counts | {"last_cited_at": now}))
        return len(credited)

    def _forget(self, user_id: str | None) -> int:
        count = len(self._shelf.notes(user_id))
        self._shelf.forget(user_id)
        return count

    # --- citations ----------------------------------------------------------------------------------------------------

    def _cite(self, note: Note) -> None:
        runs = self._citations.setdefault(note.user_id, OrderedDict())
        runs.setdefault(get_run_context().run_id, {})[rules.key_of(note)] = None
        while len(runs) > _RUNS_REMEMBERED:
            runs.popitem(last=False)

    def _drain(self, user_id: str | None) -> frozenset[Key]:
        """What the run in hand has read; outside of a run, what all of the user's runs have."""
        runs = self._citations.get(user_id, OrderedDict())
        run_id = get_run_context().run_id
        drained = [runs.pop(run_id, {})] if run_id else list(runs.values())
        if not run_id:
            self._citations.pop(user_id, None)
        return frozenset(key for cited in drained for key in cited)

    async def _vector(self, note: Note) -> Vector | None:
        return None if self._embedder is None else await self._embedder.embed(f"{note.title}\n\n{note.body}")
