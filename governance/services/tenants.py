"""Tenants, their members and keys, and requests that may come twice."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from datetime import datetime
from typing import TypedDict, Unpack
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.utils import timezone
from psycopg.errors import LockNotAvailable

from audit import services as audit
from governance import tenancy
from governance.auth import hash_secret
from governance.models import ApiKey, IdempotentRequest, Membership, Tenant, User
from loom.errors import Conflict, Invalid, NotFound


def create_tenant(*, slug: str, name: str, by: str) -> Tenant:
    """Make a tenant. Raises Conflict when the slug is taken."""
    tenant, created = Tenant.objects.get_or_create(slug=slug, defaults={"name": name})
    if not created:
        raise Conflict(f"there is a tenant {slug!r} already", slug=slug)
    with tenancy.scope(tenant.pk):
        audit.record(tenant_id=tenant.pk, actor=by, action="tenant.created", subject=f"tenant:{slug}")
    return tenant


class TenantChanges(TypedDict, total=False):
    name: str
    max_running: int | None
    retention_days: int | None


def change_tenant(*, tenant_id: UUID, by: str, **changes: Unpack[TenantChanges]) -> Tenant:
    """Change a tenant's name and what it may use. What is not named stays. Raises NotFound."""
    with tenancy.scope(tenant_id):
        tenant: Tenant | None = Tenant.objects.filter(pk=tenant_id).select_for_update().first()
        if tenant is None:
            raise NotFound(f"no tenant {tenant_id}")
        for name, value in changes.items():
            setattr(tenant, name, value)
        tenant.save(update_fields=list(changes))
        subject = f"tenant:{tenant.slug}"
        audit.record(tenant_id=tenant.pk, actor=by, action="tenant.changed", subject=subject, payload=dict(changes))
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
def remove_member(*, tenant: Tenant, member_id: UUID, by: str) -> None:
    """Take a person's place in the tenant. Raises NotFound, and Conflict for the last owner."""
    owners = Membership.objects.of(tenant).filter(role=Membership.Role.OWNER).select_for_update()
    member: Membership = Membership.objects.of(tenant).select_related("user").one(member_id)
    if [owner.pk for owner in owners] == [member.pk]:
        raise Conflict("a tenant keeps at least one owner; make somebody else an owner first")
    member.delete()
    audit.record(tenant_id=tenant.pk, actor=by, action="member.removed", subject=f"user:{member.user.username}")


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


_KEY = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"|([!#-~]+)')  # a structured-field string (RFC 8941), or bare
PATIENCE = "2s"


@transaction.atomic
def claim_request(*, tenant: Tenant, principal: str, route: str, key: str, fingerprint: str) -> IdempotentRequest:
    """The record of a request under an idempotency key: a new one, or that of an equal request with its answer.

    An equal request that is under way is waited for, but not for long. Belongs into the transaction of the request
    itself, so that a request which comes to nothing leaves no record. Raises Invalid, and Conflict while the other
    still runs.
    """
    parts = _KEY.fullmatch(key)
    key = (parts[2] or re.sub(r"\\(.)", r"\1", parts[1])) if parts else ""
    if not 1 <= len(key) <= 255:
        raise Invalid("Idempotency-Key must be 1 to 255 visible ASCII characters", pointer="/header/Idempotency-Key")
    named = {"tenant": tenant, "principal": principal, "route": route, "key": key}
    record = IdempotentRequest(**named, fingerprint=fingerprint)
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [PATIENCE])
            IdempotentRequest.objects.bulk_create([record], ignore_conflicts=True)
            cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise Conflict("a request with this Idempotency-Key is still running; ask again", retry_after=1) from error
    found: IdempotentRequest = IdempotentRequest.objects.get(**named)
    if found.fingerprint != fingerprint:
        raise Invalid("this Idempotency-Key was used for another request", pointer="/header/Idempotency-Key")
    if found.pk != record.pk and found.status is None:
        raise Conflict("a request with this Idempotency-Key is still running; ask again", retry_after=1)
    return found


def settle_request(record: IdempotentRequest, *, status: int, body: str) -> None:
    """Note the answer, for whoever asks again."""
    record.status, record.body = status, body
    record.save(update_fields=["status", "body"])
