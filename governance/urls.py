"""The console's pages about approvals."""

from __future__ import annotations

from django.urls import path

from governance.views import deciding, inbox

app_name = "approvals"

urlpatterns = [
    path("", inbox.inbox, name="inbox"),
    path("pending", inbox.pending, name="pending"),
    path("several", deciding.several, name="several"),
    path("<uuid:approval_id>", inbox.inbox, name="detail"),
    path("<uuid:approval_id>/decide", deciding.decide, name="decide"),
    path("<uuid:approval_id>/edit", deciding.edit, name="edit"),
]
