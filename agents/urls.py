"""The console."""

from __future__ import annotations

from django.contrib.auth import views as auth
from django.urls import path

from agents import views

app_name = "console"

login = auth.LoginView.as_view(template_name="console/login.html", redirect_authenticated_user=True)

urlpatterns = [
    path("", views.runs, name="runs"),
    path("runs/new", views.new_run, name="new_run"),
    path("runs/<uuid:run_id>", views.run, name="run"),
    path("runs/<uuid:run_id>/events", views.events, name="events"),
    path("schedules/", views.schedules, name="schedules"),
    path("schedules/new", views.new_schedule, name="new_schedule"),
    path("schedules/<uuid:schedule_id>", views.schedule, name="schedule"),
    path(
        "login",
        auth.LoginView.as_view(template_name="console/login.html", redirect_authenticated_user=True),
        name="login",
    ),
    path("logout", auth.LogoutView.as_view(), name="logout"),
    path("tenant", views.choose_tenant, name="tenant"),
]
