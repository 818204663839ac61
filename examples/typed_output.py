"""Ask for a value of a type instead of text.

$ python examples/typed_output.py
Hello Ann, how can I help?
Tokyo: 22.0 °C, sunny
raw: {"city": "Tokyo", "temp_c": 22, "conditions": "sunny"}
"""

import asyncio
import os
import sys

from pydantic import BaseModel

from loom import Agent, ScriptedModel, ScriptedTurn

MODEL = os.environ.get("LOOM_MODEL")
SCRIPT = [
    ScriptedTurn("Hello Ann, how can I help?"),
    ScriptedTurn('```json\n{"city": "Tokyo", "temp_c": 22, "conditions": "sunny"}\n```'),
]


class WeatherReport(BaseModel):
    city: str
    temp_c: float
    conditions: str


async def main(model: str | None = MODEL) -> WeatherReport:
    agent = Agent("Be precise.", model=model or ScriptedModel(SCRIPT))

    greeting = await agent.run("Hello, I am Ann.", user_id="ann")
    print(greeting.output)

    result = await agent.run(
        "Extract: it is sunny in Tokyo, 22 degrees, with a light wind.",
        user_id="ann",
        session_id="weather",
        output_schema=WeatherReport,
    )
    report: WeatherReport = result.parsed
    print(f"{report.city}: {report.temp_c} °C, {report.conditions}")
    print("raw:", result.output)
    return report


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
