"""Tenants, who belongs to them, and the credentials that speak for them."""

from __future__ import annotations

from typing import Any, ClassVar, Self
from uuid import UUID

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from uuid_utils.compat import uuid7

from governance.tenancy import TenantForeignKey
from loom.errors import NotFound


class User(AbstractUser):
    """A person who logs in. What they may do is said by their memberships."""


class Tenant(models.Model):
    """A customer: the wall between all rows."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    max_running = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Runs under way at once; empty: any number."
    )
    retention_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="How long runs that are over are kept; empty: for ever.",
    )

    grants: ClassVar[str] = "SELECT, INSERT, UPDATE"

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(max_running__gt=0), name="tenant_runs_something"),
            models.CheckConstraint(condition=models.Q(retention_days__gt=0), name="tenant_keeps_a_day"),
        ]

    def __str__(self) -> str:
        return self.name


class TenantQuerySet(models.QuerySet[Any]):
    def of(self, tenant: Tenant) -> Self:
        return self.filter(tenant_id=tenant.pk)

    def page(self, order: str, *, after: Any, limit: int) -> list[Any]:
        """The rows after the one with this key, and one row more than asked for where there are more.

        `order` is a unique column, with `-` for descending.
        """
        rows = self.order_by(order)
        if after is not None:
            rows = rows.filter(**{f"{order.lstrip('-')}__{'lt' if order.startswith('-') else 'gt'}": after})
        return list(rows[: limit + 1])

    def one(self, pk: UUID | str) -> Any:
        """The row with this key. Raises NotFound, also for a row of somebody else."""
        row = self.filter(pk=pk).first()
        if row is None:
            raise NotFound(f"no {self.model._meta.verbose_name} {pk}")
        return row


class TenantRow(models.Model):
    """A row that belongs to a tenant. `policies` adds row-level policies to the one that every tenant table has."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="+", editable=False)

    policies: ClassVar[dict[str, str]] = {}
    objects = TenantQuerySet.as_manager()

    class Meta:
        abstract = True


class Membership(TenantRow):
    """A person's place in a tenant."""

    class Role(models.TextChoices):
        OWNER = "owner"
        OPERATOR = "operator"
        APPROVER = "approver"
        VIEWER = "viewer"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    # At login the person is known and the tenant is not yet.
    policies: ClassVar[dict[str, str]] = {
        "own": "FOR SELECT USING (user_id::text = nullif(current_setting('loom.user', true), ''))"
    }

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "user"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"


class ApiKey(TenantRow):
    """A program's credential: `loom_<prefix>_<secret>`. Only the SHA-256 of the secret is kept."""

    class Scope(models.TextChoices):
        READ = "read"
        RUN = "run", "start and steer runs"
        APPROVE = "approve", "decide about calls that wait for a person"
        ADMIN = "admin", "change agents, keys and settings"

    name = models.CharField(max_length=200)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope))
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)

    # A request brings the prefix before anybody knows the tenant.
    policies: ClassVar[dict[str, str]] = {
        "presented": "FOR SELECT USING (prefix = nullif(current_setting('loom.api_key', true), ''))"
    }

    def __str__(self) -> str:
        return f"{self.name} (loom_{self.prefix}_…)"

    @property
    def state(self) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= timezone.now() else "active"


SCHEDULER = "current_setting('loom.scope', true) = 'scheduler'"


def deciders() -> list[str]:
    """Who decides unless somebody says otherwise."""
    return [Membership.Role.OWNER.value, Membership.Role.OPERATOR.value, Membership.Role.APPROVER.value]


class ApprovalPolicy(TenantRow):
    """Who decides about a call, how many of them, and until when. Rules name it; `default` is for those that do not."""

    DEFAULT = "default"

    class OnExpiry(models.TextChoices):
        DENY = "deny", "refuse the call"
        ESCALATE = "escalate", "ask the others, and refuse when they do not answer either"

    name = models.SlugField(max_length=100)
    approvers = ArrayField(
        models.CharField(max_length=10, choices=Membership.Role),
        default=deciders,
        help_text="the roles whose members may decide",
    )
    needed = models.PositiveSmallIntegerField(default=1, help_text="how many have to say yes")
    four_eyes = models.BooleanField(default=False, help_text="whoever started the run does not decide")
    expires_after_seconds = models.PositiveIntegerField(default=7 * 24 * 3600)
    on_expiry = models.CharField(max_length=10, choices=OnExpiry, default=OnExpiry.DENY)
    escalates_after_seconds = models.PositiveIntegerField(null=True, blank=True)
    escalates_to = ArrayField(
        models.CharField(max_length=10, choices=Membership.Role), default=list, blank=True,
        help_text="the roles that are asked then; those from before no longer decide",
    )  # fmt: skip
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "approval policies"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="approval_policy_once"),
            models.CheckConstraint(condition=models.Q(needed__gte=1), name="approval_policy_needs_somebody"),
        ]

    def __str__(self) -> str:
        return self.name


class ApprovalQuerySet(TenantQuerySet):
    def pending(self) -> Self:
        return self.filter(status=Approval.Status.PENDING)

    def whole(self) -> Self:
        """With what was said so far, which every view shows."""
        return self.prefetch_related("decisions")


class Approval(TenantRow):
    """A question to a person about one call of one run. It says all that the decision is bound to, and is used once.

    The policy is copied in: what a rule says tomorrow does not change a question of today.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        APPROVED = "approved"
        EDITED = "edited"
        REJECTED = "rejected"
        RESPONDED = "responded"
        EXPIRED = "expired"
        SUPERSEDED = "superseded"  # the run ended first

    class Kind(models.TextChoices):
        CALL = "call", "may it be made?"
        RECONCILE = "reconcile", "it may have happened"

    run_id = models.UUIDField()
    step_key = models.TextField()
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.CALL)
    agent = models.CharField(max_length=120)  # slug@number
    version_hash = models.CharField(max_length=64)
    user_id = models.CharField(max_length=200, null=True)
    requested_by = models.CharField(max_length=200)

    tool = models.CharField(max_length=200)
    args = models.JSONField()
    args_hash = models.CharField(max_length=64)
    schema = models.JSONField(default=dict)
    risk = models.CharField(max_length=10)
    reason = models.TextField(blank=True)

    policy = models.CharField(max_length=100)
    approvers = ArrayField(models.CharField(max_length=10))
    needed = models.PositiveSmallIntegerField()
    four_eyes = models.BooleanField()
    on_expiry = models.CharField(max_length=10, choices=ApprovalPolicy.OnExpiry)
    escalates_to = ArrayField(models.CharField(max_length=10), default=list)

    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    requested_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    escalates_at = models.DateTimeField(null=True)
    escalated_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)

    policies: ClassVar[dict[str, str]] = {"scheduler": f"FOR SELECT USING ({SCHEDULER})"}
    objects: ClassVar = ApprovalQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "run_id", "step_key"], name="approval_once")]
        indexes = [
            models.Index(fields=["tenant", "-id"], name="approval_newest"),
            models.Index(fields=["tenant"], name="approval_pending", condition=models.Q(status="pending")),
            models.Index(fields=["expires_at"], name="approval_due", condition=models.Q(status="pending")),
            models.Index(fields=["escalates_at"], name="approval_escalates", condition=models.Q(status="pending")),
        ]

    def __str__(self) -> str:
        return f"{self.tool} for run {self.run_id}"


class ApprovalDecision(TenantRow):
    """What one person said. `counts` is false for a yes to arguments that somebody has changed since."""

    class Said(models.TextChoices):
        APPROVE = "approve"
        EDIT = "edit"
        REJECT = "reject"
        RESPOND = "respond"

    approval = TenantForeignKey(Approval, on_delete=models.CASCADE, related_name="decisions")
    by = models.CharField(max_length=200)
    decision = models.CharField(max_length=10, choices=Said)
    args = models.JSONField(null=True)
    args_hash = models.CharField(max_length=64)
    reason = models.TextField(blank=True)
    response = models.TextField(null=True)
    counts = models.BooleanField(default=True)
    at = models.DateTimeField(db_default=Now())

    grants: ClassVar[str] = "SELECT, INSERT, UPDATE"

    def __str__(self) -> str:
        return f"{self.by}: {self.decision}"


class IdempotentRequest(TenantRow):
    """A POST that named an Idempotency-Key, and its answer once there is one."""

    principal = models.CharField(max_length=200)
    route = models.CharField(max_length=200)
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "principal", "route", "key"], name="idempotent_request_once")
        ]

    def __str__(self) -> str:
        return self.key
