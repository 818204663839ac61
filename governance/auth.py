"""Who is calling, and for which tenant.

A request speaks for a tenant by an API key (`Authorization: Bearer loom_<prefix>_<secret>`) or by the session of a
member. The middleware finds out once, puts a `Principal` on the request and runs the view inside the tenant's scope,
so that nothing behind it can see another tenant's rows.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from governance import tenancy
from governance.models import ApiKey, Membership, Tenant

SESSION_TENANT = "loom_tenant"
ALL_SCOPES = frozenset(ApiKey.Scope.values)
_ROLE_SCOPES = {
    Membership.Role.OWNER: ALL_SCOPES,
    Membership.Role.OPERATOR: frozenset({ApiKey.Scope.READ, ApiKey.Scope.RUN, ApiKey.Scope.APPROVE}),
    Membership.Role.APPROVER: frozenset({ApiKey.Scope.READ, ApiKey.Scope.APPROVE}),
    Membership.Role.VIEWER: frozenset({ApiKey.Scope.READ}),
}
_CACHE_SECONDS = 1.0  # a revoked key stops working within this time
_TOUCH_SECONDS = 60


@dataclass(frozen=True)
class Principal:
    """An authenticated caller. `name` is what the audit log says: `user:ann` or `key:<prefix>`."""

    tenant: Tenant
    name: str
    scopes: frozenset[str]
    role: str = ""

    def is_current(self) -> bool:
        """Whether the credential still stands, for whoever keeps a line open. Runs in the tenant's scope."""
        kind, _, name = self.name.partition(":")
        if kind == "key":
            keys = ApiKey.objects.of(self.tenant).filter(prefix=name, revoked_at=None)
            return keys.exclude(expires_at__lte=timezone.now()).exists()
        return Membership.objects.of(self.tenant).filter(user__username=name, user__is_active=True).exists()


class TenantScope:
    """Middleware: `request.principal`, and the tenant's scope around the view.

    Without a credential the view sees no tenant.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        principal = find_principal(request)
        request.principal = principal  # type: ignore[attr-defined]
        if principal is None:
            return self._get_response(request)
        with tenancy.scope(principal.tenant.pk):
            return self._get_response(request)


def find_principal(request: HttpRequest) -> Principal | None:
    """The caller of a request. A bearer token is taken alone: a session beside it counts for nothing."""
    header = request.headers.get("Authorization", "")
    if header:
        scheme, _, token = header.partition(" ")
        return principal_of_key(token.strip()) if scheme.lower() == "bearer" else None
    if getattr(request, "user", None) is not None and request.user.is_authenticated:
        return principal_of_user(request.user, request.session.get(SESSION_TENANT))
    return None


def principal_of_user(user: Any, tenant_id: str | None = None) -> Principal | None:
    """A person in one of their tenants: the one named, else the one they joined first."""
    with tenancy.credential_scope("user", str(user.pk)):
        places = Membership.objects.filter(user_id=user.pk).select_related("tenant").order_by("id")
        found = list(places)
    chosen = next((m for m in found if str(m.tenant_id) == tenant_id), found[0] if found else None)
    if chosen is None:
        return None
    return Principal(chosen.tenant, f"user:{user.get_username()}", _ROLE_SCOPES[chosen.role], chosen.role)


_keys: dict[str, tuple[float, Principal]] = {}


def principal_of_key(token: str) -> Principal | None:
    """The program that holds this key, or None when the key is unknown, wrong, revoked or expired."""
    cached = _keys.get(token)
    if cached is not None and time.monotonic() - cached[0] < _CACHE_SECONDS:
        return cached[1]
    _keys.pop(token, None)
    label, _, rest = token.partition("_")
    prefix, _, secret = rest.partition("_")
    if label != "loom" or not prefix or not secret or "\x00" in token:
        return None
    with tenancy.credential_scope("api_key", prefix):
        key = ApiKey.objects.filter(prefix=prefix).select_related("tenant").first()
    now = timezone.now()
    if (
        key is None
        or not hmac.compare_digest(key.secret_hash, hash_secret(secret))
        or key.revoked_at is not None
        or (key.expires_at is not None and key.expires_at <= now)
    ):
        return None
    if key.last_used_at is None or (now - key.last_used_at).total_seconds() > _TOUCH_SECONDS:
        with tenancy.scope(key.tenant_id):
            ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)
    principal = Principal(key.tenant, f"key:{prefix}", frozenset(key.scopes))
    if len(_keys) > 10_000:
        _keys.clear()
    _keys[token] = (time.monotonic(), principal)
    return principal


def hash_secret(secret: str) -> str:
    """SHA-256: enough for 256 random bits, and cheap on each request."""
    return hashlib.sha256(secret.encode()).hexdigest()


def tenant_badge(request: HttpRequest) -> list[str] | None:
    """The tenant in hand, shown at the top of the admin."""
    principal = getattr(request, "principal", None)
    return [principal.tenant.name, "info"] if principal else None
