import subprocess
import sys
from typing import Any

import pytest

from agents.core.llm import local_engine
from agents.core.llm.echo import EchoModel
from agents.core.llm.resolver import resolve_model
from loom.errors import ConfigError, TransientModelError
from loom.messages import Message, Role

KEYS = ("GEMINI_API_KEY", "MISTRAL_API_KEY", "GROQ_API_KEY", "DEEPSEEK_API_KEY", "XAI_API_KEY", "COHERE_API_KEY")


class Secrets:
    def __init__(self, **known: str) -> None:
        self.known = known

    def lookup_sync(self, ref: str) -> str | None:
        return self.known.get(ref)


@pytest.fixture(autouse=True)
def _no_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (*KEYS, "OPENROUTER_API_KEY"):
        monkeypatch.delenv(key, raising=False)


def kind_and_name(spec: Any, **options: Any) -> tuple[str, str]:
    model, _ = resolve_model(spec, **options)
    return type(model).__name__, model.name


@pytest.mark.parametrize("name", ["claude-opus-4-7", "claude-3-5-haiku-latest"])
def test_claude_names_are_anthropic(name: str) -> None:
    assert kind_and_name(name) == ("AnthropicModel", name)


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4o",
        "gpt-4.1-mini",
        "gpt-5",
        "gpt-5.4-nano",
        "chatgpt-4o-latest",
        "o1",
        "o3",
        "o4-mini",
        "o3-pro",
        "ft:gpt-4o:x",
    ],
)
def test_gpt_and_o_names_are_openai_with_and_without_a_suffix(name: str) -> None:
    assert kind_and_name(name) == ("OpenAIModel", name)


def test_a_provider_that_we_speak_to_ourselves_may_be_named() -> None:
    assert kind_and_name("openai/llama3") == ("OpenAIModel", "llama3")
    assert kind_and_name("anthropic/claude-opus-4-7") == ("AnthropicModel", "claude-opus-4-7")


@pytest.mark.parametrize(
    "name",
    [
        "mistral-large-latest",
        "command-r",
        "command-a-03-2025",
        "gemini-2.5-pro",
        "deepseek-chat",
        "grok-4",
        "qwen3-max",
        "azure/gpt-4o",
        "bedrock/x",
        "vertex_ai/y",
        "ollama/llama3",
        "groq/z",
        "together_ai/a/b",
        "replicate/m",
        "gemini/g",
    ],
)
def test_other_providers_go_through_litellm_under_their_own_name(name: str) -> None:
    assert kind_and_name(name) == ("LiteLLMModel", name)


async def test_a_family_of_models_uses_the_secret_of_its_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    class Recorder:
        async def acompletion(self, **request: Any) -> None:
            asked.append(request)
            raise TransientModelError("enough")

    asked: list[dict[str, Any]] = []
    monkeypatch.setattr("agents.core.llm.litellm.load_litellm", Recorder)
    model, _ = resolve_model("mistral-large-latest", secrets=Secrets(MISTRAL_API_KEY="of the tenant"))

    with pytest.raises(TransientModelError):
        await model.complete([Message(role=Role.USER, content="hello")])  # type: ignore[attr-defined]

    (request,) = asked
    assert request["api_key"] == "of the tenant"
    assert (request["model"], request["custom_llm_provider"]) == ("mistral-large-latest", "mistral")


def test_the_litellm_prefix_is_stripped() -> None:
    assert kind_and_name("litellm/some/model") == ("LiteLLMModel", "some/model")


def test_echo_and_local_are_built_in() -> None:
    assert kind_and_name("echo") == ("EchoModel", "echo")
    if local_engine.is_installed():
        assert kind_and_name("local") == ("LocalModel", "local")


def test_a_model_is_returned_as_it_is() -> None:
    model = EchoModel()

    assert resolve_model(model) == (model, {})


def test_a_mapping_names_the_model_and_its_options() -> None:
    model, options = resolve_model({"name": "gpt-5", "effort": "high", "strict_effort": True})

    assert model.name == "gpt-5"
    assert options == {"effort": "high", "strict_effort": True}
    assert kind_and_name({"model": "echo"}) == ("EchoModel", "echo")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (None, "needs a model"),
        ({}, "exactly one of"),
        ({"name": "echo", "model": "echo"}, "exactly one of"),
        ({"name": "echo", "efort": "low"}, "did you mean 'effort'"),
        ({"name": "echo", "effort": "extreme"}, "effort is one of"),
        (42, "not int"),
        ("gtp-4o", "did you mean 'gpt-4o'"),
        ("cluade-opus-4-7", "did you mean 'claude-opus-4-7'"),
        ("olama/llama3", "did you mean 'ollama/llama3'"),
        ("ollama/", "no model 'ollama/'"),
        ("openai_like/x", "no model 'openai_like/x'"),
        ("", "no model ''"),
        ("zzz", "ollama/"),
    ],
)
def test_what_is_no_model_is_refused_with_what_was_meant(spec: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_model(spec)


def test_auto_is_the_model_of_the_environment_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_MODEL", "gpt-4o")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")

    assert kind_and_name("auto") == ("OpenAIModel", "gpt-4o")


def test_auto_is_the_first_provider_whose_key_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert kind_and_name("auto")[0] == "OpenAIModel"

    assert kind_and_name("auto", secrets=Secrets(ANTHROPIC_API_KEY="k"))[0] == "AnthropicModel"


def test_auto_without_a_key_is_local_where_its_wheels_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_engine, "weights", lambda: "/somewhere.gguf")

    assert kind_and_name("auto") == ("LocalModel", "local")


def test_auto_with_nothing_at_all_is_the_echo_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_engine, "is_installed", lambda: False)

    with pytest.warns(UserWarning, match="only repeats what it hears"):
        assert kind_and_name("auto") == ("FittingEcho", "echo")


def test_auto_is_an_echo_that_fills_typed_outputs_where_the_environment_asks_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOOM_MODEL", "echo")

    assert kind_and_name("auto") == ("FittingEcho", "echo")


def test_a_loom_model_that_says_auto_does_not_go_in_circles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOM_MODEL", "auto")
    monkeypatch.setenv("OPENAI_API_KEY", "k")

    assert kind_and_name("auto")[0] == "OpenAIModel"


def test_resolving_loads_no_client() -> None:
    code = (
        "import sys; from agents.core.llm.resolver import resolve_model\n"
        "for name in ('claude-opus-4-7', 'gpt-4o', 'gemini-2.5-pro', 'echo'): resolve_model(name)\n"
        "clients = {'openai', 'anthropic', 'litellm', 'xllamacpp', 'django'}\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & clients))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
