"""The operator's view of tenants, people, keys and approvals."""

from governance.admin import approvals, tenants
from governance.admin.rows import ReadOnlyInline, TenantRows

__all__ = ["ReadOnlyInline", "TenantRows", "approvals", "tenants"]
