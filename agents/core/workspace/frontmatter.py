"""A note as a file: its fields between two lines of dashes, then its text.

Every field is one line of `name: JSON`, which YAML readers understand as well.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from agents.core.workspace.values import Note

_FENCE = "---"


def to_text(note: Note) -> str:
    fields = note.model_dump(mode="json", exclude={"body"}, exclude_none=True)
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join([_FENCE, *lines, _FENCE, "", note.body])


def from_text(text: str, **certain: Any) -> Note | None:
    """The note in a file, or None when there is none. What is `certain` wins over what the file says."""
    head, found, body = text.removeprefix(f"{_FENCE}\n").partition(f"\n{_FENCE}\n")
    if not found or not text.startswith(f"{_FENCE}\n"):
        return None
    try:
        fields = {name: json.loads(value) for name, _, value in (line.partition(": ") for line in head.split("\n"))}
        return Note.model_validate({**fields, "body": body.removeprefix("\n"), **certain})
    except (ValueError, ValidationError):
        return None
