"""How a process hears the channel layer: once per group, whoever listens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import anyio
import redis
from channels.layers import get_channel_layer

RETRY_SECONDS = 3.0
# While it is subscribed to nothing, channels-redis 4.3 looks for messages ten times a second, and who comes first waits
# for that. So each loop that has ever listened stays in a group in which nobody speaks.
_SILENCE = "silence"

log = logging.getLogger(__name__)

Hear = Callable[[dict[str, Any] | None], None]


class Ear:
    """A group of the channel layer as this process hears it, for as long as somebody listens.

    Listeners get each message, and None when some may have been missed.
    """

    def __init__(self, group: str) -> None:
        self._group = group
        self._listeners: list[Hear] = []
        self.listening = asyncio.Event()  # what is said from now on is heard
        self.loop = asyncio.get_running_loop()
        # In no task group: it outlives the listener that came first. And by no anyio cancellation, which is given again
        # at each `await`, so that the layer could not take back its subscription.
        self._listening = self.loop.create_task(self._listen())

    def join(self, hear: Hear) -> None:
        self._listeners.append(hear)

    def leave(self, hear: Hear) -> None:
        self._listeners.remove(hear)
        if not self._listeners:
            self._listening.cancel()
            _ears[self.loop].pop(self._group, None)

    async def _listen(self) -> None:
        layer = get_channel_layer()
        while True:
            try:
                channel = await layer.new_channel()
                try:
                    await layer.group_add(self._group, channel)
                    self.listening.set()
                    self._tell(None)
                    while True:
                        self._tell(await layer.receive(channel))
                finally:
                    self.listening.clear()
                    await layer.group_discard(self._group, channel)
            except (redis.RedisError, OSError) as error:
                log.warning("no nudges for %s, its watchers look now and then: %s", self._group, error)
                await anyio.sleep(RETRY_SECONDS)

    def _tell(self, message: dict[str, Any] | None) -> None:
        for hear in tuple(self._listeners):
            hear(message)


_ears: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Ear]] = WeakKeyDictionary()


def lend_ear(group: str, hear: Hear) -> Ear:
    ears = _ears.setdefault(asyncio.get_running_loop(), {})
    if not ears:
        ears[_SILENCE] = Ear(_SILENCE)
    ear = ears.get(group) or ears.setdefault(group, Ear(group))
    ear.join(hear)
    return ear
