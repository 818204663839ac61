"""Which worker processes there are: each says so as often as it renews its leases."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from agents.models import Worker
from loom import __version__

FORGOTTEN_AFTER = timedelta(days=1)


@transaction.atomic
def report_worker(*, owner: str, held: int, capacity: int) -> None:
    """Say that a worker lives, and forget those that have not been heard of for a day."""
    told = {"held": held, "capacity": capacity, "version": __version__, "seen_at": Now()}
    if not Worker.objects.filter(owner=owner).update(**told):
        Worker.objects.create(owner=owner, started_at=Now(), **told)
        Worker.objects.filter(seen_at__lt=Now() - FORGOTTEN_AFTER).delete()


def forget_worker(*, owner: str) -> None:
    """A worker has ended in order."""
    Worker.objects.filter(owner=owner).delete()
