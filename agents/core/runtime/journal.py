"""The journal of one run, and the session that replays it.

A step writes `<kind>.started` before its effect and `<kind>.completed` after it. Writes keep their order and a step's
start is on disk before its effect begins; what follows an effect may be on its way. So whatever a crash leaves behind
is a prefix of what happened, and at most the effects in flight are in doubt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol, get_type_hints

from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from loom.errors import NonDeterminism
from loom.events import Event, Kind, Record, record_of
from loom.ids import deterministic_hash

# The last segment of a step's path says what it is: `model`, `tool:call_2`, `recall`, or any other word.
_KINDS: dict[str, tuple[str | None, str]] = {
    "model": (Kind.MODEL_STARTED, Kind.MODEL_COMPLETED),
    "tool": (Kind.TOOL_STARTED, Kind.TOOL_COMPLETED),
    "recall": (None, Kind.MEMORY_RECALLED),
    "remember": (None, Kind.MEMORY_STORED),
    "step": ("architecture.step.started", "architecture.step.completed"),
}
_ENDS = frozenset(completed for _, completed in _KINDS.values())
_HARMLESS = frozenset({"model", "recall"})  # they change nothing outside, so their start need not be on disk first


class Journal(Protocol):
    """The append-only record of one run. It is also its state: replay it to resume."""

    def post(self, record: Record) -> None:
        """Write in order, soon. Raises when an earlier write was refused."""
        ...

    async def flush(self) -> None:
        """Return when all that was posted is on disk. Raises when a write was refused."""
        ...


class JournalSession:
    """A run's steps over its journal: recorded ones are given back, new ones are run and written down."""

    def __init__(self, session_id: str, journal: Journal, recorded: Sequence[Record] = ()) -> None:
        self.id = session_id
        self.name = "journal"
        self._journal = journal
        self._started = {r.step_key: r for r in recorded if r.kind.endswith(".started")}
        self._completed = {r.step_key: r for r in recorded if r.kind in _ENDS and "value" in r.data}
        self._noted = Counter((r.kind, r.step_key) for r in recorded)

    async def deliver(self, name: str, payload: Any) -> None:
        self._journal.post(Record(kind="architecture.signal", data={"name": name, "payload": payload}))
        await self._journal.flush()

    async def step(
        self,
        name: str,
        fn: Callable[..., Awaitable[Any]],
        *args: Any,
        idempotency_key: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """The recorded result of this step, or the result of running it now."""
        kind = _kind_of(name)
        intent = _intent(fn, args, kwargs)
        if (before := self._started.get(name)) is not None:
            _check_same(name, before, intent)
        if (after := self._completed.get(name)) is not None:
            return _codec(fn).validate_python(after.data["value"])
        started, completed = _KINDS[kind]
        if before is None and started:
            extra = {"idempotency_key": idempotency_key} if idempotency_key else {}
            self._journal.post(Record(kind=started, step_key=name, data={**intent, **extra}))
        if kind not in _HARMLESS:
            await self._journal.flush()
        value = await fn(*args, **kwargs)
        written = to_jsonable_python(value, fallback=str)
        self._journal.post(Record(kind=completed, step_key=name, data={"value": written}))
        return value

    async def stream_step(
        self, name: str, fn: Callable[..., AsyncIterator[Any]], *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Pass a stream through and record it when it is whole; replayed, it comes at once."""

        async def collect() -> list[Any]:
            return [item async for item in fn(*args, **kwargs)]

        for item in await self.step(name, collect):
            yield item

    def note(self, event: Event) -> None:
        """Write an event that is no step. What a replay says again is not written again."""
        record = record_of(event)
        if record is None:
            return
        if self._noted[record.kind, record.step_key] > 0:
            self._noted[record.kind, record.step_key] -= 1
            return
        self._journal.post(record)


def _kind_of(name: str) -> str:
    kind = name.rsplit("/", 1)[-1].split(":", 1)[0]
    return kind if kind in _KINDS else "step"


def _intent(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """What a step is about to do, as the journal tells it. A single argument may say it itself, by `journal()`."""
    if len(args) == 1 and not kwargs and hasattr(args[0], "journal"):
        told: dict[str, Any] = args[0].journal()
        return told
    name = getattr(fn, "__name__", type(fn).__name__)
    digest = deterministic_hash(to_jsonable_python([args, kwargs], fallback=str))
    return {"step": name, "arguments_hash": digest}


def _check_same(name: str, before: Record, intent: dict[str, Any]) -> None:
    recorded = {key: value for key, value in before.data.items() if key in intent}
    if deterministic_hash(recorded) != deterministic_hash(to_jsonable_python(intent, fallback=str)):
        raise NonDeterminism(
            f"step {name!r} was recorded as {recorded} and is now {intent}: the code or the agent has changed since",
            step_key=name,
        )


_codecs: dict[Any, TypeAdapter[Any]] = {}


def _codec(fn: Any) -> TypeAdapter[Any]:
    """How a recorded value is read back: by the return type that the step declares."""
    fn = getattr(fn, "func", fn)  # a partial
    code = getattr(fn, "__code__", fn)  # closures of one function share it
    if code not in _codecs:
        try:
            returned = get_type_hints(fn).get("return", Any)
        except (NameError, TypeError):  # a type that only the checker sees: the plain JSON is given back
            returned = Any
        _codecs[code] = TypeAdapter(returned)
    return _codecs[code]
