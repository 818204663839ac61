"""The tools with which a model keeps notes.

User and run are read from the run that calls, at the call: the same tools serve every user.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from agents.core.tools.tool import Tool, tool
from agents.core.workspace.protocol import Workspace
from agents.core.workspace.values import Note, NoteKind, NoteSummary
from loom.context import get_run_context
from loom.messages import Effect


def make_workspace_tools(
    workspace: Workspace,
    *,
    author: str = "agent",
    tool_prefix: str = "",
    namespace: str | None = None,
    questions: bool = False,
    include_archive: bool = True,
) -> list[Tool]:
    """note, read_note, list_notes, search_notes, update_note, archive_note and, on request, those for questions.

    They write as `author` and, with a `namespace`, write and list only there. `tool_prefix` puts `<prefix>__` before
    their names.
    """
    desk = _Desk(workspace, author, namespace)
    offered: list[tuple[Callable[..., Awaitable[str]], Effect]] = [
        (desk.note, "keyed"),
        (desk.read_note, "read"),
        (desk.list_notes, "read"),
        (desk.search_notes, "read"),
        (desk.update_note, "idempotent"),
    ]
    if include_archive:
        offered.append((desk.archive_note, "idempotent"))
    if questions:
        offered += [(desk.ask_question, "keyed"), (desk.answer_question, "keyed"), (desk.list_open_questions, "read")]
    prefix = f"{tool_prefix}__" if tool_prefix else ""
    return [tool(name=f"{prefix}{method.__name__}", effect=effect)(method) for method, effect in offered]


class _Desk:
    """The notes as one author sees them. The first line of each method is what the model reads about it."""

    def __init__(self, workspace: Workspace, author: str, namespace: str | None) -> None:
        self._workspace, self._author, self._namespace = workspace, author, namespace

    async def note(self, title: str, body: str, kind: NoteKind = "finding", tags: list[str] | None = None) -> str:
        """Write a note that outlives this conversation."""
        return f"Noted as {(await self._write(title, body, kind=kind, tags=tags)).slug}."

    async def read_note(self, slug_or_title: str) -> str:
        """Read a whole note, by its slug or a part of its title."""
        note = await self._workspace.read_note(slug_or_title, user_id=get_run_context().user_id)
        return f"There is no note {slug_or_title!r}." if note is None else _shown(note)

    async def list_notes(self, author: str | None = None, kind: NoteKind | None = None, limit: int = 20) -> str:
        """List notes, the newest first."""
        notes = await self._workspace.list_notes(
            author=author, kind=kind, user_id=get_run_context().user_id, namespace=self._namespace, limit=limit
        )
        return "\n".join(map(_line, notes)) or "There are no notes."

    async def search_notes(self, query: str, limit: int = 10) -> str:
        """Search titles, tags and texts of notes."""
        matches = await self._workspace.search_notes(
            query, user_id=get_run_context().user_id, namespace=self._namespace, limit=limit
        )
        return "\n".join(f"{_line(match.summary)}\n  {match.snippet}" for match in matches) or "No note fits."

    async def update_note(self, slug: str, body: str, tags: list[str] | None = None) -> str:
        """Replace the text of a note of yours. The text before it is kept."""
        note = await self._workspace.update_note(
            author=self._author, slug=slug, body=body, tags=tags, user_id=get_run_context().user_id
        )
        return f"Updated {note.slug}."

    async def archive_note(self, slug: str) -> str:
        """Put a note of yours away: it is no longer listed or found, but can still be read."""
        note = await self._workspace.archive_note(author=self._author, slug=slug, user_id=get_run_context().user_id)
        return f"Archived {note.slug}."

    async def ask_question(self, title: str, body: str = "", tags: list[str] | None = None) -> str:
        """Leave a question for those who share the workspace."""
        note = await self._write(title, body or title, kind="question", tags=tags, answered=False)
        return f"Asked as {note.slug}."

    async def answer_question(self, slug: str, answer: str) -> str:
        """Answer a question in a note of your own, and mark it as answered."""
        user_id = get_run_context().user_id
        question = await self._workspace.read_note(slug, user_id=user_id)
        if question is None or question.kind != "question":
            raise FileNotFoundError(f"no question {slug!r}")
        note = await self._write(f"Answer: {question.title}", answer, kind="finding", parent_slug=question.slug)
        await self._workspace.update_note(
            author=self._author,
            slug=f"{question.author}/{question.slug}",
            body=question.body,
            user_id=user_id,
            mark_answered=self._author,
        )
        return f"Answered {question.slug} in {note.slug}."

    async def list_open_questions(self) -> str:
        """List the questions that nobody has answered yet."""
        notes = await self._workspace.list_notes(
            kind="question", user_id=get_run_context().user_id, namespace=self._namespace, limit=1000
        )
        return "\n".join(_line(note) for note in notes if note.answered is not True) or "No question is open."

    async def _write(self, title: str, body: str, **more: Any) -> Note:
        context = get_run_context()
        return await self._workspace.write_note(
            author=self._author,
            title=title,
            body=body,
            user_id=context.user_id,
            run_id=context.run_id or None,
            namespace=self._namespace,
            **more,
        )


def _line(note: NoteSummary) -> str:
    return f"- {note.slug} ({note.kind} by {note.author}, {note.updated_at:%Y-%m-%d}): {note.title}"


def _shown(note: Note) -> str:
    state = "" if note.answered is None else f", answered by {note.answered_by}" if note.answered else ", open"
    return (
        f"# {note.title}\n{note.slug}, {note.kind} by {note.author}, {note.updated_at:%Y-%m-%d}{state}\n\n{note.body}"
    )
