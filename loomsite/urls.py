"""Where everything is."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from loomsite import views
from loomsite.api import api

urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.metrics, name="metrics"),
    path("api/v1/", api.urls),
    path("admin/", admin.site.urls),
    path("approvals/", include("governance.urls", namespace="approvals")),
    path("", include("agents.urls", namespace="console")),
]

handler500 = "loomsite.views.server_error"
