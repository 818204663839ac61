"""The processes that advance runs."""

from __future__ import annotations

from django.db import models


class Worker(models.Model):
    """A worker process as it said of itself when it last renewed its leases. Of no tenant: it works for all of them."""

    owner = models.CharField(max_length=100, primary_key=True)  # as in the leases of its runs
    version = models.CharField(max_length=50)
    capacity = models.PositiveIntegerField()
    held = models.PositiveIntegerField()  # the runs of all tenants, so none of theirs to see
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.owner
