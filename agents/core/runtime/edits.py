"""What a person may change of an event, when another run begins with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agents.core.runtime.written import storable
from loom.errors import Invalid, InvalidArguments
from loom.events import Kind
from loom.ids import new_id
from loom.messages import ToolCall, without_defaults

# What can be edited, and in which kind of event.
EDITS = {"input": Kind.RUN_STARTED, "tool_result": Kind.TOOL_COMPLETED, "message": Kind.MODEL_COMPLETED}
_OF_A_RESULT = ("call_id", "duration_ms", "started_at")


class EditedCall(BaseModel):
    """A call of a tool that the model is said to have asked for."""

    model_config = ConfigDict(extra="forbid")

    tool: str = Field(min_length=1, max_length=200)
    args: dict[str, Any] = Field(default_factory=dict)
    id: str | None = Field(None, min_length=1, max_length=200)


class EditedMessage(BaseModel):
    """What the model is said to have answered."""

    model_config = ConfigDict(extra="forbid")

    text: str = ""
    tool_calls: list[EditedCall] = Field(default_factory=list, max_length=100)


def edited(seq: int, kind: str, data: Mapping[str, Any], edit: Mapping[str, Any]) -> dict[str, Any]:
    """The data of an event with one thing changed. Raises Invalid for a change that this event does not take."""
    if len(edit) != 1 or not edit.keys() <= EDITS.keys():
        raise Invalid(f"an edit is one of {', '.join(EDITS)}, not {', '.join(edit) or 'nothing'}", pointer="/edit")
    [(what, value)] = edit.items()
    if EDITS[what] != kind:
        raise Invalid(f"event {seq} is {kind}; {_what_may(kind, what)}", pointer="/at_seq")
    return {**data, **_CHANGES[what](value, data)}


def _what_may(kind: str, asked: str) -> str:
    for what, of in EDITS.items():
        if of == kind:
            return f"what can be edited there is `{what}`, not `{asked}`"
    return f"nothing can be edited there; `{asked}` is edited in events of kind {EDITS[asked]}"


def _input(value: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, str | dict):
        raise Invalid(f"an input is a text or an object, not {value!r}", pointer="/edit/input")
    return {"input": storable(value)}


def _tool_result(value: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    was = data["value"]
    kept = {name: was[name] for name in _OF_A_RESULT if name in was}
    return {"value": {**kept, "ok": True, "output": storable(value)}}


def _message(value: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    said = _read_message(value)
    calls = [
        without_defaults(ToolCall(id=call.id or new_id("tcall"), tool=call.tool, args=storable(call.args)), "args")
        for call in said.tool_calls
    ]
    finish_reason = "tool_calls" if calls else "stop"
    said_so = {"text": storable(said.text), "tool_calls": calls, "finish_reason": finish_reason}
    return {"value": {**data["value"], **said_so}}


def _read_message(value: Any) -> EditedMessage:
    if isinstance(value, EditedMessage):
        return value
    try:
        return EditedMessage(text=value) if isinstance(value, str) else EditedMessage.model_validate(value)
    except ValidationError as error:
        errors = [
            {"pointer": "".join(f"/{part}" for part in ("edit", "message", *each["loc"])), "detail": each["msg"]}
            for each in error.errors()
        ]
        raise InvalidArguments(f"{errors[0]['pointer']}: {errors[0]['detail']}", errors=errors) from error


_CHANGES = {"input": _input, "tool_result": _tool_result, "message": _message}
