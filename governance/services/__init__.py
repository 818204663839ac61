"""Everything that changes tenants, keys, policies and approvals."""

from governance.services.approvals import (
    Asker,
    check_arguments,
    decide_approval,
    open_approvals,
    refusal_for,
    settle_due_approvals,
    supersede_approvals,
)
from governance.services.policies import create_policy, delete_policy, save_policy
from governance.services.tenants import (
    PATIENCE,
    add_member,
    change_tenant,
    claim_request,
    create_key,
    create_tenant,
    remove_member,
    revoke_key,
    settle_request,
)

__all__ = [
    "PATIENCE",
    "Asker",
    "add_member",
    "change_tenant",
    "check_arguments",
    "claim_request",
    "create_key",
    "create_policy",
    "create_tenant",
    "decide_approval",
    "delete_policy",
    "open_approvals",
    "refusal_for",
    "remove_member",
    "revoke_key",
    "save_policy",
    "settle_due_approvals",
    "settle_request",
    "supersede_approvals",
]
