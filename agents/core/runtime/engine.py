"""One verb: take a run from wherever its journal stops to its end.

`advance` is called on the first start, after a crash, on a decision and on a timer; it replays what the journal holds
and goes on. What it comes to is a value.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Protocol

from agents.core.ambient import Ambient
from agents.core.runtime.journal import Journal
from agents.core.runtime.written import written
from loom.errors import LoomError
from loom.events import Kind, Record

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program says in the end: the text, the typed value where there is one, and why it stopped early."""

    output: str
    parsed: Any = None
    interruption_reason: str | None = None


class Program(Protocol):
    """An agent or a workflow."""

    async def answer(self, input: Any, ambient: Ambient, *, output_schema: Any = None) -> Answer:
        """Run in these surroundings. `input` is any JSON value."""
        ...


@dataclass(frozen=True, slots=True)
class Finished:
    answer: Answer


@dataclass(frozen=True, slots=True)
class Failed:
    error: dict[str, Any]


Outcome = Finished | Failed


async def advance(
    program: Program, input: Any, ambient: Ambient, journal: Journal, *, output_schema: Any = None
) -> Outcome:
    """Run the program over its journal and write down what it came to.

    Returns when the end is on disk. Raises what the journal raises when its writes are refused, and cancellation.
    """
    outcome: Outcome
    try:
        answer = await program.answer(input, ambient, output_schema=output_schema)
    except LoomError as error:
        return await fail(error, journal)
    except Exception as error:
        log.exception("run %s failed", ambient.context.run_id)
        outcome = Failed({"type": type(error).__name__, "code": "internal", "message": str(error), "retryable": False})
    else:
        outcome = Finished(answer)
    journal.post(_record_of(outcome))
    await journal.flush()
    return outcome


async def fail(error: LoomError, journal: Journal) -> Failed:
    """End a run with an error that can be named."""
    outcome = Failed(describe(error))
    journal.post(_record_of(outcome))
    await journal.flush()
    return outcome


def describe(error: LoomError) -> dict[str, Any]:
    """An error as clients see it."""
    facts = {key: value for key, value in written(error.facts).items() if key not in _SAID}
    said = (type(error).__name__, error.code, str(error), error.retryable)
    return {**facts, **dict(zip(_SAID, said, strict=True))}


_SAID = ("type", "code", "message", "retryable")


def _record_of(outcome: Outcome) -> Record:
    if isinstance(outcome, Failed):
        return Record(kind=Kind.RUN_FAILED, data={"error": outcome.error})
    answer = outcome.answer
    data = {"output": answer.output, "parsed": written(answer.parsed)}
    if answer.interruption_reason:
        data["interruption_reason"] = answer.interruption_reason
    return Record(kind=Kind.RUN_SUCCEEDED, data=data)
