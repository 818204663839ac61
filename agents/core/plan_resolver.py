"""From what a person writes (`living_plan=True`) to what an agent does about plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.core.plan import LivingPlan, plan_from
from loom.errors import ConfigError, unknown

_IN_MEMORY = ("memory", "inmemory", "ephemeral")
_IN_WORKSPACE = ("workspace", "disk", "persist", "mirror")
_KEYS = ("enabled", "mirror", "include_recall", "task_id", "author", "seed_plan", "auto_stop_hook")


@dataclass(frozen=True, slots=True)
class ResolvedLivingPlan:
    """Whether an agent keeps a plan, and how."""

    enabled: bool
    mirror_to_workspace: bool
    include_recall: bool
    task_id: str | None
    author: str | None
    seed_plan: LivingPlan | None
    auto_stop_hook: bool = True

    @classmethod
    def disabled(cls) -> ResolvedLivingPlan:
        return cls(
            enabled=False,
            mirror_to_workspace=False,
            include_recall=False,
            task_id=None,
            author=None,
            seed_plan=None,
            auto_stop_hook=False,
        )


def resolve_living_plan(spec: Any, *, workspace_present: bool) -> ResolvedLivingPlan:
    """Read a `living_plan` spec: a bool, a word, a mapping, or the plan to begin with.

    Where a workspace is present plans are mirrored to it unless the spec says otherwise. Raises ConfigError for what
    it cannot read and for a mirror without a workspace.
    """
    if spec is None or spec is False:
        return ResolvedLivingPlan.disabled()
    if isinstance(spec, ResolvedLivingPlan):
        return spec
    if isinstance(spec, LivingPlan):
        return _enabled(mirror=workspace_present, seed_plan=spec)
    if isinstance(spec, Mapping):
        return _from_mapping(spec, workspace_present)
    if spec is True:
        return _enabled(mirror=workspace_present)
    word = spec.strip().lower() if isinstance(spec, str) else None
    if word in _IN_MEMORY:
        return _enabled(mirror=False)
    if word in _IN_WORKSPACE:
        return _enabled(mirror=_possible(True, workspace_present, f"living_plan={spec!r}"))
    raise ConfigError(
        f"living_plan is {spec!r}; it may be a bool, a mapping, a LivingPlan, {', '.join(_IN_MEMORY + _IN_WORKSPACE)}"
    )


def _from_mapping(spec: Mapping[str, Any], workspace_present: bool) -> ResolvedLivingPlan:
    for key in spec:
        if key not in _KEYS:
            raise unknown("living_plan", key, _KEYS)
    if not spec.get("enabled", True):
        return ResolvedLivingPlan.disabled()
    mirror = _possible(spec.get("mirror", workspace_present), workspace_present, "living_plan.mirror")
    recall = _possible(spec.get("include_recall", mirror), workspace_present, "living_plan.include_recall")
    return _enabled(
        mirror=mirror,
        include_recall=recall,
        task_id=spec.get("task_id"),
        author=spec.get("author"),
        seed_plan=_seed(spec.get("seed_plan")),
        auto_stop_hook=bool(spec.get("auto_stop_hook", True)),
    )


def _seed(spec: Any) -> LivingPlan | None:
    if spec is None or isinstance(spec, LivingPlan):
        return spec
    if isinstance(spec, Mapping):
        return plan_from(spec.get("goal"), spec.get("steps"))
    raise ConfigError(f"living_plan.seed_plan is a LivingPlan or {{goal, steps}}, not {type(spec).__name__}")


def _possible(wanted: Any, workspace_present: bool, what: str) -> bool:
    if wanted and not workspace_present:
        raise ConfigError(f"{what} needs a workspace: give the agent workspace=")
    return bool(wanted)


def _enabled(
    *,
    mirror: bool,
    include_recall: bool | None = None,
    task_id: str | None = None,
    author: str | None = None,
    seed_plan: LivingPlan | None = None,
    auto_stop_hook: bool = True,
) -> ResolvedLivingPlan:
    return ResolvedLivingPlan(
        enabled=True,
        mirror_to_workspace=mirror,
        include_recall=mirror if include_recall is None else include_recall,
        task_id=task_id,
        author=author,
        seed_plan=seed_plan,
        auto_stop_hook=auto_stop_hook,
    )
