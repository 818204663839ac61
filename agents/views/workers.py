"""The tenant's queue, and the workers that take from it. What other tenants have there is not shown."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Min, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from agents.models import Run, Worker
from governance.auth import Principal
from governance.models import ApiKey
from governance.views.members import member_page

MOST_RUNS = 50
DEAD = "dead_letter"  # the code of `worker.DeadLetter`
_Status = Run.Status


@require_GET
@member_page
def workers(request: HttpRequest, principal: Principal) -> HttpResponse:
    """How much waits, what is under way in whose hands, and what nobody takes up any more. `?part=` is all but the
    head."""
    mine = Run.objects.of(principal.tenant)
    in_hand = (_Status.RUNNING, _Status.CANCELLING)
    held = list(mine.whole().filter(status__in=in_hand).order_by("started_at", "id")[:MOST_RUNS])
    context = _depth(mine) | {
        "held": [{"run": run, "renewed_at": _renewed_at(run)} for run in held],
        "dead": mine.whole().filter(status=_Status.FAILED, error__code=DEAD).newest_first()[:MOST_RUNS],
        "workers": _living(Counter(run.lease_owner for run in held)),
        "may_run": ApiKey.Scope.RUN in principal.scopes,
    }
    page = "console/_workers.html" if request.GET.get("part") else "console/workers.html"
    return render(request, page, context)


def _depth(mine: Any) -> dict[str, Any]:
    """How many runs there are in each state that is no end, and since when the oldest waits for a worker."""
    now = Q(not_before=None)
    counted = mine.filter(status__in=(_Status.QUEUED, _Status.RUNNING, _Status.WAITING, _Status.CANCELLING)).aggregate(
        queued=Count("pk", filter=Q(status=_Status.QUEUED) & now),
        later=Count("pk", filter=Q(status=_Status.QUEUED) & ~now),
        running=Count("pk", filter=Q(status=_Status.RUNNING)),
        waiting=Count("pk", filter=Q(status=_Status.WAITING)),
        cancelling=Count("pk", filter=Q(status=_Status.CANCELLING)),
        oldest=Min("created_at", filter=Q(status=_Status.QUEUED) & now),
    )
    return {"depth": counted}


def _renewed_at(run: Run) -> datetime | None:
    return run.lease_until - timedelta(seconds=settings.LOOM.lease_seconds) if run.lease_until else None


def _living(mine: Counter[str]) -> list[dict[str, Any]]:
    """The workers of the last day. One whose leases would have run out by now counts as gone."""
    limit = timezone.now() - timedelta(seconds=settings.LOOM.lease_seconds)
    found = Worker.objects.order_by("-seen_at", "owner")
    return [{"worker": worker, "is_alive": worker.seen_at >= limit, "mine": mine[worker.owner]} for worker in found]
