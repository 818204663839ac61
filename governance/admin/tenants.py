"""The operator's view of tenants, people and keys."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from governance import services, tenancy
from governance.admin.rows import TenantRows, by
from governance.auth import SESSION_TENANT
from governance.models import ApiKey, Membership, Tenant, User
from loom.errors import LoomError

admin.site.unregister(Group)  # what people may do is said by their memberships


@admin.register(Tenant)
class TenantAdmin(TenantRows):
    """Superusers make tenants, see their names and set their limits; what is in one is for its members."""

    list_display = ["name", "slug", "max_running", "retention_days", "created_at"]
    search_fields = ["name", "slug"]
    fields = ["name", "slug", "max_running", "retention_days"]
    ordering = ["slug"]
    actions = ["look_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        tenants: QuerySet[Tenant] = super().get_queryset(request)
        return tenants if request.user.is_superuser else tenants.filter(pk__in=_tenants_of(request.user))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Tenant | None = None) -> bool:
        return bool(request.user.is_superuser)

    def get_readonly_fields(self, request: HttpRequest, obj: Tenant | None = None) -> list[str]:
        return ["slug"] if obj else []

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        changes = {name: form.cleaned_data[name] for name in form.changed_data if name != "slug"}
        if not change:
            made = services.create_tenant(slug=obj.slug, name=changes.pop("name"), by=by(request))
            obj.pk, obj._state.adding = made.pk, False
        if changes:
            services.change_tenant(tenant_id=obj.pk, by=by(request), **changes)

    @admin.action(description="Look at this tenant")
    def look_at(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        tenant = queryset.first()
        if tenant is None or queryset.count() > 1 or tenant.pk not in _tenants_of(request.user):
            self.message_user(request, "choose one tenant that you are a member of", messages.ERROR)
            return
        request.session[SESSION_TENANT] = str(tenant.pk)
        self.message_user(request, f"from now on you see {tenant.name}", messages.SUCCESS)


def _tenants_of(user: Any) -> set[Any]:
    with tenancy.credential_scope("user", str(user.pk)):
        return set(Membership.objects.filter(user_id=user.pk).values_list("tenant_id", flat=True))


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]
    """People are the platform's, not a tenant's: superusers make them. Who leaves is made inactive, and stays known."""

    form, add_form, change_password_form = UserChangeForm, UserCreationForm, AdminPasswordChangeForm
    list_display = ["username", "email", "is_active", "is_staff", "is_superuser"]
    list_filter = ["is_active", "is_staff", "is_superuser"]
    ordering = ["username"]
    filter_horizontal = ()
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        ("Person", {"fields": ["first_name", "last_name", "email"]}),
        ("Access", {"fields": ["is_active", "is_staff", "is_superuser", "last_login", "date_joined"]}),
    ]
    readonly_fields = ["last_login", "date_joined"]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class MembershipForm(forms.ModelForm):  # type: ignore[type-arg]
    """Names the person by username: a list to choose from would show the people of other tenants."""

    username = forms.CharField(max_length=150, widget=UnfoldAdminTextInputWidget)

    class Meta:
        model = Membership
        fields = ["role"]

    def clean_username(self) -> str:
        username: str = self.cleaned_data["username"]
        if not User.objects.filter(username=username).exists():
            raise forms.ValidationError(f"there is nobody called {username!r}; a superuser makes users")
        return username


@admin.register(Membership)
class MembershipAdmin(TenantRows):
    list_display = ["user", "role", "created_at"]
    list_filter = ["role"]
    search_fields = ["user__username"]
    fields = ["user", "role", "created_at"]
    actions = ["remove"]
    ordering = ["id"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_administer_permission(request)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.fields if obj else ["username", "role"]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **kwargs, **({} if obj else {"form": MembershipForm}))

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        """Somebody who is a member already gets the role."""
        user = User.objects.get(username=form.cleaned_data["username"])
        made = services.add_member(tenant=request.principal.tenant, user=user, role=obj.role, by=by(request))  # type: ignore[attr-defined]
        obj.pk, obj.user, obj._state.adding = made.pk, user, False

    @admin.action(description="Take out of the tenant", permissions=["administer"])
    def remove(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for member in queryset:
            try:
                services.remove_member(tenant=request.principal.tenant, member_id=member.pk, by=by(request))  # type: ignore[attr-defined]
            except LoomError as error:
                self.message_user(request, str(error), messages.ERROR)


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(choices=ApiKey.Scope.choices, widget=forms.CheckboxSelectMultiple)

    class Meta:
        model = ApiKey
        fields = ["name", "scopes", "expires_at"]


@admin.register(ApiKey)
class ApiKeyAdmin(TenantRows):
    list_display = ["name", "prefix", "scope_names", "state", "created_at", "expires_at", "last_used_at"]
    search_fields = ["name", "prefix"]
    fields = ["name", "prefix", "scope_names", "created_at", "expires_at", "revoked_at", "last_used_at"]
    actions = ["revoke"]
    ordering = ["-id"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_administer_permission(request)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.fields if obj else ["name", "scopes", "expires_at"]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **kwargs, **({} if obj else {"form": ApiKeyForm}))

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        key, token = services.create_key(
            tenant=request.principal.tenant,  # type: ignore[attr-defined]
            name=obj.name,
            scopes=form.cleaned_data["scopes"],
            expires_at=obj.expires_at,
            by=by(request),
        )
        obj.pk, obj.prefix, obj._state.adding = key.pk, key.prefix, False
        self.message_user(request, f"The token, shown only now: {token}", messages.WARNING)

    @admin.display(description="scopes")
    def scope_names(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @display(label={"active": "success", "revoked": "danger", "expired": "warning"})  # type: ignore[untyped-decorator]
    def state(self, key: ApiKey) -> str:
        return key.state

    @admin.action(description="Revoke", permissions=["administer"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            services.revoke_key(tenant=request.principal.tenant, key_id=key.pk, by=by(request))  # type: ignore[attr-defined]
