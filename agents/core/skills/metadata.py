"""What is known of a skill before it is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.core.skills.errors import SkillError

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_RESERVED = ("anthropic", "claude")
_LIMITS = {"name": 64, "description": 1024, "compatibility": 500}
_FIELDS = frozenset(
    {
        "name",
        "description",
        "license",
        "compatibility",
        "metadata",
        "allowed-tools",
        "allowed_tools",
        "requires",
        "tools",
    }
)
_WORDS = re.compile(r"[^\s,(]+(?:\([^)]*\))?")


@dataclass
class SkillMetadata:
    """The front matter of a SKILL.md.

    `allowed_tools` is a request to policy, never a grant: see `requests.requested_tools`. `extra` is the `metadata`
    mapping, and the fields that other programs read.
    """

    name: str
    description: str
    license: str | None = None
    compatibility: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    allowed_tools: list[str] | None = None
    requires: list[str] = field(default_factory=list)
    source_label: str | None = None
    has_python_tools: bool = False
    declared_tool_count: int = 0

    def to_catalog_line(self) -> str:
        tools = f" [+{self.declared_tool_count} tools]" if self.declared_tool_count else ""
        if self.has_python_tools and not self.declared_tool_count:
            tools = (
                " [+tools]"  # how many is not known before their code runs, and that is not before the skill is loaded
            )
        label = f" [{self.source_label}]" if self.source_label else ""
        return f"  - {self.name}{tools}{label}: {' '.join(self.description.split())}"

    @property
    def tool_prefix(self) -> str:
        """What the names of the skill's tools begin with."""
        return self.name.replace("-", "_") + "__"


def metadata_of(fields: Mapping[str, Any], *, source: str) -> SkillMetadata:
    """Check the front matter. Raises SkillError, naming the source and the field."""
    return SkillMetadata(
        name=_name(fields, source),
        description=_text(fields, "description", source, is_required=True) or "",
        license=_text(fields, "license", source),
        compatibility=_text(fields, "compatibility", source),
        extra=_extra(fields, source),
        allowed_tools=_allowed_tools(fields, source),
        requires=_requires(fields, source),
        declared_tool_count=_tool_count(fields, source),
    )


def _name(fields: Mapping[str, Any], source: str) -> str:
    name = _text(fields, "name", source, is_required=True) or ""
    if not _NAME.fullmatch(name):
        raise SkillError(f"{source}: name {name!r} is not made of a-z, 0-9 and single hyphens between them")
    if taken := next((word for word in _RESERVED if word in name), None):
        raise SkillError(f"{source}: name {name!r} contains {taken!r}, which is reserved")
    return name


def _text(fields: Mapping[str, Any], name: str, source: str, *, is_required: bool = False) -> str | None:
    value = fields.get(name)
    if value is None and not is_required:
        return None
    if not isinstance(value, str) or not value.strip():
        raise SkillError(f"{source}: {name} is {value!r}; a skill needs a text there")
    value = value.strip()
    limit = _LIMITS.get(name)
    if limit is not None and len(value) > limit:
        raise SkillError(f"{source}: {name} has {len(value)} characters; the limit is {limit}")
    return value


def _extra(fields: Mapping[str, Any], source: str) -> dict[str, Any]:
    value = fields.get("metadata") or {}
    if not isinstance(value, dict):
        raise SkillError(f"{source}: metadata is {value!r}, not a mapping")
    others = {name: item for name, item in fields.items() if name not in _FIELDS}
    return {str(name): item for name, item in {**others, **value}.items()}


def _allowed_tools(fields: Mapping[str, Any], source: str) -> list[str] | None:
    """`allowed-tools` of the standard is one text, `allowed_tools` of the SDK a list; both are read, in both forms."""
    found: list[str] = []
    for name in ("allowed-tools", "allowed_tools"):
        value = fields.get(name)
        if isinstance(value, str):
            found += _WORDS.findall(value)
        elif value is not None:
            found += _names(value, name, source)
    is_given = fields.get("allowed-tools") is not None or fields.get("allowed_tools") is not None
    return list(dict.fromkeys(found)) if is_given else None


def _tool_count(fields: Mapping[str, Any], source: str) -> int:
    value = fields.get("tools") or {}
    if not isinstance(value, dict):
        raise SkillError(f"{source}: tools is {value!r}, not a mapping of names to scripts")
    return len(value)


def _requires(fields: Mapping[str, Any], source: str) -> list[str]:
    names = _names(fields.get("requires") or [], "requires", source)
    return [name for name in dict.fromkeys(names) if name != fields["name"]]


def _names(value: Any, name: str, source: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SkillError(f"{source}: {name} is {value!r}, not a list of names")
    return [item.strip() for item in value]
