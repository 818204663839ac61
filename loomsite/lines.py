"""What people read in a terminal: events and rows as lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH = 100
TOLD = ("agent", "node", "tool", "model", "args", "text", "reason", "error", "output")

# What a model says must not move the cursor or change the title of somebody's terminal.
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def plain(text: str) -> str:
    """The text without control characters, line breaks and tabs excepted."""
    return text.translate(_CONTROLS)


def one_line(value: Any, width: int = WIDTH) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = plain(" ".join(text.split()))
    return text if len(text) <= width else text[: width - 1] + "…"


def event_line(event: Mapping[str, Any], when: str) -> str:
    return f"{event['seq'] or '':>4} {when:>8}  {event['kind']:<36} {gist(event['data'])}".rstrip()


class Telling:
    """A run told line by line, with the text of its models between the lines as it is said."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}
        self._step: str | None = None  # whose text the last line is

    def tell(self, event: Mapping[str, Any], when: str) -> str:
        """What is to be written when this event comes."""
        step, is_text = event["step_key"], event["kind"] == "model.delta"
        if is_text:
            before = "\n" if self._step not in (None, step) else ""
            self._step = step
            return before + plain(self._more(step, event["data"]))
        before = f"{plain(self._rest(event))}\n" if self._step is not None else ""
        self._step = None
        self._said.pop(step, None)
        return f"{before}{event_line(event, when)}\n"

    def _more(self, step: str, data: Mapping[str, Any]) -> str:
        """What is new of a step's text; all of it when the step began anew."""
        before = self._said.get(step, "")
        whole = self._said[step] = before[: data["offset"]] + data["text"]
        return whole.removeprefix(before) if whole.startswith(before) else f"\n{whole}"

    def _rest(self, event: Mapping[str, Any]) -> str:
        """The end of the text in hand, when this event is its whole: the last pieces are not sent alone."""
        if event["kind"] != "model.completed" or event["step_key"] != self._step:
            return ""
        before, whole = self._said[event["step_key"]], (event["data"].get("value") or {}).get("text") or ""
        return whole.removeprefix(before) if whole.startswith(before) else ""


def gist(data: dict[str, Any]) -> str:
    """What a person wants to know of an event. The whole event is on the run's page."""
    value = data.get("value")
    flat = data | (value if isinstance(value, dict) else {"output": value})
    return one_line("  ".join(one_line(flat[name]) for name in TOLD if flat.get(name)))


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows below the names of their columns. No rows are the word `nothing`."""
    if not rows:
        return "nothing"
    lines = [[name.upper() for name in rows[0]], *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def card(facts: Mapping[str, str]) -> str:
    """One thing, a line per fact; facts that are empty are left out."""
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items() if value)
