"""The skills of one agent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from agents.core.skills.errors import SkillError
from agents.core.skills.metadata import SkillMetadata
from agents.core.skills.process import Run
from agents.core.skills.skill import Skill
from agents.core.skills.sources import SkillSource
from agents.core.tools.tool import Tool

SkillSpec = Skill | SkillSource | str | Path | tuple[str | Path, str]


class SkillRegistry:
    """Skills by name. Of two with one name the later wins, so that a user's folder can override a general one.

    `run` starts the scripts of all skills; a sandbox can be put there. With `python_tools` False the code of a tools.py
    is never imported, and a skill that has one cannot be loaded.
    """

    def __init__(
        self, items: Iterable[SkillSpec] | None = None, *, run: Run | None = None, python_tools: bool = True
    ) -> None:
        self._skills: dict[str, Skill] = {}
        self._loaded: set[str] = set()
        self._run = run
        self._python_tools = python_tools
        for item in items or ():
            for skill in [item] if isinstance(item, Skill) else SkillSource.coerce(item).discover():
                self.add(skill)

    def add(self, skill: Skill) -> None:
        self._skills[skill.name] = skill
        self._loaded.discard(skill.name)

    def remove(self, name: str) -> Skill | None:
        self._loaded.discard(name)
        return self._skills.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return name in self._skills

    def __len__(self) -> int:
        return len(self._skills)

    def __iter__(self) -> Iterator[Skill]:
        return iter(list(self._skills.values()))

    def names(self) -> list[str]:
        return list(self._skills)

    def get(self, name: str) -> Skill | None:
        return self._skills.get(name)

    def metadata_map(self) -> Mapping[str, SkillMetadata]:
        return {name: skill.metadata for name, skill in self._skills.items()}

    def catalog_section(self) -> str:
        """What a model sees of the skills before it loads one; empty when there are none."""
        if not self._skills:
            return ""
        lines = "\n".join(skill.metadata.to_catalog_line() for skill in self)
        hint = "When a task fits one of these, load it with `load_skill` and follow what it says."
        return f"## Available skills\n\n{hint}\n\n{lines}"

    def load(self, name: str) -> str:
        """The body of a skill, after those of the skills it requires."""
        return self._loaded_bodies(self.with_required(name))

    def load_with_tools(self, name: str, ctx: object | None = None) -> tuple[str, list[Tool]]:
        """The same, and the tools of all of them, built for this context.

        Raises SkillError when a skill is missing, requires itself in a circle or cannot build its tools.
        """
        skills = self.with_required(name)
        tools = [tool for skill in skills for tool in self.tools_of(skill, ctx)]
        return self._loaded_bodies(skills), tools

    def tools_of(self, skill: Skill, ctx: object | None = None) -> list[Tool]:
        self._refuse_code_of(skill)
        return skill.materialize_tools(ctx, run=self._run)

    def builds_for_context(self, skill: Skill) -> bool:
        """Whether the skill's tools depend on who they are for."""
        self._refuse_code_of(skill)
        return skill.builds_tools_for_context

    def is_loaded(self, name: str) -> bool:
        return name in self._loaded

    def with_required(self, name: str) -> list[Skill]:
        """A skill after the skills it requires, each once."""
        found: dict[str, Skill] = {}
        self._collect(name, (), found)
        return list(found.values())

    def _collect(self, name: str, path: tuple[str, ...], found: dict[str, Skill]) -> None:
        if name in path:
            raise SkillError(f"skills require each other in a circle: {' → '.join([*path, name])}")
        if name in found:
            return
        skill = self._skills.get(name)
        if skill is None:
            raise SkillError(self._unknown(name, path))
        for required in skill.metadata.requires:
            self._collect(required, (*path, name), found)
        found[name] = skill

    def _refuse_code_of(self, skill: Skill) -> None:
        if skill.metadata.has_python_tools and not self._python_tools:
            raise SkillError(f"skill {skill.name!r} has Python tools, which are not allowed here")

    def _unknown(self, name: str, path: tuple[str, ...]) -> str:
        near = get_close_matches(name, self._skills, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self._skills) or 'none'}"
        wanted = f", which {path[-1]!r} requires" if path else ""
        return f"unknown skill {name!r}{wanted}; {hint}"

    def _loaded_bodies(self, skills: list[Skill]) -> str:
        *required, wanted = skills
        parts = [f"## Required skill: {skill.name}\n\n{skill.load_body()}" for skill in required]
        text = "\n\n---\n\n".join([*parts, wanted.load_body()])
        self._loaded.update(skill.name for skill in skills)
        return text
