"""What this room does when another announces something. It writes in the announcer's transaction."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from agents import services
from governance.models import Approval
from governance.signals import approval_decided


@receiver(approval_decided, dispatch_uid="agents.take_decision")
def take_decision(approval: Approval, said: dict[str, Any], **kwargs: Any) -> None:
    services.take_decision(approval, said)
