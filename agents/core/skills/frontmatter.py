"""The two halves of a SKILL.md: YAML between `---` lines, and Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from typing import Any

import yaml

from agents.core.skills.errors import SkillError

_FENCE = re.compile(r"\A---[ \t]*\n(.*?)(?:^|\n)---[ \t]*(?:\n|\Z)", re.DOTALL)
_PLAIN_LINE = re.compile(r"^([A-Za-z][\w-]*): +([^\s\"'\[{|>&*!%@`#].*)$", re.MULTILINE)
_MAX_BYTES = 65_536
# PyYAML lets all but the first pass: of `2026-13-01`, which looks like a date, of brackets a thousand deep, and of
# values that are not of their tag: `!!int ''`, `!!bool x`, `!!timestamp x`.
_NOT_YAML = (yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError)


def split(text: str, *, source: str) -> tuple[dict[str, Any], str]:
    """The fields and the body. Raises SkillError when there is no front matter or it is not a YAML mapping."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").lstrip("\n")
    fence = _FENCE.match(text)
    if fence is None:
        raise SkillError(f"{source}: a skill begins with front matter between two lines of ---")
    if len(fence[1]) > _MAX_BYTES:
        raise SkillError(f"{source}: the front matter is longer than {_MAX_BYTES} characters")
    fields = _parsed(fence[1], source)
    if not isinstance(fields, dict):
        raise SkillError(f"{source}: the front matter is not a mapping of names to values")
    return fields, text[fence.end() :].strip("\n")


def _parsed(text: str, source: str) -> Any:
    try:
        return _load(text)
    except _NOT_YAML as problem:
        try:
            # `description: Use when: …` is no YAML, but common in skills that are around.
            return _load(_PLAIN_LINE.sub(lambda line: f"{line[1]}: {json.dumps(line[2].rstrip())}", text))
        except _NOT_YAML:
            raise SkillError(f"{source}: the front matter is not valid YAML: {problem}") from problem


def _load(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader that allows less


class _Loader(yaml.SafeLoader):
    """Safe YAML without aliases, which can make a small text a huge value, and without silently doubled keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed here")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value]
        if twice := sorted({name for name in names if names.count(name) > 1}, key=str):
            raise yaml.YAMLError(f"{twice[0]!r} is there twice")
        return super().construct_mapping(node, deep)
