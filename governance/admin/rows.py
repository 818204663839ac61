"""What the pages of all tenants' rows have in common: members see them, and services write them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.admin import ModelAdmin, TabularInline

from governance.models import ApiKey
from loom.errors import LoomError


class TenantRows(ModelAdmin):  # type: ignore[misc]  # the theme has no types
    """Rows of the tenant in hand: members see them, and nothing is written here unless a subclass says how."""

    list_select_related: ClassVar[Any] = True
    show_full_result_count = False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(getattr(request, "principal", None)) or request.user.is_superuser

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_administer_permission(self, request: HttpRequest) -> bool:
        """Whether the member may change the tenant's settings. Actions name it in `permissions`."""
        return self._has_scope(request, ApiKey.Scope.ADMIN)

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Whether the member may decide about calls that wait for a person."""
        return self._has_scope(request, ApiKey.Scope.APPROVE)

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Whether the member may start and end runs."""
        return self._has_scope(request, ApiKey.Scope.RUN)

    @staticmethod
    def _has_scope(request: HttpRequest, scope: str) -> bool:
        principal = getattr(request, "principal", None)
        return principal is not None and scope in principal.scopes

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            response: HttpResponse = super().changeform_view(request, *args, **kwargs)
            return response
        except LoomError as error:  # a service refused
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())


class ReadOnlyInline(TabularInline):  # type: ignore[misc]
    extra = 0
    can_delete = False
    show_change_link = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(getattr(request, "principal", None)) or request.user.is_superuser

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def by(request: HttpRequest) -> str:
    return f"user:{request.user.get_username()}"
