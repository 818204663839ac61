"""What is told: that a run changed, and what its models are saying."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine, Sequence
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
GATHER_SECONDS = 1 / 50

Message = tuple[str, dict[str, Any]]  # what is said to which group of the channel layer
Work = Callable[[], Coroutine[Any, Any, None]]

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


class Nudges:
    """What a process tells the watchers of its runs: the first word and each change of a status at once, and what else
    follows closely gathered into one round trip to Redis. `start` starts a task.
    """

    def __init__(self, start: Callable[[Work], object]) -> None:
        self._start = start
        self._reached: dict[str, int] = {}
        self._changes: list[Message] = []
        self._hurry = anyio.Event()
        self._busy = False

    def add(self, tenant_id: UUID, run_id: UUID, seq: int, kind: str) -> None:
        """Tell the run's watchers that its journal reaches `seq`; and the tenant's when its status changed."""
        self._reached[run_group(tenant_id, run_id)] = seq
        if kind in _STATUS:
            self._changes.append(_change(tenant_id, run_id, _STATUS[kind]))
            self._hurry.set()
        if not self._busy:
            self._busy = True
            self._start(self._publish)

    async def _publish(self) -> None:
        try:
            while self._reached:
                messages = [_reach(group, seq) for group, seq in self._reached.items()] + self._changes
                self._reached, self._changes, self._hurry = {}, [], anyio.Event()
                await _tell(messages)
                with anyio.move_on_after(GATHER_SECONDS):
                    await self._hurry.wait()
        finally:
            self._busy = False


async def nudge(tenant_id: UUID, run_id: UUID, seq: int, kind: str) -> None:
    """Say that a run's journal reaches `seq`, by itself."""
    messages = [_reach(run_group(tenant_id, run_id), seq)]
    if kind in _STATUS:
        messages.append(_change(tenant_id, run_id, _STATUS[kind]))
    await _tell(messages)


def nudge_tenant(tenant_id: UUID, run_id: UUID, status: str) -> None:
    """From synchronous code: a run has just been accepted, or its status has changed."""
    _publish(_change(tenant_id, run_id, status))


def nudge_run(tenant_id: UUID, run_id: UUID, seq: int, status: str) -> None:
    """`nudge` from synchronous code: somebody has said something to a run."""
    _publish(_reach(run_group(tenant_id, run_id), seq))
    nudge_tenant(tenant_id, run_id, status)


def _reach(group: str, seq: int) -> Message:
    return group, {"type": "run.event", "seq": seq}


def _change(tenant_id: UUID, run_id: UUID, status: str) -> Message:
    return tenant_group(tenant_id), {"type": "run.changed", "run_id": str(run_id), "status": status}


# --- publishing -------------------------------------------------------------------------------------------------------

# As channels-redis 4.3 publishes to a group. Its own way takes a round trip for each message, one after the other, and
# from synchronous code a loop, for which a request's thread waited as long as for everything else that accepting a run
# takes.


def _wire(message: Message) -> tuple[str, bytes]:
    group, body = message
    return f"{settings.CHANNEL_PREFIX}__group__{group}", get_channel_layer().serialize(body)


def _publish(message: Message) -> None:
    try:
        _publisher().publish(*_wire(message))
    except (redis.RedisError, OSError) as error:
        log.warning("watchers are not told, they will see it on their next look: %s", error)


@cache
def _publisher() -> redis.Redis:
    url = settings.LOOM.redis_url
    return redis.Redis.from_url(url, socket_connect_timeout=TELL_SECONDS, socket_timeout=TELL_SECONDS)


async def _tell(messages: Sequence[Message]) -> None:
    """A Redis that hangs holds nobody up for long: what is lost here is seen at the next look."""
    try:
        with anyio.fail_after(TELL_SECONDS):
            async with _redis().pipeline(transaction=False) as pipeline:
                for message in messages:
                    pipeline.publish(*_wire(message))
                await pipeline.execute()
    except (redis.RedisError, OSError) as error:
        log.warning(
            "watchers are not told, they will see it on their next look: %s", str(error) or type(error).__name__
        )


class Deltas:
    """What the models of a run are saying right now: the text so far of each step, by step key."""

    def __init__(self, tenant_id: UUID, run_id: UUID) -> None:
        self._key = f"loom:t:{tenant_id}:run:{run_id}:deltas"
        self._group = run_group(tenant_id, run_id)

    async def publish(self, texts: dict[str, str]) -> None:
        """Keep the texts and nudge. Losing them loses nothing that is not in the finished message."""
        try:
            async with _redis().pipeline(transaction=False) as pipeline:
                pipeline.set(self._key, json.dumps(texts), ex=DELTA_SECONDS)
                pipeline.publish(*_wire((self._group, {"type": "run.delta"})))
                await pipeline.execute()
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
