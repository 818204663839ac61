"""A workspace in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from agents.core.workspace.notes import Key, Vector, key_of, number_of, slug_for
from agents.core.workspace.shelf import ShelfWorkspace
from agents.core.workspace.values import Note
from memory.core.protocol import Embedder


class InMemoryWorkspace(ShelfWorkspace):
    """Notes in dictionaries by user; gone with the process."""

    def __init__(self, embedder: Embedder | None = None) -> None:
        super().__init__(_Dictionaries(), embedder=embedder)


class _Dictionaries:
    def __init__(self) -> None:
        self._notes: dict[str | None, dict[Key, Note]] = {}
        self._versions: dict[tuple[str | None, Key], dict[int, Note]] = {}
        self._vectors: dict[str | None, dict[Key, Vector]] = {}

    def add(self, note: Note) -> Note:
        notes = self._notes.setdefault(note.user_id, {})
        last = max((number_of(slug) for author, slug in notes if author == note.author), default=0)
        note = note.model_copy(update={"slug": slug_for(last + 1, note.title)})
        notes[key_of(note)] = note
        return note

    def notes(self, user_id: str | None) -> list[Note]:
        return list(self._notes.get(user_id, {}).values())

    def put(self, note: Note) -> None:
        self._notes[note.user_id][key_of(note)] = note

    def keep_version(self, note: Note) -> None:
        versions = self._versions.setdefault((note.user_id, key_of(note)), {})
        versions[max(versions, default=0) + 1] = note

    def versions(self, note: Note) -> dict[int, Note]:
        return dict(self._versions.get((note.user_id, key_of(note)), {}))

    def drop_versions(self, note: Note, *, keep_last: int) -> int:
        versions = self._versions.get((note.user_id, key_of(note)), {})
        dropped = list(versions)[: max(len(versions) - keep_last, 0)]
        for number in dropped:
            del versions[number]
        return len(dropped)

    def drop(self, note: Note) -> None:
        del self._notes[note.user_id][key_of(note)]
        self._vectors.get(note.user_id, {}).pop(key_of(note), None)
        self._versions.pop((note.user_id, key_of(note)), None)

    def put_vector(self, note: Note, vector: Vector) -> None:
        self._vectors.setdefault(note.user_id, {})[key_of(note)] = vector

    def vectors(self, user_id: str | None) -> Mapping[Key, Vector]:
        return self._vectors.get(user_id, {})

    def reindex(self, user_id: str | None, render: Callable[[Iterable[Note]], str]) -> None:
        """Nothing lies beside the notes."""

    def forget(self, user_id: str | None) -> None:
        self._notes.pop(user_id, None)
        self._vectors.pop(user_id, None)
        for key in [key for key in self._versions if key[0] == user_id]:
            del self._versions[key]
