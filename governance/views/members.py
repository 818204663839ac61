"""Whose pages the console's are, and what every one of them shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from governance.auth import Principal
from governance.models import Approval

MOST_COUNTED = 100
# The pages of the console that its head leads to, each with what the names of the pages below it begin with.
PLACES = (
    ("Runs", "console:runs", "console:run"),
    ("Approvals", "approvals:inbox", "approvals:"),
    ("Schedules", "console:schedules", "console:schedule"),
    ("Workers", "console:workers", "console:workers"),
)

View = Callable[..., HttpResponse]


def member_page(view: View) -> View:
    """A page for people who are logged in and belong to a tenant; its view gets their principal."""

    @wraps(view)
    @login_required
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        principal: Principal | None = request.principal  # type: ignore[attr-defined]
        if principal is None:
            return render(request, "console/no_tenant.html", status=403)
        return view(request, principal, *args, **kwargs)

    return page


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context of every page: where one can go, and how many questions wait. Worked out by those that show it."""
    principal: Principal | None = getattr(request, "principal", None)
    return {
        "places": lambda: _places(request),
        "pending_approvals": lambda: count_pending(principal) if principal else 0,
    }


def count_pending(principal: Principal) -> int:
    """The tenant's open questions, `MOST_COUNTED` at most: a badge needs no more."""
    return Approval.objects.of(principal.tenant).pending()[:MOST_COUNTED].count()


def _places(request: HttpRequest) -> list[dict[str, Any]]:
    here = getattr(request.resolver_match, "view_name", "")
    return [{"name": name, "url": reverse(view), "is_here": here.startswith(below)} for name, view, below in PLACES]
