from typing import Any

import pytest

from loom.errors import ConfigError
from memory.core.backends import BACKENDS, Options
from memory.core.backends.in_memory import InMemoryMemory
from memory.core.embedders import HashEmbedder, OpenAIEmbedder
from memory.core.lazy import LazyMemory
from memory.core.protocol import ErasableFactStore
from memory.core.resolver import resolve_memory

ASKED: list[Options] = []


def build(options: Options) -> InMemoryMemory:
    """A backend as the table names them."""
    ASKED.append(options)
    return InMemoryMemory()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """What the backends are asked to build."""
    monkeypatch.setattr("memory.core.resolver._builder", lambda name: build)
    ASKED.clear()
    return ASKED


def test_none_is_plain_process_memory() -> None:
    memory = resolve_memory(None)

    assert isinstance(memory, InMemoryMemory)
    assert memory.facts is None


def test_a_memory_is_passed_through() -> None:
    memory = InMemoryMemory()

    assert resolve_memory(memory) is memory


def test_by_name_memory_gets_facts_that_are_found_by_words_when_there_is_no_key() -> None:
    memory = resolve_memory("inmemory")

    assert memory.facts.embedder is None


def test_by_name_memory_embeds_with_openai_when_there_is_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "test")

    embedder = resolve_memory("inmemory").facts.embedder

    assert isinstance(embedder, OpenAIEmbedder)
    assert embedder.name == "text-embedding-3-small"


@pytest.mark.parametrize(
    ("spec", "location"),
    [
        ("sqlite", None),
        ("sqlite:bot.db", "bot.db"),
        ("sqlite::memory:", ":memory:"),
        ("chroma:./data", "./data"),
        ("postgres://u:p@h/db", "postgres://u:p@h/db"),
        ("postgresql://h/db", "postgresql://h/db"),
        ("redis://h:1/0", "redis://h:1/0"),
        ("rediss://h:1/0", "rediss://h:1/0"),
    ],
)
def test_a_string_says_where_memory_lies(spec: str, location: str | None, asked: list[Options]) -> None:
    resolve_memory(spec)

    assert [options.location for options in asked] == [location]


def test_a_mapping_may_use_any_of_the_names_of_a_key(asked: list[Options]) -> None:
    resolve_memory({"type": "postgres", "dsn": "postgresql://h/db", "collection_name": "n", "embedder": "hash"})
    resolve_memory({"backend": "redis", "url": "redis://h", "key_prefix": "k:", "with_facts": False})

    assert (asked[0].location, asked[0].namespace) == ("postgresql://h/db", "n")
    assert isinstance(asked[0].embedder, HashEmbedder)
    assert (asked[1].key_prefix, asked[1].with_facts, asked[1].embedder) == ("k:", False, None)


def test_a_mapping_can_leave_facts_out_or_bring_an_embedder() -> None:
    embedder = HashEmbedder(4)

    assert resolve_memory({"backend": "inmemory", "with_facts": False}).facts is None
    assert resolve_memory({"backend": "inmemory", "embedder": embedder}).facts.embedder is embedder
    assert resolve_memory({"backend": "inmemory", "embedder": "openai-large"}).facts.embedder.dimensions == 3072


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "no memory ''"),
        ("  ", "no memory ''"),
        ("mongodb", "no memory 'mongodb'"),
        ("mongodb://h", "no memory"),
        ("postgres", "not part|no memory|needs"),
        ({"backend": "mongo"}, "no memory backend 'mongo'"),
        ({"path": "x"}, "no memory backend None"),
        ({"backend": "inmemory", "pathh": "x"}, "memory has no 'pathh'; did you mean 'path'"),
        ({"backend": "inmemory", "path": "x", "url": "y"}, "location twice"),
        ({"backend": "sqlite", "namespace": "acme"}, "'sqlite' has no namespace"),
        ({"backend": "inmemory", "path": "bot.db"}, "'inmemory' has no location"),
        ({"backend": "postgres", "dsn": "postgresql://h/db", "key_prefix": "k:"}, "'postgres' has no key_prefix"),
        ({"backend": "inmemory", "embedder": "bert"}, "no embedder 'bert'"),
        (object(), "object is not a memory: it has no working"),
        (42, "int is not a memory"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(spec: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_memory(spec)


def test_a_backend_that_is_not_there_yet_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "tape", "memory.core.backends.tape:build")

    with pytest.raises(ConfigError, match="the memory backend 'tape' is not part of this installation"):
        resolve_memory("tape")


def test_no_password_is_in_what_a_refusal_says() -> None:
    with pytest.raises(ConfigError, match="no memory 'postgre://ann:\\*\\*\\*@db'") as refused:
        resolve_memory("postgre://ann:secret@db")

    assert "secret" not in str(refused.value.facts)


def test_a_database_is_named_without_reaching_it() -> None:
    memory = resolve_memory("postgresql://ann:secret@nowhere.invalid/app")

    assert isinstance(memory, LazyMemory)
    assert (memory.description, memory.is_ready) == ("postgresql://ann:***@nowhere.invalid/app", False)
    assert isinstance(memory.facts, ErasableFactStore)
    assert resolve_memory({"backend": "postgres", "dsn": "host=db", "with_facts": False}).facts is None


@pytest.mark.parametrize("dsn", ["host=db secret", "postgresql://ann:secret@db:port/app?x=y"])
def test_an_address_of_a_database_that_cannot_be_read_is_refused_without_its_password(dsn: str) -> None:
    with pytest.raises(ConfigError, match="no address of a PostgreSQL database") as refused:
        resolve_memory({"backend": "postgres", "dsn": dsn})

    assert refused.value.__cause__ is None
    assert "ann:secret" not in str(refused.value)
