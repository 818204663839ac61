from __future__ import annotations

import pytest

from memory.core.backends.vector import VectorMemory
from memory.core.embedders import HashEmbedder
from memory.core.values import Episode


class Synonyms(HashEmbedder):
    """Knows that a car is an automobile."""

    async def embed(self, text: str) -> list[float]:
        return await super().embed(text.replace("automobile", "car"))


def episode(text: str, *, user: str = "ann", **more: str) -> Episode:
    return Episode(session_id="s1", user_id=user, input=text, output="noted", **more)


async def test_an_episode_without_a_word_of_the_query_is_found_by_its_meaning() -> None:
    memory = VectorMemory(embedder=Synonyms())
    await memory.remember(episode("my car is red"))
    await memory.remember(episode("the soup is hot"))

    (found,) = await memory.recall("automobile", user_id="ann", limit=1)
    (match,) = await memory.recall_scored("automobile", user_id="ann", limit=1)

    assert found.input == match.episode.input == "my car is red"
    assert match.bm25_score is None
    assert match.vector_score is not None
    assert match.vector_score > 0.3


async def test_alpha_leaves_out_words_at_one_end_and_vectors_at_the_other() -> None:
    memory = VectorMemory(embedder=Synonyms())
    await memory.remember(episode("my car is red"))

    assert await memory.recall_scored("automobile", user_id="ann", alpha=0) == []
    (match,) = await memory.recall_scored("car", user_id="ann", alpha=1)
    assert (match.bm25_score, match.score) == (None, pytest.approx(1 / 61))


async def test_the_oldest_episodes_of_a_user_make_room_and_those_of_others_stay() -> None:
    memory = VectorMemory(max_episodes=2)
    await memory.remember(episode("of ben", user="ben"))
    for text in ("first", "second", "third"):
        await memory.remember(episode(text))

    assert [each.input for each in await memory.recall("first", user_id="ann")] == ["third", "second"]
    assert (await memory.profile(user_id="ann")).episode_count == 2
    assert (await memory.profile(user_id="ben")).episode_count == 1


async def test_an_episode_that_cannot_be_embedded_is_not_stored() -> None:
    class Broken(HashEmbedder):
        async def embed(self, text: str) -> list[float]:
            raise ConnectionError

    memory = VectorMemory(embedder=Broken())

    with pytest.raises(ConnectionError):
        await memory.remember(episode("tea"))
    assert await memory.recall("", user_id="ann") == []


def test_room_for_no_episode_is_refused() -> None:
    with pytest.raises(ValueError, match="max_episodes is at least 1"):
        VectorMemory(max_episodes=0)
