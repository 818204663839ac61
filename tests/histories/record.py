"""`python -m tests.histories.record [NAME …]`: record histories anew.

Only when a change of their steps is meant: runs that wait in production have histories like these, and a new release
cannot go on with them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from agents.core.runtime.replay import History, record
from loom.context import RunContext
from tests.histories.programs import SAMPLES

FOLDER = Path(__file__).parent


def path_of(name: str) -> Path:
    return FOLDER / f"{name}.json"


def load(name: str) -> History:
    return History.model_validate_json(path_of(name).read_text())


async def main(names: list[str]) -> None:
    for name in names or list(SAMPLES):
        sample = SAMPLES[name]
        context = RunContext("ann", f"session_{name}", f"run_{name}")
        history = await record(sample.make(), sample.input, context, output_schema=sample.output_schema)
        path_of(name).write_text(history.model_dump_json(indent=2) + "\n")
        sys.stdout.write(f"{name}: {len(history.steps)} steps, ends with {history.end.kind}\n")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1:])
