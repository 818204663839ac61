"""One verb: take a run from wherever its journal stops to its end.

`advance` is called on the first start, after a crash, on a decision and on a timer; it replays what the journal holds
and goes on. What it comes to is a value. `unwind` ends a run that is cancelled.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, assert_never

from agents.core.ambient import Ambient
from agents.core.runtime.journal import Journal
from agents.core.runtime.suspended import Suspended
from agents.core.runtime.unwinding import UnwindingSession
from agents.core.runtime.written import storable, written
from loom.errors import Interrupted, LoomError
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


@dataclass(frozen=True, slots=True)
class Waiting:
    """The run goes on when its open questions are answered, or at a time."""

    steps: tuple[str, ...]
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody ended the run. `undone` and `not_undone` are the steps that were to be compensated."""

    undone: tuple[str, ...] = ()
    not_undone: tuple[str, ...] = ()


Outcome = Finished | Waiting | Failed | Cancelled


async def advance(
    program: Program, input: Any, ambient: Ambient, journal: Journal, *, output_schema: Any = None
) -> Outcome:
    """Run the program over its journal and write down what it came to.

    Returns when the end or the wait is on disk. Raises Interrupted, what the journal raises when its writes are
    refused, and cancellation.
    """
    outcome: Outcome
    try:
        answer = await program.answer(input, ambient, output_schema=output_schema)
    except Suspended as wait:
        outcome = Waiting(wait.steps, wait.until)
    except Interrupted:
        raise
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


async def unwind(
    program: Program | None, input: Any, ambient: Ambient, session: UnwindingSession, journal: Journal
) -> Cancelled:
    """End a cancelled run; with its program, undo first what its tools did and can undo, the last first.

    What cannot be undone is told, and keeps nothing from being cancelled. Doing it again undoes nothing twice.
    """
    undone, not_undone = list[str](), list[str]()
    if program is not None:
        await _look_back(program, input, ambient)
        for effect in session.effects():
            (undone if await session.undo(effect) else not_undone).append(effect.step)
    outcome = Cancelled(tuple(undone), tuple(not_undone))
    journal.post(_record_of(outcome))
    await journal.flush()
    return outcome


async def _look_back(program: Program, input: Any, ambient: Ambient) -> None:
    """Replay the run as far as its journal goes, so that its session learns which tools have done what."""
    try:
        await program.answer(input, ambient)
    except Suspended:
        return
    except Exception:
        log.exception("run %s cannot be replayed to its end; what came after is not undone", ambient.context.run_id)


def describe(error: LoomError) -> dict[str, Any]:
    """An error as clients see it."""
    facts = {key: value for key, value in written(error.facts).items() if key not in _SAID}
    said = (type(error).__name__, error.code, str(error), error.retryable)
    return {**facts, **dict(zip(_SAID, said, strict=True))}


_SAID = ("type", "code", "message", "retryable")


def _record_of(outcome: Outcome) -> Record:
    kind, data = _told(outcome)
    return Record(kind=kind, data=storable(data))


def _told(outcome: Outcome) -> tuple[str, dict[str, Any]]:
    match outcome:
        case Finished(answer):
            reason = {"interruption_reason": answer.interruption_reason} if answer.interruption_reason else {}
            return Kind.RUN_SUCCEEDED, {"output": answer.output, "parsed": written(answer.parsed), **reason}
        case Waiting(steps, until):
            return Kind.RUN_WAITING, {"steps": list(steps), "until": written(until)}
        case Failed(error):
            return Kind.RUN_FAILED, {"error": error}
        case Cancelled(undone, not_undone):
            return Kind.RUN_CANCELLED, {"undone": list(undone), "not_undone": list(not_undone)}
        case _:
            assert_never(outcome)
