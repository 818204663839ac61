"""The rules of notes: how they are named, found, ranked and listed. Nothing here stores anything."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import log, sqrt
from operator import mul

from agents.core.workspace.values import Note, NoteMatch, NoteSummary
from loom.errors import ConfigError
from memory.core.lexical import words

MODES = ("auto", "bm25", "semantic", "hybrid")
Key = tuple[str, str]  # author and slug
Vector = Sequence[float]


def slug_for(number: int, title: str) -> str:
    """`7, "Öl & Gas"` → `007-ol-gas`."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return f"{number:03d}-{re.sub(r'[^a-z0-9]+', '-', plain).strip('-')[:60].strip('-') or 'note'}"


def number_of(slug: str) -> int:
    """The number that a slug begins with; 0 when it has none."""
    match = re.match(r"\d+", slug)
    return int(match[0]) if match else 0


def key_of(note: Note) -> Key:
    return note.author, note.slug


def find(notes: Iterable[Note], slug_or_title: str) -> Note | None:
    """By slug, by `author/slug`, else the newest whose title contains the text."""
    wanted = slug_or_title.strip()
    if not wanted:
        return None
    newest = sorted(notes, key=_age, reverse=True)
    for note in newest:
        if wanted in (note.slug, f"{note.author}/{note.slug}"):
            return note
    return next((note for note in newest if wanted.casefold() in note.title.casefold()), None)


def summary_of(note: Note) -> NoteSummary:
    lede = next((line.strip() for line in note.body.splitlines() if line.strip()), "")
    return NoteSummary(lede=_cut(lede, 160), **note.model_dump(include=NoteSummary.model_fields.keys() - {"lede"}))


def listed(
    notes: Iterable[Note],
    *,
    author: str | None = None,
    kind: str | None = None,
    namespace: str | None = None,
    include_archived: bool = False,
) -> list[Note]:
    """The notes that pass the filters, newest first."""
    found = [
        note
        for note in notes
        if author in {None, note.author}
        and kind in {None, note.kind}
        and namespace in {None, note.namespace}
        and (include_archived or note.archived_at is None)
    ]
    return sorted(found, key=_age, reverse=True)


def effective_mode(mode: str, *, has_embedder: bool) -> str:
    if mode not in MODES:
        raise ConfigError(f"no search mode {mode!r}; one of {', '.join(MODES)}", mode=mode)
    if mode in ("semantic", "hybrid") and not has_embedder:
        raise ConfigError(f"search mode {mode!r} needs a workspace with an embedder", mode=mode)
    return ("hybrid" if has_embedder else "bm25") if mode == "auto" else mode


def ranked(
    notes: Sequence[Note],
    query: str,
    *,
    mode: str,
    vector: Vector | None = None,
    vectors: Mapping[Key, Vector] | None = None,
    boost_relevance: bool = False,
) -> list[NoteMatch]:
    """The notes that fit, best first, equally good ones newest first. `notes` are newest first."""
    terms = words(query) or query.casefold().split()
    matches = []
    for note in notes:
        near = _nearness(vector, (vectors or {}).get(key_of(note)))
        by_words = _tier_score(note, terms)
        score = {"bm25": by_words, "semantic": near, "hybrid": (by_words + near) / 2}[mode]
        if boost_relevance:
            score *= 1 + log(1 + note.cited_count) + 2 * log(1 + note.success_count)
        if score > 0:
            matches.append(NoteMatch(summary=summary_of(note), score=score, snippet=_snippet(note.body, terms)))
    return sorted(matches, key=lambda match: -match.score)


def is_stale(note: Note, *, changed_before: datetime, min_cited_count: int, keep_kinds: Sequence[str]) -> bool:
    return note.updated_at < changed_before and note.cited_count < min_cited_count and note.kind not in keep_kinds


def index_of(notes: Iterable[Note]) -> str:
    """All notes on one Markdown page, by author, oldest first."""
    lines = ["# Workspace"]
    ordered = sorted(notes, key=lambda note: (note.author, number_of(note.slug), note.slug))
    for position, note in enumerate(ordered):
        if position == 0 or ordered[position - 1].author != note.author:
            lines += ["", f"## {_line(note.author)}", ""]
        state = " (archived)" if note.archived_at else " (open)" if note.answered is False else ""
        tags = "".join(f" #{_line(tag)}" for tag in note.tags)
        lines.append(f"- `{note.slug}` {note.kind}: {_line(note.title)}{state}{tags}")
    return "\n".join([*lines, ""]) if ordered else "# Workspace\n\nNo notes yet.\n"


def _age(note: Note) -> tuple[datetime, int, str, str]:
    return note.created_at, number_of(note.slug), note.slug, note.author


def _tier_score(note: Note, terms: Sequence[str]) -> float:
    """1.0 for each term in the title, 0.7 in a tag, 0.5 in the body, averaged over the terms."""
    if not terms:
        return 0.0
    title, tags, body = note.title.casefold(), " ".join(note.tags).casefold(), note.body.casefold()
    return sum(1.0 if term in title else 0.7 if term in tags else 0.5 if term in body else 0.0 for term in terms) / len(
        terms
    )


def _nearness(one: Vector | None, other: Vector | None) -> float:
    """Cosine, not below 0; 0 where a vector is missing or was made by a model of another size."""
    if one is None or other is None or len(one) != len(other):
        return 0.0
    scale = sqrt(sum(map(mul, one, one)) * sum(map(mul, other, other)))
    return max(sum(map(mul, one, other)) / scale, 0.0) if scale else 0.0


def _snippet(body: str, terms: Sequence[str], width: int = 160) -> str:
    text = " ".join(body.split())
    places = [place for term in terms if (place := text.casefold().find(term)) >= 0]
    start = max(min(places, default=0) - width // 4, 0)
    return ("…" if start else "") + _cut(text[start:], width)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _line(text: str) -> str:
    return " ".join(text.split())
