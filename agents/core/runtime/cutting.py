"""What of a run's journal another run can begin with, and what it will do again.

A cut keeps what was finished before it. Of what had only begun, calls of tools are kept, so that they are made under
the key they had, or a person is asked about them; and a permission is kept only with the call that it was for, since
it holds once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from agents.core.runtime.journal import BEGINNINGS, ENDS
from loom.errors import Conflict
from loom.events import Kind

_OF_ITS_OWN = frozenset({Kind.RUN_WAITING, Kind.RUN_RESUMED, Kind.RUN_CANCELLING}) | Kind.TERMINAL
_QUESTIONS = frozenset({Kind.APPROVAL_REQUESTED, Kind.APPROVAL_DECIDED})
_STEPS = BEGINNINGS | ENDS
_SIGNAL = "architecture.signal"
_TRY = re.compile(r"(/attempt:\d+)?/tool:call_1(/permit|/returned)?$|/failed:\d+$")
_UNDO, _PERMIT, _RETURNED, _FAILED = "/undo", "/permit", "/returned", "/failed"


@dataclass(frozen=True, slots=True)
class Line:
    """What of an event says whether it can be kept.

    `has_key` is said by the beginning of what may have happened outside, once; `ok` and `is_denied` by the result of a
    tool, and `effect` by the beginning of a call.
    """

    seq: int
    kind: str
    step_key: str = ""
    is_end: bool = False
    has_key: bool = False
    ok: bool = True
    is_denied: bool = False
    effect: str | None = None
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """A step that will be taken again, and the event from which on it is missing."""

    seq: int
    kind: str
    step_key: str
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class EffectAgain:
    """A call that will be made again, and the event that began it. `args` is the beginning of its arguments as JSON.

    `may_happen_twice` when nothing stands between it and a second effect; `asks_first` when a person will be asked
    what became of the first.
    """

    seq: int
    step_key: str
    tool: str
    effect: str
    may_happen_twice: bool
    asks_first: bool
    args: str = ""


@dataclass(frozen=True)
class Cut:
    """A journal and what is kept of it."""

    lines: Sequence[Line]
    kept: Sequence[Line] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """How many finished steps are kept."""
        return sum(line.is_end and not _is_bookkeeping(line.step_key) for line in self.kept)

    def again(self) -> list[Again]:
        finished, kept = {line.step_key for line in self.kept if line.is_end}, {line.seq for line in self.kept}
        found: dict[str, Again] = {}
        for line in self.lines:
            key = line.step_key
            if line.kind not in _STEPS or key in finished or _is_bookkeeping(key):
                continue
            known = found.get(key)
            if known is None or (known.seq in kept and line.seq not in kept):
                found[key] = Again(line.seq, line.kind, key, line.tool or (known.tool if known else None))
        return sorted(found.values(), key=lambda again: again.seq)

    def effects(self) -> list[EffectAgain]:
        again, undone = {step.step_key for step in self.again()}, _undone(self.lines)
        begun = {line.step_key for line in self.kept if line.kind == Kind.TOOL_STARTED}
        ended = {line.step_key for line in self.lines if line.is_end}
        found: dict[str, EffectAgain] = {}
        for line in self.lines:
            key = line.step_key
            if line.kind != Kind.TOOL_STARTED or key not in again or line.effect is None:
                continue
            found[key] = EffectAgain(
                line.seq,
                key,
                line.tool or "",
                line.effect,
                may_happen_twice=key not in undone and _repeats(line.effect, key in begun, key in ended),
                asks_first=line.effect == "irreversible" and key in begun,
            )
        return list(found.values())


def _repeats(effect: str, keeps_its_key: bool, has_ended: bool) -> bool:
    match effect:
        case "read" | "idempotent":
            return False
        case "transactional":
            return has_ended  # of one that was cut off nothing is left
        case _:
            return not keeps_its_key


def cut_before(lines: Sequence[Line], seq: int) -> Cut:
    """Keep what was finished before an event. Raises Conflict where that had been undone."""
    latest = _latest_cut(lines)
    if seq > latest:
        step = next(line.step_key for line in lines if line.seq == latest)
        raise Conflict(
            f"event {latest} began {step!r}, which was undone when the run was cancelled: take it up again from event "
            f"{latest} or from before it",
            latest_seq=latest,
        )
    return Cut(lines, _consistent([line for line in lines if line.seq < seq]))


def cut_unfinished(lines: Sequence[Line], error_code: str | None = None) -> Cut:
    """Keep what a run had finished when it failed or was cancelled; `error_code` says why it failed.

    What made it fail is not finished, though it has its end in the journal: the error of a tool that is a workflow's
    step, and the last answer where it does not fit the output schema.
    """
    gone = _failed_series(lines)
    if error_code == "output_validation":
        gone |= {max((line.seq for line in lines if line.kind == Kind.MODEL_COMPLETED), default=0)}
    left = [line for line in lines if line.seq not in gone]
    last = max((line.seq for line in left if line.is_end and not _is_bookkeeping(line.step_key)), default=1)
    latest = _latest_cut(lines)
    prefix = [line for line in left if line.seq <= last or line.kind == _SIGNAL or line.has_key]
    return Cut(lines, _consistent([line for line in prefix if line.seq < latest]))


def _consistent(prefix: Sequence[Line]) -> list[Line]:
    """The lines that another run may take over."""
    ended = {line.step_key for line in prefix if line.is_end}
    lines = [
        line
        for line in prefix
        if line.kind not in _OF_ITS_OWN
        and not line.step_key.endswith(_UNDO)
        and (line.kind not in BEGINNINGS or line.step_key in ended or _may_have_happened(line))
    ]
    unused = _unused_answers(lines)
    return [
        line
        for line in lines
        if not (line.kind in _QUESTIONS and line.step_key in unused)
        and not (line.step_key.endswith(_PERMIT) and line.step_key.removesuffix(_PERMIT) in unused)
    ]


def _may_have_happened(begun: Line) -> bool:
    """Whether the key of a step without an end is needed. Of a transaction nothing is left, or it is another one."""
    return begun.has_key and begun.effect != "transactional"


def _unused_answers(lines: Sequence[Line]) -> AbstractSet[str]:
    """The steps of the questions that nobody has answered, or whose answer no kept step has acted on."""
    asked = {line.step_key: line.seq for line in lines if line.kind in _QUESTIONS}
    if not asked:
        return frozenset()
    acted = dict[str, int]()  # the last step at or below each place, in the order of the lines
    for line in lines:
        if line.kind in _STEPS:
            acted.update(dict.fromkeys(_acts_on(line.step_key), line.seq))
    return {question for question, seq in asked.items() if acted.get(_call_of(question), 0) < seq}


def _acts_on(step_key: str) -> Iterator[str]:
    """The calls whose permission a step makes use of: itself, and all that it is a part of. Noting it is none."""
    key = step_key
    while key:
        yield key
        key = key.rpartition("/")[0] if not key.endswith(_PERMIT) else ""


def _call_of(question: str) -> str:
    return question.rpartition("/reconcile:")[0] or question


def _latest_cut(lines: Sequence[Line]) -> int:
    """Where a journal must be cut at the latest, so that nothing that was undone counts as done."""
    undone = _undone(lines)
    return min((line.seq for line in lines if line.step_key in undone), default=lines[-1].seq + 1 if lines else 1)


def _undone(lines: Iterable[Line]) -> AbstractSet[str]:
    return {line.step_key.removesuffix(_UNDO) for line in lines if line.is_end and line.step_key.endswith(_UNDO)}


def _failed_series(lines: Sequence[Line]) -> set[int]:
    """The tries of the tool steps of workflows that the run ended with, but for the beginnings of what may have
    happened: they are to be tried again from the first on."""
    nodes = {_node_of(line.step_key) for line in lines if _ended_the_run(line, lines)}
    denied = {line.step_key for line in lines if line.is_denied}
    return {
        line.seq
        for line in lines
        if line.kind in _STEPS
        and _node_of(line.step_key) in nodes
        and (line.kind != Kind.TOOL_STARTED or line.step_key in denied)
    }


def _node_of(step_key: str) -> str:
    """The workflow's step that a step is a try of, or something about one."""
    return _TRY.sub("", step_key)


def _ended_the_run(line: Line, lines: Sequence[Line]) -> bool:
    """Whether this is the failure of a workflow's own tool step that nothing got over: no other attempt, and no model
    that was told."""
    if line.kind != Kind.TOOL_COMPLETED or line.ok or not _is_workflow_step(line.step_key):
        return False
    got_over = {line.step_key for line in lines if line.is_end and _FAILED in line.step_key}
    return not got_over & _failures_around(line.step_key)


def _is_workflow_step(step_key: str) -> bool:
    parts = step_key.split("/")
    return len(parts) > 1 and parts[-1].startswith("tool:") and parts[-2].startswith(("step:", "attempt:"))


def _failures_around(step_key: str) -> AbstractSet[str]:
    """The names under which the failure of a step is written down by whatever around it goes on all the same."""
    parts, found = step_key.split("/"), set[str]()
    for place, part in enumerate(parts[:-1], start=1):
        head = "/".join(parts[:place])
        if part.startswith("attempt:"):
            found.add(f"{'/'.join(parts[: place - 1])}{_FAILED}:{part.removeprefix('attempt:')}")
        elif not parts[place].startswith("attempt:"):
            found |= {f"{head}{_FAILED}:1", head + _FAILED}
    return found


def _is_bookkeeping(step_key: str) -> bool:
    tail = _split(step_key)[1]
    return tail in (_UNDO, _PERMIT, _RETURNED) or tail.startswith(f"{_FAILED}:")


def _split(step_key: str) -> tuple[str, str]:
    head, slash, tail = step_key.rpartition("/")
    return head, slash + tail
