"""Names of background jobs, and how to ask for them."""

from __future__ import annotations

import logging

from celery import current_app
from kombu.exceptions import OperationalError

WAKE = "agents.wake"

log = logging.getLogger(__name__)


def wake_workers() -> None:
    """Tell a worker to look for work. Losing this message costs latency, never a run."""
    try:
        current_app.signature(WAKE).apply_async(ignore_result=True, retry=False)
    except OperationalError as error:
        log.warning("the broker is down, the run waits for the next rescue: %s", error)
