"""Where keys come from, and that texts do not show them."""

from __future__ import annotations

import pytest

from governance.core.secrets import DictSecrets, EnvSecrets, Secrets


async def test_secrets_in_memory_are_stored_found_and_masked() -> None:
    secrets = DictSecrets({"OPENAI_API_KEY": "correct horse"})
    await secrets.store("OTHER", "correct horse battery")

    assert isinstance(secrets, Secrets)
    assert await secrets.resolve("OPENAI_API_KEY") == "correct horse"
    assert secrets.lookup_sync("OTHER") == "correct horse battery"
    assert secrets.lookup_sync("MISSING") is None
    assert secrets.redact("say correct horse battery, correct horse") == "say [REDACTED], [REDACTED]"
    assert "horse" not in repr(secrets)


async def test_a_missing_secret_is_a_key_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOM_TEST_KEY", raising=False)

    for secrets in (DictSecrets(), EnvSecrets()):
        with pytest.raises(KeyError, match="LOOM_TEST_KEY"):
            await secrets.resolve("LOOM_TEST_KEY")


async def test_the_environment_is_read_when_asked_and_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = EnvSecrets()
    monkeypatch.setenv("LOOM_TEST_KEY", "correct horse")

    assert await secrets.resolve("LOOM_TEST_KEY") == "correct horse"
    assert secrets.redact("say correct horse") == "say [REDACTED]"
    with pytest.raises(NotImplementedError, match="LOOM_TEST_KEY"):
        await secrets.store("LOOM_TEST_KEY", "x")


@pytest.mark.parametrize(
    "key",
    [
        "sk-abcdefghijklmnop",
        "sk-ant-api03-abcdefghijkl",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrstuvwxyz012345",
    ],
)
def test_keys_of_known_shapes_are_masked_although_nobody_stored_them(key: str) -> None:
    for secrets in (DictSecrets(), EnvSecrets()):
        assert secrets.redact(f"my key is {key}, keep it") == "my key is [REDACTED], keep it"


def test_a_short_value_does_not_tear_holes_into_words() -> None:
    assert DictSecrets({"PIN": "at"}).redact("what a cat") == "what a cat"
