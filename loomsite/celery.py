"""The Celery application. Messages are wake-ups and house-keeping: no run's fate depends on one."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loomsite.settings")

app = Celery("loom")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _leave_logging_alone(**kwargs: Any) -> None:
    """The settings say what is logged; unless somebody listens here, Celery would set the root's level to its own."""
