"""Writing down what was done."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from audit.models import Entry


def record(*, tenant_id: UUID, actor: str, action: str, subject: str, payload: dict[str, Any] | None = None) -> None:
    """Write one entry in the caller's transaction, so that the act and its entry stand or fall together."""
    Entry.objects.create(tenant_id=tenant_id, actor=actor, action=action, subject=subject, payload=payload or {})
