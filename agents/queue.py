"""Names of background jobs, and how to ask for them."""

from __future__ import annotations

import logging
from functools import cache

import redis
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

from agents.core import faults

WAKE = "agents.wake"
TICK = "agents.tick"
RETENTION = "agents.retention"

_PENDING = "loom:wake"
_PENDING_MILLISECONDS = 1000

log = logging.getLogger(__name__)


def wake_workers() -> None:
    """Tell a worker to look for work. Losing this message costs latency, never a run."""
    try:
        faults.reach("in_on_commit")
        # One wake-up on its way is enough for all who have committed before it is taken.
        if not _client().set(_PENDING, 1, nx=True, px=_PENDING_MILLISECONDS):
            return
        current_app.signature(WAKE).apply_async(ignore_result=True, retry=False)
    except (OperationalError, redis.RedisError, faults.Fault) as error:
        log.warning("the broker is down, the run waits for the next rescue: %s", error)


def taken() -> None:
    """A wake-up has arrived: whoever commits from now on sends another. Called before looking for work, never after."""
    try:
        _client().delete(_PENDING)
    except redis.RedisError as error:
        log.warning("the next wake-ups may be held back for a second: %s", error)


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.LOOM.redis_url, socket_connect_timeout=0.5, socket_timeout=0.5)
