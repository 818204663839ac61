"""The operator's view of questions to people, and of the rules about who answers them."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display

from governance import services
from governance.admin.rows import ReadOnlyInline, TenantRows, by
from governance.models import Approval, ApprovalDecision, ApprovalPolicy, Membership, deciders
from loom.errors import LoomError

Status = Approval.Status
Said = ApprovalDecision.Said
_STATUS_COLORS = {
    Status.PENDING.label: "warning",
    Status.APPROVED.label: "success",
    Status.EDITED.label: "success",
    Status.RESPONDED.label: "success",
    Status.REJECTED.label: "danger",
}


class DecisionInline(ReadOnlyInline):
    model = ApprovalDecision
    fields = ["by", "decision", "args", "args_hash", "reason", "response", "counts", "at"]
    readonly_fields = fields
    ordering = ["id"]


@admin.register(Approval)
class ApprovalAdmin(TenantRows):
    """Decisions are made on what the page before them shows: each counts for the hash that stood there."""

    list_display = ["tool", "state", "risk_label", "agent", "requested_by", "requested_at", "expires_at"]
    list_filter = ["status", "risk", "kind", "requested_at"]
    search_fields = ["tool", "agent", "run_id"]
    fields = [
        "page", "run", "state", "kind", "tool", "shown_args", "args_hash", "risk_label", "reason", "agent",
        "version_hash", "step_key", "user_id", "requested_by", "requested_at", "expires_at", "policy", "approvers",
        "needed", "four_eyes", "on_expiry", "escalates_to", "escalates_at", "escalated_at", "decided_at",
    ]  # fmt: skip
    readonly_fields = fields
    inlines = [DecisionInline]
    actions = ["approve", "reject"]
    ordering = ["-id"]

    @display(description="status", ordering="status", label=_STATUS_COLORS)  # type: ignore[untyped-decorator]
    def state(self, approval: Approval) -> str:
        return str(Status(approval.status).label)

    @display(description="risk", ordering="risk", label={"high": "danger", "medium": "warning", "low": "success"})  # type: ignore[untyped-decorator]
    def risk_label(self, approval: Approval) -> str:
        return approval.risk

    @admin.display(description="console")
    def page(self, approval: Approval) -> str:
        return format_html('<a href="{}">decide in the console</a>', reverse("approvals:detail", args=[approval.pk]))

    @admin.display(description="run")
    def run(self, approval: Approval) -> str:
        return format_html('<a href="{}">{}</a>', reverse("console:run", args=[approval.run_id]), approval.run_id)

    @admin.display(description="arguments")
    def shown_args(self, approval: Approval) -> str:
        return format_html("<pre>{}</pre>", json.dumps(approval.args, indent=2, ensure_ascii=False))

    @admin.action(description="Approve…", permissions=["decide"])
    def approve(self, request: HttpRequest, queryset: QuerySet[Approval]) -> HttpResponse | None:
        return self._decide(request, queryset, Said.APPROVE)

    @admin.action(description="Reject…", permissions=["decide"])
    def reject(self, request: HttpRequest, queryset: QuerySet[Approval]) -> HttpResponse | None:
        return self._decide(request, queryset, Said.REJECT)

    def _decide(self, request: HttpRequest, queryset: QuerySet[Approval], decision: Said) -> HttpResponse | None:
        """First each call in full; then, confirmed, the decision about each as it was shown."""
        found = list(queryset.order_by("pk"))
        if "confirmed" not in request.POST:
            context = {
                **self.admin_site.each_context(request),
                "title": f"{decision.label} {len(found)} calls?",
                "opts": self.opts,
                "decision": decision,
                "asked": [
                    {"approval": one, "args": json.dumps(one.args, indent=2, ensure_ascii=False)} for one in found
                ],
            }
            return TemplateResponse(request, "approvals/admin_confirm.html", context) if found else None
        shown = dict(text.partition(":")[::2] for text in request.POST.getlist("shown"))
        for approval in found:
            self._decide_one(request, approval, decision, shown.get(str(approval.pk), ""))
        return None

    def _decide_one(self, request: HttpRequest, approval: Approval, decision: Said, args_hash: str) -> None:
        try:
            services.decide_approval(
                principal=request.principal,  # type: ignore[attr-defined]
                approval_id=approval.pk,
                decision=decision,
                args_hash=args_hash,
                reason=request.POST.get("reason", "")[:10_000],
            )
        except LoomError as error:
            self.message_user(request, f"{approval.tool}: {error}", messages.ERROR)
        else:
            self.message_user(request, f"{approval.tool}: decided", messages.SUCCESS)


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    approvers = forms.MultipleChoiceField(
        choices=Membership.Role.choices, widget=forms.CheckboxSelectMultiple, initial=deciders
    )
    escalates_to = forms.MultipleChoiceField(
        choices=Membership.Role.choices, widget=forms.CheckboxSelectMultiple, required=False
    )

    class Meta:
        model = ApprovalPolicy
        fields = [
            "name", "approvers", "needed", "four_eyes", "expires_after_seconds", "on_expiry", "escalates_after_seconds",
            "escalates_to",
        ]  # fmt: skip


@admin.register(ApprovalPolicy)
class ApprovalPolicyAdmin(TenantRows):
    form = PolicyForm
    list_display = ["name", "roles", "needed", "four_eyes", "expires_after_seconds", "on_expiry"]
    search_fields = ["name"]
    fields = PolicyForm.Meta.fields
    ordering = ["name"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_administer_permission(request)

    has_change_permission = has_add_permission
    has_delete_permission = has_add_permission

    def get_readonly_fields(self, request: HttpRequest, obj: ApprovalPolicy | None = None) -> list[str]:
        return ["name"] if obj else []

    @admin.display(description="who decides")
    def roles(self, policy: ApprovalPolicy) -> str:
        return ", ".join(policy.approvers)

    def save_model(self, request: HttpRequest, obj: ApprovalPolicy, form: Any, change: bool) -> None:
        tenant = request.principal.tenant  # type: ignore[attr-defined]
        rules = {name: form.cleaned_data[name] for name in self.fields if name != "name"}
        if change:
            services.save_policy(tenant=tenant, policy_id=obj.pk, by=by(request), **rules)
            return
        made = services.create_policy(tenant=tenant, name=obj.name, by=by(request), **rules)
        obj.pk, obj._state.adding = made.pk, False

    def delete_model(self, request: HttpRequest, obj: ApprovalPolicy) -> None:
        services.delete_policy(tenant=request.principal.tenant, policy_id=obj.pk, by=by(request))  # type: ignore[attr-defined]

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApprovalPolicy]) -> None:
        for policy in queryset:
            self.delete_model(request, policy)
