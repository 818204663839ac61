"""The working blocks of users, held in this process."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from loom.errors import ConfigError
from memory.core.values import MemoryBlock

log = logging.getLogger(__name__)


class Blocks:
    """Blocks by user, the one idle for longest first: that end is dropped, so an access costs the same for any size."""

    def __init__(self, *, max_users: int | None, idle_seconds: float | None, clock: Callable[[], float]) -> None:
        if max_users is not None and max_users < 1:
            raise ConfigError(f"max_users is {max_users}: keep blocks for at least one user, or None for no limit")
        self._max_users, self._idle_seconds, self._clock = max_users, idle_seconds, clock
        self._users: OrderedDict[str | None, dict[str, MemoryBlock]] = OrderedDict()
        self._seen: dict[str | None, float] = {}

    def of(self, user_id: str | None, *, create: bool = False) -> dict[str, MemoryBlock]:
        """The user's blocks; with `create` those that are kept, to write to."""
        self._drop_idle()
        if user_id not in self._users and not create:
            return {}
        blocks = self._users.setdefault(user_id, {})
        self._users.move_to_end(user_id)
        self._seen[user_id] = self._clock()
        while self._max_users is not None and len(self._users) > self._max_users:
            self._drop_oldest()
        return blocks

    def forget(self, user_id: str | None, before: datetime | None) -> None:
        blocks = self._users.get(user_id, {})
        for name in [name for name, block in blocks.items() if before is None or block.updated_at < before]:
            del blocks[name]
        if not blocks:
            self._users.pop(user_id, None)
            self._seen.pop(user_id, None)

    def snapshot(self) -> dict[str | None, dict[str, MemoryBlock]]:
        return {user_id: dict(blocks) for user_id, blocks in self._users.items()}

    def _drop_idle(self) -> None:
        if self._idle_seconds is None or not self._users:
            return
        oldest = self._clock() - self._idle_seconds
        while self._users and self._seen[next(iter(self._users))] < oldest:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        user_id, blocks = self._users.popitem(last=False)
        del self._seen[user_id]
        log.warning("dropped %d blocks of a user from process memory", len(blocks))
