"""What people and programs did. Entries have no foreign keys: they outlive what they speak of."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


class Entry(models.Model):
    """One act, written in the transaction of the act itself."""

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    at = models.DateTimeField(db_default=Now())
    actor = models.CharField(max_length=200)
    action = models.CharField(max_length=100)
    subject = models.CharField(max_length=200)
    payload = models.JSONField(default=dict)

    grants: ClassVar[str] = "SELECT, INSERT"

    class Meta:
        verbose_name_plural = "entries"
        indexes = [models.Index(fields=["tenant_id", "-id"], name="audit_entry_newest")]

    def __str__(self) -> str:
        return f"{self.action} {self.subject}"
