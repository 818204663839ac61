"""The audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from audit.core.entry import verify_signature as verify_signature
    from audit.core.file_log import FileAuditLog as FileAuditLog
    from audit.core.log import AuditLog as AuditLog
    from audit.core.log import AuditLogSpec as AuditLogSpec
    from audit.core.log import FullTranscriptAuditLog as FullTranscriptAuditLog
    from audit.core.log import InMemoryAuditLog as InMemoryAuditLog
    from audit.core.log import resolve_audit_log as resolve_audit_log
    from audit.core.log import stream_entries as stream_entries
    from audit.core.log import wants_full_transcripts as wants_full_transcripts

HOMES = {
    "AuditLog": "audit.core.log",
    "AuditLogSpec": "audit.core.log",
    "FileAuditLog": "audit.core.file_log",
    "FullTranscriptAuditLog": "audit.core.log",
    "InMemoryAuditLog": "audit.core.log",
    "resolve_audit_log": "audit.core.log",
    "stream_entries": "audit.core.log",
    "verify_signature": "audit.core.entry",
    "wants_full_transcripts": "audit.core.log",
}

__all__ = [
    "AuditLog",
    "AuditLogSpec",
    "FileAuditLog",
    "FullTranscriptAuditLog",
    "InMemoryAuditLog",
    "resolve_audit_log",
    "stream_entries",
    "verify_signature",
    "wants_full_transcripts",
]

__getattr__, __dir__ = door(__name__, HOMES)
