"""Everything that changes tenants, members and keys."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from audit import services as audit
from governance import tenancy
from governance.auth import hash_secret
from governance.models import ApiKey, Membership, Tenant, User
from loom.errors import Conflict, Invalid


def create_tenant(*, slug: str, name: str, by: str) -> Tenant:
    """Make a tenant. Raises Conflict when the slug is taken."""
    tenant, created = Tenant.objects.get_or_create(slug=slug, defaults={"name": name})
    if not created:
        raise Conflict(f"there is a tenant {slug!r} already", slug=slug)
    with tenancy.scope(tenant.pk):
        audit.record(tenant_id=tenant.pk, actor=by, action="tenant.created", subject=f"tenant:{slug}")
    return tenant


@transaction.atomic
def add_member(*, tenant: Tenant, user: User, role: str, by: str) -> Membership:
    """Give a person a place in the tenant, or another role in it."""
    member, _ = Membership.objects.update_or_create(tenant=tenant, user=user, defaults={"role": role})
    audit.record(
        tenant_id=tenant.pk, actor=by, action="member.added", subject=f"user:{user.username}", payload={"role": role}
    )
    return member


@transaction.atomic
def create_key(
    *, tenant: Tenant, name: str, scopes: Collection[str], by: str, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Make an API key. The token is in this answer and nowhere else.

    Raises Invalid for an unknown scope.
    """
    if unknown := set(scopes) - set(ApiKey.Scope.values):
        raise Invalid(
            f"unknown scope {sorted(unknown)[0]!r}; there are {', '.join(ApiKey.Scope.values)}", pointer="/scopes"
        )
    prefix, secret = secrets.token_hex(5), secrets.token_urlsafe(32).replace("_", "-")
    key = ApiKey.objects.create(
        tenant=tenant,
        name=name,
        prefix=prefix,
        secret_hash=hash_secret(secret),
        scopes=sorted(scopes),
        expires_at=expires_at,
    )
    audit.record(
        tenant_id=tenant.pk, actor=by, action="key.created", subject=f"key:{prefix}", payload={"scopes": sorted(scopes)}
    )
    return key, f"loom_{prefix}_{secret}"


@transaction.atomic
def revoke_key(*, tenant: Tenant, key_id: UUID, by: str) -> ApiKey:
    """Make a key useless, within a second everywhere. Revoking twice changes nothing. Raises NotFound."""
    key: ApiKey = ApiKey.objects.of(tenant).select_for_update().one(key_id)
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at"])
        audit.record(tenant_id=tenant.pk, actor=by, action="key.revoked", subject=f"key:{key.prefix}")
    return key
