"""A model's server for the measurements, in its own process: `python -m bench.openai_stub [SECONDS]` prints its URL.

It asks for the tool once and answers when it has the result; with SECONDS it just answers, after so many.
"""

from __future__ import annotations

import sys
from typing import Any

from tests.fake_openai import FakeOpenAI, Says


def answer(asked: dict[str, Any]) -> Says:
    if asked["messages"][-1]["role"] == "tool":
        return Says("It is sunny in Paris and the temperature is twenty degrees")
    return Says(calls=(("call_1", "weather", {"city": "Paris"}),))


def main() -> None:
    script = Says("It is sunny.", delay_seconds=float(sys.argv[1])) if len(sys.argv) > 1 else answer
    with FakeOpenAI(script) as fake:
        print(fake.url, flush=True)
        for _ in sys.stdin:  # until who asked for it goes away
            fake.play(script)


if __name__ == "__main__":
    main()
