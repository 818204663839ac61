"""Pages that belong to no room: health, metrics, and what is said when something is missing or breaks."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import redis
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import DatabaseError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from django.views.decorators.http import require_safe

from agents.models import Run
from governance import tenancy
from loom.errors import Unavailable
from loomsite.api import failure

log = logging.getLogger(__name__)


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers. Says nothing about what it needs: a restart would not bring that back."""
    return HttpResponse("ok", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether requests can be served, and what is in the way."""
    states = {name: _state(name, look) for name, look in DEPENDENCIES.items()}
    ready = all(state == "ok" for state in states.values())
    return JsonResponse({"status": "ready" if ready else "unavailable", "checks": states}, status=200 if ready else 503)


def _state(name: str, look: Callable[[], None]) -> str:
    try:
        look()
    except Unavailable as error:
        return str(error)
    except (DatabaseError, redis.RedisError, OSError) as error:
        log.warning("%s is not ready: %s", name, error)
        return "unreachable"
    return "ok"


def _look_at_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _look_at_redis() -> None:
    with redis.Redis.from_url(settings.LOOM.redis_url, socket_connect_timeout=0.5, socket_timeout=0.5) as client:
        client.ping()


_migrated = False  # no process sees migrations go away


def _look_at_migrations() -> None:
    global _migrated
    if not _migrated:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            raise Unavailable("migrations are missing: run `manage.py migrate --database owner`")
        _migrated = True


DEPENDENCIES = {"database": _look_at_database, "redis": _look_at_redis, "migrations": _look_at_migrations}


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """What an operator watches, in Prometheus' text format."""
    with tenancy.scheduler_scope():
        busy = {status: Run.objects.filter(status=status).count() for status in ("queued", "running", "cancelling")}
    lines = ["# HELP loom_runs Runs that are not over, by status.", "# TYPE loom_runs gauge"]
    lines += [f'loom_runs{{status="{status}"}} {count}' for status, count in busy.items()]
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4; charset=utf-8")


def server_error(request: HttpRequest) -> HttpResponse:
    """What is left when nobody else caught it, such as a database that is away before the view begins."""
    error = sys.exception()
    if request.path.startswith("/api/"):
        return failure(request, error)
    if isinstance(error, OperationalError):
        return HttpResponse("The database cannot be reached; try again in a moment.", status=503)
    return defaults.server_error(request)
