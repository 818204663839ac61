"""What skills ask the policy to restrict the agent to."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from agents.core.skills.registry import SkillRegistry
from agents.core.skills.tools import LOAD, READ


def requested_tools(registry: SkillRegistry, loaded: Iterable[str]) -> set[str] | None:
    """The tools that the loaded skills list as enough for them, as name patterns; None when none of them lists any.

    It can only restrict: a gate refuses what is not in the set while these skills are in use, and asks its own rules
    about the rest. The skills' own tools, and those that load and read skills, are always in it. What stands in
    parentheses (`Bash(git:*)`) is left to the rules of the gate.
    """
    skills = [skill for name in loaded if (skill := registry.get(name)) is not None]
    lists = [skill.metadata.allowed_tools for skill in skills if skill.metadata.allowed_tools is not None]
    if not lists:
        return None
    own = {skill.metadata.tool_prefix + "*" for skill in skills}
    return {LOAD, READ} | own | {name.partition("(")[0] for names in lists for name in names}


def is_requested(requested: Collection[str] | None, tool: str) -> bool:
    """Whether a tool is in the set. Case does not count: skills of other programs say `Read` and `Bash`."""
    return requested is None or any(fnmatchcase(tool.casefold(), pattern.casefold()) for pattern in requested)
