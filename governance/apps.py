from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


def _protect(using: str, **kwargs: Any) -> None:
    from governance import tenancy

    tenancy.protect(using)


class GovernanceConfig(AppConfig):
    name = "governance"

    def ready(self) -> None:
        post_migrate.connect(_protect, sender=self, dispatch_uid="governance.protect")
