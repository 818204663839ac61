"""Permissions, hooks, sandboxes, secrets and the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from audit.core.chain import Verification as Verification
    from audit.core.chain import verify as verify
    from audit.core.entry import verify_signature as verify_signature
    from audit.core.file_log import FileAuditLog as FileAuditLog
    from audit.core.log import AuditLog as AuditLog
    from audit.core.log import AuditLogSpec as AuditLogSpec
    from audit.core.log import FullTranscriptAuditLog as FullTranscriptAuditLog
    from audit.core.log import InMemoryAuditLog as InMemoryAuditLog
    from audit.core.log import resolve_audit_log as resolve_audit_log
    from governance.core.approvals import ApprovalHandler as ApprovalHandler
    from governance.core.approvals import Approve as Approve
    from governance.core.approvals import Edit as Edit
    from governance.core.approvals import Reject as Reject
    from governance.core.approvals import Respond as Respond
    from governance.core.hooks import HookRegistry as HookRegistry
    from governance.core.hooks import PostToolHook as PostToolHook
    from governance.core.hooks import PreToolHook as PreToolHook
    from governance.core.permissions import AllowAll as AllowAll
    from governance.core.permissions import Mode as Mode
    from governance.core.permissions import PerUserPermissions as PerUserPermissions
    from governance.core.permissions import StandardPermissions as StandardPermissions
    from governance.core.permissions import resolve_permissions as resolve_permissions
    from governance.core.sandbox.base import NoSandbox as NoSandbox
    from governance.core.sandbox.bubblewrap import Bubblewrap as Bubblewrap
    from governance.core.sandbox.filesystem import FilesystemSandbox as FilesystemSandbox
    from governance.core.sandbox.subprocess import SubprocessSandbox as SubprocessSandbox
    from governance.core.secrets import DictSecrets as DictSecrets
    from governance.core.secrets import EnvSecrets as EnvSecrets

HOMES = {
    "AllowAll": "governance.core.permissions",
    "ApprovalHandler": "governance.core.approvals",
    "Approve": "governance.core.approvals",
    "AuditLog": "audit.core.log",
    "AuditLogSpec": "audit.core.log",
    "Bubblewrap": "governance.core.sandbox.bubblewrap",
    "DictSecrets": "governance.core.secrets",
    "Edit": "governance.core.approvals",
    "EnvSecrets": "governance.core.secrets",
    "FileAuditLog": "audit.core.file_log",
    "FilesystemSandbox": "governance.core.sandbox.filesystem",
    "FullTranscriptAuditLog": "audit.core.log",
    "HookRegistry": "governance.core.hooks",
    "InMemoryAuditLog": "audit.core.log",
    "Mode": "governance.core.permissions",
    "NoSandbox": "governance.core.sandbox.base",
    "PerUserPermissions": "governance.core.permissions",
    "PostToolHook": "governance.core.hooks",
    "PreToolHook": "governance.core.hooks",
    "Reject": "governance.core.approvals",
    "Respond": "governance.core.approvals",
    "StandardPermissions": "governance.core.permissions",
    "SubprocessSandbox": "governance.core.sandbox.subprocess",
    "Verification": "audit.core.chain",
    "resolve_audit_log": "audit.core.log",
    "resolve_permissions": "governance.core.permissions",
    "verify": "audit.core.chain",
    "verify_signature": "audit.core.entry",
}

__all__ = [
    "AllowAll",
    "ApprovalHandler",
    "Approve",
    "AuditLog",
    "AuditLogSpec",
    "Bubblewrap",
    "DictSecrets",
    "Edit",
    "EnvSecrets",
    "FileAuditLog",
    "FilesystemSandbox",
    "FullTranscriptAuditLog",
    "HookRegistry",
    "InMemoryAuditLog",
    "Mode",
    "NoSandbox",
    "PerUserPermissions",
    "PostToolHook",
    "PreToolHook",
    "Reject",
    "Respond",
    "StandardPermissions",
    "SubprocessSandbox",
    "Verification",
    "resolve_audit_log",
    "resolve_permissions",
    "verify",
    "verify_signature",
]

__getattr__, __dir__ = door(__name__, HOMES)
