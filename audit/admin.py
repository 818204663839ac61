"""The operator's view of what was done. Nothing here can be written."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.paginator import InfinitePaginator

from audit.models import Entry


@admin.register(Entry)
class EntryAdmin(ModelAdmin):  # type: ignore[misc]  # the theme has no types
    list_display = ["at", "actor", "action", "subject"]
    search_fields = ["actor", "action", "subject"]
    fields = ["at", "actor", "action", "subject", "what"]
    ordering = ["-id"]
    paginator = InfinitePaginator
    show_full_result_count = False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(getattr(request, "principal", None)) or request.user.is_superuser

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="payload")
    def what(self, entry: Entry) -> str:
        return format_html("<pre>{}</pre>", json.dumps(entry.payload, indent=2, ensure_ascii=False))
