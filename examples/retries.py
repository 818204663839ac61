"""A model that fails for a moment is asked again; one that fails for good is not.

    $ python examples/retries.py
    default: 3 attempts; aggressive: 6 attempts; disabled: off
    third time lucky, after 3 calls
    AuthenticationError: wrong key, after 1 call
    RateLimitError: slow down, after 1 call: retries are off

OpenAI, Anthropic and LiteLLM models have the default policy without a word. A model of your own has the one you name.
"""

import asyncio
import os
import sys

from loom import Agent, Message, ScriptedModel, ScriptedTurn
from loom.core import AuthenticationError, ModelError, RateLimitError, TransientModelError
from loom.governance import RetryPolicy

MODEL = os.environ.get("LOOM_MODEL")


def failing(*errors: ModelError) -> ScriptedModel:
    """A model that raises these, one a call, and then answers."""

    def fail(error: ModelError):
        def turn(messages: list[Message]) -> ScriptedTurn:
            raise error

        return turn

    return ScriptedModel([*map(fail, errors), ScriptedTurn("third time lucky"), *[ScriptedTurn("again")] * 9])


async def main(model: str | None = MODEL) -> str:
    policies = {"default": RetryPolicy(), "aggressive": RetryPolicy.aggressive(), "disabled": RetryPolicy.disabled()}
    print("; ".join(f"{n}: {f'{p.max_attempts} attempts' if p.is_enabled() else 'off'}" for n, p in policies.items()))

    quick = RetryPolicy(max_attempts=4, initial_delay_s=0.01, max_delay_s=15.0)
    flaky = failing(TransientModelError("connection lost"), RateLimitError("slow down", retry_after=0.05))
    result = await Agent("Answer.", model=flaky, retry_policy=quick).run("Hello?")
    print(f"{result.output}, after {12 - flaky.remaining} calls")

    wrong_key = failing(AuthenticationError("wrong key"))
    try:
        await Agent("Answer.", model=wrong_key, retry_policy=quick).run("Hello?")
    except AuthenticationError as error:
        print(f"{type(error).__name__}: {error}, after 1 call")

    busy = failing(RateLimitError("slow down"))
    try:
        await Agent("Answer.", model=busy, retry_policy=RetryPolicy.disabled()).run("Hello?")
    except RateLimitError as error:
        print(f"{type(error).__name__}: {error}, after 1 call: retries are off")

    if model:
        await Agent("Answer.", model=model, retry_policy=RetryPolicy.aggressive()).run("Hello?")
    return result.output


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
