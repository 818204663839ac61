"""The console."""

from __future__ import annotations

from django.contrib.auth import views as auth
from django.urls import path

from agents.views import runs, schedules, steering, workers

app_name = "console"

login = auth.LoginView.as_view(template_name="console/login.html", redirect_authenticated_user=True)

urlpatterns = [
    path("", runs.runs, name="runs"),
    path("runs/new", runs.new_run, name="new_run"),
    path("runs/<uuid:run_id>", runs.run, name="run"),
    path("runs/<uuid:run_id>/events", runs.events, name="events"),
    path("runs/<uuid:run_id>/cancel", steering.cancel, name="run_cancel"),
    path("runs/<uuid:run_id>/retry", steering.retry, name="run_retry"),
    path("runs/<uuid:run_id>/fork", steering.fork, name="run_fork"),
    path("schedules/", schedules.schedules, name="schedules"),
    path("schedules/new", schedules.new_schedule, name="new_schedule"),
    path("schedules/<uuid:schedule_id>", schedules.schedule, name="schedule"),
    path("workers/", workers.workers, name="workers"),
    path(
        "login",
        auth.LoginView.as_view(template_name="console/login.html", redirect_authenticated_user=True),
        name="login",
    ),
    path("logout", auth.LogoutView.as_view(), name="logout"),
    path("tenant", runs.choose_tenant, name="tenant"),
]
