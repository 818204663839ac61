from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings

from agents.core import faults


class AgentsConfig(AppConfig):
    name = "agents"

    def ready(self) -> None:
        faults.arm(settings.LOOM.fault)
