"""Erasing facts from whichever store holds them."""

from __future__ import annotations

from loom.errors import ConfigError
from memory.core.protocol import ErasableFactStore, FactStore
from memory.core.values import Episode


async def erasable(store: FactStore | None, *, user_id: str | None) -> ErasableFactStore | None:
    """The store when it has something to erase from, None when there is nothing.

    Raises ConfigError when the store holds facts of the user but cannot erase: to report success would be a lie.
    """
    if store is None or isinstance(store, ErasableFactStore):
        return store
    if not await store.query(user_id=user_id, limit=1):
        return None
    raise ConfigError(
        f"{type(store).__name__} holds facts of user {user_id!r} and has no forget(): nothing was erased; "
        "add `async forget(*, user_id, before=None, sources=None) -> int` to it",
        store=type(store).__name__,
    )


async def unlearn(episode: Episode, *, store: FactStore | None) -> None:
    """Erase what was read from an episode that was forgotten meanwhile."""
    facts = await erasable(store, user_id=episode.user_id)
    if facts is not None:
        await facts.forget(user_id=episode.user_id, sources={episode.id})
