"""What skills fail with."""

from __future__ import annotations

from loom.errors import Invalid


class SkillError(Invalid, ValueError):
    """A skill is not what it should be, or not there."""

    code = "skill"
