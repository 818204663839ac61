from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings

from agents.core import faults


class AgentsConfig(AppConfig):
    name = "agents"

    def ready(self) -> None:
        from agents import receivers  # noqa: F401  # from now on they listen

        faults.arm(settings.LOOM.fault)
