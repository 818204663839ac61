"""How a run is brought to rest: the steps in hand are finished, and no other is begun."""

from __future__ import annotations

import anyio


class Brake:
    """One run's. `in_hand` is how many of its steps are under way."""

    def __init__(self) -> None:
        self.in_hand = 0
        self._pulled = False

    def pull(self) -> None:
        """Let no further step begin."""
        self._pulled = True

    async def enter(self) -> None:
        """A step is to begin. It waits for ever when it may not; somebody else goes on with the run."""
        if self._pulled:
            await anyio.sleep_forever()
        self.in_hand += 1

    def leave(self) -> None:
        self.in_hand -= 1
