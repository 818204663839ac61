"""What the measured workers run besides the echo agent: a workflow that writes to its journal in an even beat."""

from __future__ import annotations

import anyio

from loom import Workflow, register

BEATS = 30
BEAT_SECONDS = 0.1


async def beat(value: object) -> object:
    await anyio.sleep(BEAT_SECONDS)
    return value


def _beating() -> Workflow:
    workflow = Workflow("bench-beats")
    for number in range(BEATS):
        workflow.add_node(f"beat{number}", beat)
        if number:
            workflow.add_edge(f"beat{number - 1}", f"beat{number}")
    return workflow.set_start("beat0")


beats = register(_beating())
