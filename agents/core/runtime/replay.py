"""Replaying a run that has ended against the code of now: does it still take the same steps?

Models and tools are not called: each step is given what it came to then. So a history that is kept beside the tests
finds out whether runs that wait in production would go on after the next deployment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from agents.core.ambient import Ambient
from agents.core.runtime import engine
from agents.core.runtime.journal import JournalSession
from loom.context import RunContext
from loom.errors import NonDeterminism
from loom.events import Kind, Record
from loom.messages import FROZEN


class History(BaseModel):
    """A run as its journal tells it. `steps` is the order in which a replay took them, where that was recorded."""

    model_config = FROZEN

    user_id: str | None = None
    session_id: str
    run_id: str
    input: Any
    records: tuple[Record, ...]
    steps: tuple[str, ...] = ()

    @property
    def context(self) -> RunContext:
        return RunContext(self.user_id, self.session_id, self.run_id)

    @property
    def end(self) -> Record:
        return next(record for record in reversed(self.records) if record.kind in Kind.TERMINAL)


async def record(program: engine.Program, input: Any, context: RunContext, *, output_schema: Any = None) -> History:
    """Run the program, for once with its models and tools, and keep what happened."""
    journal = _Pages()
    session = JournalSession(context.session_id or "", journal)
    await engine.advance(program, input, Ambient(context, runtime=session), journal, output_schema=output_schema)
    history = History(
        user_id=context.user_id,
        session_id=session.id,
        run_id=context.run_id,
        input=input,
        records=tuple(journal.records),
    )
    return history.model_copy(update={"steps": await replay(program, history, output_schema=output_schema)})


async def replay(program: engine.Program, history: History, *, output_schema: Any = None) -> tuple[str, ...]:
    """Take the steps of a history again; the order in which they came.

    Raises NonDeterminism, with the step's name, for the first one that is another, comes in another place, is new, or
    is not taken any more; and when the run comes to another end.
    """
    session = _Replay(history)
    await engine.advance(
        program, history.input, Ambient(history.context, runtime=session), session.pages, output_schema=output_schema
    )
    if session.objection is not None:
        raise session.objection
    if missing := [name for name in session.known if name not in session.taken and name not in session.asked]:
        raise NonDeterminism(f"step {missing[0]!r} is not taken any more", step_key=missing[0])
    end = session.pages.records[-1]
    if (end.kind, end.data) != (history.end.kind, history.end.data):
        raise NonDeterminism(f"the run ended with {history.end.data} and ends with {end.data}")
    return tuple(session.taken)


class _Pages:
    """A journal that nobody else reads."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def post(self, record: Record) -> None:
        self.records.append(Record.model_validate_json(record.model_dump_json()))

    async def flush(self) -> None:
        """Nothing is under way."""


class _Replay(JournalSession):
    """Gives back what was recorded and runs nothing. Who swallows its objection does not hide it."""

    def __init__(self, history: History) -> None:
        self.pages = _Pages()
        super().__init__(history.session_id, self.pages, history.records)
        self.known = tuple(self._completed)
        self.taken: dict[str, None] = {}
        self.objection: NonDeterminism | None = None
        self.asked: set[str] = set()
        self._order: Sequence[str] = history.steps

    def is_recorded(self, name: str) -> bool:
        self.asked.add(name)  # a failed try is not taken again, but seen to have been
        return super().is_recorded(name)

    def _check(self, name: str, intent: dict[str, Any]) -> None:
        self._refuse_unless_next(name)
        try:
            super()._check(name, intent)
        except NonDeterminism as error:
            raise self._object(error) from None
        self.taken[name] = None

    def _refuse_unless_next(self, name: str) -> None:
        if self.objection is not None:
            raise self.objection
        if name not in self._completed:
            raise self._object(
                NonDeterminism(f"step {name!r} is new: the history has none of this name", step_key=name)
            )
        place = len(self.taken)
        if name not in self.taken and self._order and self._order[place] != name:
            said = f"step {name!r} comes where {self._order[place]!r} was taken: the order of the steps has changed"
            raise self._object(NonDeterminism(said, step_key=name))

    def _object(self, error: NonDeterminism) -> NonDeterminism:
        self.objection = self.objection or error
        return error
