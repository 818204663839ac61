"""Scores that models write, read strictly: what is no score is None and asked for once more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agents.core.architectures.asking import ask
from agents.core.architectures.base import AgentSession, Dependencies
from loom.messages import Message, Role

FORMAT = "Write the score on a line of its own, between 0 (worst) and 1 (best), like this:\nscore: 0.7"
AGAIN = f"I could not read a score in that. {FORMAT}"

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBER = rf"(?:[-+\u2212]?(?:\d+(?:[.,]\d+)?|[.,]\d+)(?![\w]|[.,]\d)|\b(?:{'|'.join(_WORDS)})\b)"
_SHARE = rf"(?P<n>{_NUMBER})\s*(?:/|out\s+of|of|from)\s*(?P<m>{_NUMBER})"
_PERCENT = rf"(?P<p>{_NUMBER})\s*(?:%|percent\b|per\s+cent\b)"
_VALUE = rf"(?:{_SHARE}|{_PERCENT}|(?P<x>{_NUMBER}))"
_MARKUP = r"[\s\"'`*_]*"
_LABELED = rf"{_MARKUP}(?:\([^)\n]*\))?{_MARKUP}(?:[:=]|[-\u2013\u2014](?=\s)|\b(?:is|of)\b)?{_MARKUP}{_VALUE}"

_ALONE = re.compile(rf"[\W_]*?{_VALUE}[^\w%]*", re.IGNORECASE)
_STARRED = re.compile(rf"(?P<n>{_NUMBER})\s*(?:/|out\s+of)\s*(?P<m>{_NUMBER})", re.IGNORECASE)
_SLACK = 1.0  # a bare number this far outside of 0 to 1 is taken for the end it overshot; further, for another scale


def read_score(text: str, *, labels: Sequence[str] = ("score", "rating", "grade")) -> float | None:
    """The score in a model's answer as 0 to 1, or None where there is none that is beyond doubt.

    Read are `score: 0.8`, `score: 8/10`, `"score": "85%"`, `**Rating:** eight out of ten`, an answer or a line that is
    nothing but a value, and the only `7 out of 10` in a text. A bare number must be on the scale of 0 to 1, since
    nothing says what else an 8 would be out of; a share beyond its whole is nonsense. The last labeled score counts.
    """
    labeled = re.compile(rf"\b(?:{'|'.join(map(re.escape, labels))})\b{_LABELED}", re.IGNORECASE)
    if found := list(labeled.finditer(text)):
        return _value(found[-1])
    lines = [match for line in text.splitlines() if (match := _ALONE.fullmatch(line.strip()))]
    if len(lines) == 1:
        return _value(lines[0])
    shares = {_value(match) for match in _STARRED.finditer(text)}
    return shares.pop() if len(shares) == 1 else None


@dataclass(frozen=True, slots=True)
class Score:
    """What a judge said. Where no score could be read in two answers, `value` is 0 and `readable` is False."""

    value: float
    text: str
    readable: bool = True


async def ask_score(
    session: AgentSession, deps: Dependencies, messages: Sequence[Message], *, step: str
) -> Score | None:
    """Ask a judge for a score, twice if need be. None when the gate says no, and the session is interrupted."""
    said = await ask(session, deps, messages, step=f"{step}/model")
    if said is None or (value := read_score(said)) is not None:
        return None if said is None else Score(value or 0.0, said)
    again = [*messages, Message(role=Role.ASSISTANT, content=said), Message(role=Role.USER, content=AGAIN)]
    repeated = await ask(session, deps, again, step=f"{step}/again/model")
    if repeated is None:
        return None
    value = read_score(repeated)
    return Score(0.0, said, readable=False) if value is None else Score(value, said)


def _value(match: re.Match[str]) -> float | None:
    """What the parts of a match come to, if that is between 0 and 1."""
    part = match.groupdict()
    if part.get("n"):
        share, whole = _number(part["n"]), _number(part["m"])
        return share / whole if 0 <= share <= whole and whole > 0 else None
    if part.get("p"):
        share = _number(part["p"]) / 100
        return share if 0 <= share <= 1 else None
    bare = _number(part["x"])
    return min(1.0, max(0.0, bare)) if -_SLACK <= bare < 1 + _SLACK else None


def _number(text: str) -> float:
    word = text.casefold()
    return float(_WORDS.index(word)) if word in _WORDS else float(text.replace(",", ".").replace("\u2212", "-"))
