"""Which tools may be called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from governance.core.permissions import AllowAll as AllowAll
    from governance.core.permissions import Mode as Mode
    from governance.core.permissions import PerUserPermissions as PerUserPermissions
    from governance.core.permissions import StandardPermissions as StandardPermissions
    from governance.core.permissions import resolve_permissions as resolve_permissions

HOMES = {
    "AllowAll": "governance.core.permissions",
    "Mode": "governance.core.permissions",
    "PerUserPermissions": "governance.core.permissions",
    "StandardPermissions": "governance.core.permissions",
    "resolve_permissions": "governance.core.permissions",
}

__all__ = [
    "AllowAll",
    "Mode",
    "PerUserPermissions",
    "StandardPermissions",
    "resolve_permissions",
]

__getattr__, __dir__ = door(__name__, HOMES)
