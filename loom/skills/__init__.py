"""Skills in the format of agentskills.io."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.skills.boxed import Boxed as Boxed
    from agents.core.skills.errors import SkillError as SkillError
    from agents.core.skills.metadata import SkillMetadata as SkillMetadata
    from agents.core.skills.registry import SkillRegistry as SkillRegistry
    from agents.core.skills.registry import SkillSpec as SkillSpec
    from agents.core.skills.skill import Skill as Skill
    from agents.core.skills.sources import SkillSource as SkillSource
    from agents.core.skills.tools import make_load_skill_tool as make_load_skill_tool

HOMES = {
    "Boxed": "agents.core.skills.boxed",
    "Skill": "agents.core.skills.skill",
    "SkillError": "agents.core.skills.errors",
    "SkillMetadata": "agents.core.skills.metadata",
    "SkillRegistry": "agents.core.skills.registry",
    "SkillSource": "agents.core.skills.sources",
    "SkillSpec": "agents.core.skills.registry",
    "make_load_skill_tool": "agents.core.skills.tools",
}

__all__ = [
    "Boxed",
    "Skill",
    "SkillError",
    "SkillMetadata",
    "SkillRegistry",
    "SkillSource",
    "SkillSpec",
    "make_load_skill_tool",
]

__getattr__, __dir__ = door(__name__, HOMES)
