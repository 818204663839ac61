"""What the API of tenants and keys accepts and returns, and how all lists are cut into pages."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar
from uuid import UUID

from django.http import HttpRequest
from ninja import Schema
from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, StringConstraints

from governance.models import ApiKey, Approval, ApprovalDecision, ApprovalPolicy, Membership
from loom.errors import Invalid

if TYPE_CHECKING:
    from governance.auth import Principal

T = TypeVar("T")

MAX_PAGE = 200

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class Call(HttpRequest):
    """A request whose caller is known: the API's authenticator has put `auth` on it."""

    auth: Principal


class Body(Schema):
    """What a client sends. A field that we do not know is refused rather than overlooked."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(Schema):
    """Which part of a list: up to `limit` rows after those that came with `cursor`."""

    limit: int = Field(50, ge=1, le=MAX_PAGE)
    cursor: str | None = Field(None, max_length=500, description="`next_cursor` of the page before")

    def after(self, read: type[T]) -> T | None:
        """The key of the last row that the client has. Raises InvalidArguments for a cursor that we did not give."""
        if self.cursor is None:
            return None
        try:
            text = base64.urlsafe_b64decode(self.cursor.encode() + b"=" * (-len(self.cursor) % 4))
            value = read(json.loads(text))  # type: ignore[call-arg]
            if not str(value).isprintable():
                raise ValueError("not what we write into cursors")
            return value
        except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error) as error:
            raise Invalid("the cursor is none that this list gave out", pointer="/query/cursor") from error


class Page(Schema, Generic[T]):
    items: list[T]
    next_cursor: str | None = Field(description="null on the last page")


def page(rows: Sequence[Any], *, limit: int, key: str) -> dict[str, Any]:
    """The first `limit` of `limit + 1` rows, and a cursor when there are more."""
    more = len(rows) > limit
    return {"items": rows[:limit], "next_cursor": _cursor(getattr(rows[limit - 1], key)) if more else None}


def _cursor(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, default=str).encode()).decode().rstrip("=")


def _known_scopes(scopes: list[str]) -> list[str]:
    return sorted(set(scopes))


class KeyIn(Body):
    name: Name
    scopes: Annotated[list[ApiKey.Scope], AfterValidator(_known_scopes)] = Field(min_length=1, max_length=10)
    expires_at: AwareDatetime | None = None


class KeyOut(Schema):
    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewKeyOut(KeyOut):
    token: str | None = Field(description="the credential, in this answer only; null when the answer is a replayed one")


class DecisionOut(Schema):
    """What one person has said."""

    by: str
    decision: str
    args: dict[str, Any] | None
    args_hash: str
    reason: str
    response: str | None
    counts: bool = Field(description="false for a yes to arguments that were edited since")
    at: datetime


class ApprovalOut(Schema):
    id: UUID
    run_id: UUID
    step_key: str
    kind: Approval.Kind
    agent: str
    user_id: str | None
    requested_by: str
    tool: str
    args: dict[str, Any]
    args_hash: str
    schema_: dict[str, Any] = Field(alias="schema", description="the JSON Schema of the arguments")
    risk: str
    reason: str
    policy: str
    approvers: list[str]
    needed: int
    four_eyes: bool
    requested_at: datetime
    expires_at: datetime
    escalated_at: datetime | None
    status: Approval.Status
    decided_at: datetime | None
    decisions: list[DecisionOut]

    @staticmethod
    def resolve_decisions(approval: Approval) -> list[ApprovalDecision]:
        return sorted(approval.decisions.all(), key=lambda said: said.id)


class ApprovalQuery(PageQuery):
    status: list[Approval.Status] = Field(default_factory=list, description="may be given more than once")
    run_id: UUID | None = None


class DecideIn(Body):
    decision: ApprovalDecision.Said
    args_hash: str = Field(max_length=64, description="of what you were shown; another one is refused")
    args: dict[str, Any] | None = Field(None, description="the new arguments, for `edit`")
    reason: str = Field("", max_length=10_000)
    response: str | None = Field(None, max_length=100_000, description="what the model reads, for `respond`")


Seconds = Annotated[int, Field(ge=1, le=366 * 24 * 3600)]


class PolicyRules(Body):
    approvers: list[Membership.Role] = Field(
        [Membership.Role.OWNER, Membership.Role.OPERATOR, Membership.Role.APPROVER]
    )
    needed: int = Field(1, ge=1, le=20, description="how many have to say yes")
    four_eyes: bool = Field(False, description="whoever started the run does not decide")
    expires_after_seconds: Seconds = 7 * 24 * 3600
    on_expiry: ApprovalPolicy.OnExpiry = ApprovalPolicy.OnExpiry.DENY
    escalates_after_seconds: Seconds | None = None
    escalates_to: list[Membership.Role] = Field(default_factory=list)


class PolicyIn(PolicyRules):
    name: Annotated[str, StringConstraints(pattern=r"^[-a-zA-Z0-9_]+$", max_length=100)]


class PolicyOut(PolicyRules):
    id: UUID
    name: str
    created_at: datetime
