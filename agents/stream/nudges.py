"""What is told: that a run changed, and what its models are saying."""

from __future__ import annotations

import asyncio
import json
import logging
from functools import cache
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import anyio
import redis
import redis.asyncio
from channels.layers import get_channel_layer
from django.conf import settings

from agents.models import Run
from loom.events import Kind

DELTA_SECONDS = 300
TELL_SECONDS = 0.5

_STATUS = {
    Kind.RUN_RESUMED: Run.Status.RUNNING,
    Kind.RUN_WAITING: Run.Status.WAITING,
    Kind.RUN_SUCCEEDED: Run.Status.SUCCEEDED,
    Kind.RUN_FAILED: Run.Status.FAILED,
    Kind.RUN_CANCELLED: Run.Status.CANCELLED,
}

log = logging.getLogger(__name__)


def run_group(tenant_id: UUID, run_id: UUID) -> str:
    return f"t.{tenant_id}.run.{run_id}"


def tenant_group(tenant_id: UUID) -> str:
    return f"t.{tenant_id}"


async def nudge(tenant_id: UUID, run_id: UUID, seq: int, kind: str) -> None:
    """Tell the run's watchers that its journal reaches `seq`; and the tenant's when its status changed."""
    try:
        await _tell(run_group(tenant_id, run_id), {"type": "run.event", "seq": seq})
        if kind in _STATUS:
            message = {"type": "run.changed", "run_id": str(run_id), "status": _STATUS[kind]}
            await _tell(tenant_group(tenant_id), message)
    except (redis.RedisError, OSError) as error:
        log.warning("watchers are not told, they will see it on their next look: %s", error)


def nudge_tenant(tenant_id: UUID, run_id: UUID, status: str) -> None:
    """The same from synchronous code, for a run that has just been accepted.

    Published as channels-redis 4.3 publishes to a group: its own way is asynchronous, and waiting for a loop from a
    request's thread cost as much as everything else that accepting a run does.
    """
    _publish(tenant_group(tenant_id), {"type": "run.changed", "run_id": str(run_id), "status": status})


def nudge_run(tenant_id: UUID, run_id: UUID, seq: int, status: str) -> None:
    """`nudge` from synchronous code: somebody has said something to a run."""
    _publish(run_group(tenant_id, run_id), {"type": "run.event", "seq": seq})
    nudge_tenant(tenant_id, run_id, status)


def _publish(group: str, message: dict[str, Any]) -> None:
    try:
        channel = f"{settings.CHANNEL_PREFIX}__group__{group}"
        _publisher().publish(channel, get_channel_layer().serialize(message))
    except (redis.RedisError, OSError) as error:
        log.warning("watchers are not told, they will see it on their next look: %s", error)


@cache
def _publisher() -> redis.Redis:
    url = settings.LOOM.redis_url
    return redis.Redis.from_url(url, socket_connect_timeout=TELL_SECONDS, socket_timeout=TELL_SECONDS)


async def _tell(group: str, message: dict[str, Any]) -> None:
    """A Redis that hangs holds nobody up for long: what is lost here is seen at the next look."""
    with anyio.fail_after(TELL_SECONDS):
        await get_channel_layer().group_send(group, message)


class Deltas:
    """What the models of a run are saying right now: the text so far of each step, by step key."""

    def __init__(self, tenant_id: UUID, run_id: UUID) -> None:
        self._key = f"loom:t:{tenant_id}:run:{run_id}:deltas"
        self._group = run_group(tenant_id, run_id)

    async def publish(self, texts: dict[str, str]) -> None:
        """Keep the texts and nudge. Losing them loses nothing that is not in the finished message."""
        client = _redis()
        try:
            await client.set(self._key, json.dumps(texts), ex=DELTA_SECONDS)
            await _tell(self._group, {"type": "run.delta"})
        except (redis.RedisError, OSError) as error:
            log.debug("live text is not shown: %s", error)

    async def read(self) -> dict[str, str]:
        try:
            text = await _redis().get(self._key)
        except (redis.RedisError, OSError):
            return {}
        return json.loads(text) if text else {}

    async def clear(self) -> None:
        try:
            await _redis().delete(self._key)
        except (redis.RedisError, OSError) as error:
            log.debug("live text is not cleared, it expires: %s", error)


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()


def _redis() -> Any:
    """One client for each event loop: connections of one loop are of no use in another."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = redis.asyncio.Redis.from_url(
            settings.LOOM.redis_url, socket_connect_timeout=TELL_SECONDS, socket_timeout=TELL_SECONDS
        )
    return _clients[loop]
