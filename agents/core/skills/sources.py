"""Where skills come from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from agents.core.skills.errors import SkillError
from agents.core.skills.skill import FILE, Skill

_NOISE = frozenset({"__pycache__", "node_modules", "venv"})


@dataclass(frozen=True)
class SkillSource:
    """A SKILL.md, or a folder that is searched for them at any depth, and a label that the catalog shows."""

    path: Path
    label: str | None = None

    @classmethod
    def coerce(cls, item: SkillSource | str | Path | tuple[str | Path, str]) -> SkillSource:
        if isinstance(item, SkillSource):
            return item
        path, label = item if isinstance(item, tuple) else (item, None)
        return cls(Path(path).expanduser(), label)

    def discover(self) -> list[Skill]:
        """The skills, in the order of their paths. Links to folders are not followed.

        Raises SkillError when the path is missing or a SKILL.md is wrong.
        """
        if not self.path.exists():
            raise SkillError(f"there are no skills at {str(self.path)!r}: no such file or folder")
        if self.path.is_file():
            return [Skill(self.path, source_label=self.label)]
        return [Skill(path, source_label=self.label) for path in _skill_files(self.path)]


def _skill_files(folder: Path) -> list[Path]:
    found = []
    for place, below, files in os.walk(folder):
        below[:] = sorted(name for name in below if name not in _NOISE and not name.startswith("."))
        if FILE in files:
            found.append(Path(place, FILE))
    return found
