"""How a conversation and its tools are put to a small model that has never heard of tool calls."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic_core import from_json

from agents.core.llm.grammar import bounded
from agents.core.llm.schemas import Schema
from loom.errors import InvalidRequestError
from loom.ids import canonical
from loom.messages import Message, Role, ToolCall, ToolDef

_ARGUMENT_CHARACTERS = 600
_DESCRIPTION_CHARACTERS = 160
_EMPTY_WORDS = frozenset({
    "about", "all", "and", "any", "are", "can", "could", "does", "for", "from", "get", "give", "had", "has", "have",
    "her", "his", "how", "its", "let", "may", "name", "new", "not", "now", "one", "our", "out", "please", "should",
    "tell", "that", "the", "their", "them", "they", "this", "use", "user", "was", "what", "when", "where", "which",
    "who", "why", "will", "with", "would", "you", "your",
})  # fmt: skip
_ANSWER: Schema = {"type": "string", "maxLength": 600}


@dataclass(frozen=True)
class Choice:
    """Either an answer or the call of one tool, as one JSON object."""

    schema: Schema
    prompt: str
    tools: Mapping[str, ToolDef]
    is_typed: bool

    @classmethod
    def of(cls, messages: list[Message], tools: list[ToolDef], answer: Schema | None) -> Self | None:
        """The choice that is left: tools called since the user last spoke are out, and tools that have nothing to do
        with what the user said. None without tools.
        """
        used, said = _used(messages), _last_said(messages)
        left = {tool.name: tool for tool in tools if tool.name not in used and _concerns(tool, said)}
        if not left:
            return None
        options = [_object(tool={"enum": [tool.name]}, args=_arguments(tool)) for tool in left.values()]
        options.append(_object(answer=answer or _ANSWER))
        return cls({"anyOf": options}, _prompt(left), left, answer is not None)

    def answer_so_far(self, written: str) -> str:
        """The part of an unfinished choice that is surely text of the answer."""
        if self.is_typed or not written.startswith('{"answer"'):
            return ""
        try:
            return str(from_json(written, allow_partial="trailing-strings").get("answer", ""))
        except ValueError:  # cut inside an escape or a character
            return ""

    def read(self, written: str) -> tuple[str, ToolCall | None]:
        """The text of the answer, or the call. A choice that was cut off is no call."""
        try:
            chosen = from_json(written)
        except ValueError:
            return self.answer_so_far(written), None
        if "tool" in chosen:
            tool = self.tools[chosen["tool"]]
            return "", ToolCall(tool=tool.name, args=chosen["args"])
        return (canonical(chosen["answer"]) if self.is_typed else chosen["answer"]), None


def chat(messages: list[Message], choice: Choice | None) -> list[dict[str, str]]:
    """The conversation in the three roles that the model knows, with the tools in the system message."""
    names = {call.id: call.tool for message in messages for call in message.tool_calls}
    system = [message.content for message in messages if message.role is Role.SYSTEM]
    if choice is not None:
        system.append(choice.prompt)
    turns = [{"role": "system", "content": "\n\n".join(system)}] if system else []
    for message in messages:
        if message.images:
            raise InvalidRequestError("the local model cannot see images; choose a model that can")
        if message.role is Role.TOOL:
            turns.append({"role": "user", "content": _finding(message, names)})
        elif message.role is not Role.SYSTEM and message.content:
            turns.append({"role": message.role.value, "content": message.content})
    return _joined(turns)


def _finding(message: Message, names: Mapping[str, str]) -> str:
    return f"{names.get(message.tool_call_id or '', 'The tool')} returned: {message.content}"


def _joined(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """Turns of one speaker as one: the model answers best when question and findings stand together."""
    joined: list[dict[str, str]] = []
    for turn in turns:
        if joined and joined[-1]["role"] == turn["role"]:
            joined[-1]["content"] += f"\n\n{turn['content']}"
        else:
            joined.append(dict(turn))
    return joined


def _used(messages: list[Message]) -> set[str]:
    last = max((at for at, message in enumerate(messages) if message.role is Role.USER), default=0)
    return {call.tool for message in messages[last:] for call in message.tool_calls}


def _last_said(messages: list[Message]) -> str:
    return next((message.content for message in reversed(messages) if message.role is Role.USER), "")


def _concerns(tool: ToolDef, said: str) -> bool:
    """Whether a tool and a text share a word, or the text has a number for a tool that takes one.

    A model of this size calls whatever it is offered: asked to say hello, it looked up the weather. With this rule it
    chose right in 13 of 16 cases instead of 7, and it reads less.
    """
    arguments = tool.input_schema.get("properties", {})
    if _stems(said) & _stems(" ".join((tool.name, tool.description, *arguments))):
        return True
    takes_number = any(value.get("type") in {"integer", "number"} for value in arguments.values())
    return takes_number and any(character.isdigit() for character in said)


def _stems(text: str) -> set[str]:
    words = set(re.findall(r"[^\W\d_]{3,}", text.lower())) - _EMPTY_WORDS
    return {word.removesuffix("s")[:6] for word in words}


def _arguments(tool: ToolDef) -> Schema:
    schema = tool.input_schema or {"type": "object", "additionalProperties": False}
    return bounded(schema, characters=_ARGUMENT_CHARACTERS, fill=False)


def _prompt(tools: Mapping[str, ToolDef]) -> str:
    lines = "\n".join(f"- {_described(tool)}" for tool in tools.values())
    return (
        f"You can use these tools:\n{lines}\n\n"
        'Reply with JSON only. To use a tool: {"tool": "<name>", "args": {...}}. '
        'When no tool is needed: {"answer": "<text>"}.'
    )


def _described(tool: ToolDef) -> str:
    words = " ".join(tool.description.split())[:_DESCRIPTION_CHARACTERS]
    return f"{tool.name}: {words} args: {', '.join(tool.input_schema.get('properties', {})) or 'none'}"


def _object(**properties: Any) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
