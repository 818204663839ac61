"""Something that is made when it is first needed, and once, however many need it at the same moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

import anyio
from anyio.lowlevel import current_token

T = TypeVar("T")


class Once(Generic[T]):
    """What `make` gives, made when it is first asked for: one for each event loop, since connections belong to one.

    Who asks while it is being made waits for the same attempt and shares its failure; who asks next tries again.
    """

    def __init__(self, make: Callable[[], Awaitable[T]]) -> None:
        self._make = make
        self._places: WeakKeyDictionary[object, _Place[T]] = WeakKeyDictionary()

    @property
    def value(self) -> T | None:
        """What is there for this event loop. None before it is made, and outside of event loops."""
        try:
            return self._place().value
        except anyio.NoEventLoopError:
            return None

    async def get(self) -> T:
        """Raises what `make` raises."""
        place = self._place()
        while place.value is None:
            if place.attempt is None:
                await self._attempt(place)
            else:
                await place.attempt.outcome()
        return place.value

    async def take(self) -> T | None:
        """What is there, which is then no longer here: the next `get` makes another."""
        place = self._place()
        while place.attempt is not None:
            await place.attempt.ended.wait()
        value, place.value = place.value, None
        return value

    def _place(self) -> _Place[T]:
        return self._places.setdefault(current_token().native_token, _Place())

    async def _attempt(self, place: _Place[T]) -> None:
        attempt = place.attempt = _Attempt()
        try:
            place.value = await self._make()
        except Exception as error:
            attempt.error = error
            raise
        finally:  # when this task was cancelled, another one tries
            place.attempt = None
            attempt.ended.set()


class _Attempt:
    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.error: Exception | None = None

    async def outcome(self) -> None:
        await self.ended.wait()
        if self.error is not None:
            raise self.error


class _Place(Generic[T]):
    """What belongs to one event loop."""

    def __init__(self) -> None:
        self.value: T | None = None
        self.attempt: _Attempt | None = None
