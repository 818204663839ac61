"""A model by its name, by a description, or as an object. Nothing is asked here, so no key is needed.

$ python examples/model_names.py
claude-opus-4-7: AnthropicModel
gpt-4.1-mini: OpenAIModel
mistral-large: LiteLLMModel
command-r-plus: LiteLLMModel
litellm/groq/llama-3.3-70b: LiteLLMModel
echo: EchoModel
high effort from a description: OpenAIModel, high
an object: OpenAIModel at a URL of ours
You said: hello
ConfigError: an agent needs a model: ...
ConfigError: no model 'klaude': ...
"""

import asyncio
import os
import sys

from loom import Agent, ConfigError, EchoModel
from loom.model.openai import OpenAIModel
from loom.security import DictSecrets

MODEL = os.environ.get("LOOM_MODEL")
NAMES = ("claude-opus-4-7", "gpt-4.1-mini", "mistral-large", "command-r-plus", "litellm/groq/llama-3.3-70b", "echo")
KEYS = DictSecrets(dict.fromkeys(("ANTHROPIC_API_KEY", "OPENAI_API_KEY"), "not-a-real-key"))


async def main(model: str | None = MODEL) -> list[str]:
    for name in [*NAMES, *([model] if model else [])]:
        print(f"{name}: {type(Agent('Answer.', model=name, secrets=KEYS).model).__name__}")

    thinking = Agent("Answer.", model={"name": "gpt-5", "effort": "high"}, secrets=KEYS)
    print(f"high effort from a description: {type(thinking.model).__name__}, {thinking.effort}")

    own = OpenAIModel("gpt-4o", base_url="http://127.0.0.1:8000/v1", api_key="not-a-real-key")
    print(f"an object: {type(Agent('Answer.', model=own).model).__name__} at a URL of ours")
    echo = await Agent("Answer.", model=EchoModel(prefix="You said: ")).run("hello")
    print(echo.output)

    errors = []
    for spec in (None, "klaude"):
        try:
            Agent("Answer.", model=spec)
        except ConfigError as error:
            errors.append(str(error))
            print(f"ConfigError: {error}")
    return errors


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
