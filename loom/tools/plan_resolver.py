"""A living plan from what the constructor takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.plan_resolver import ResolvedLivingPlan as ResolvedLivingPlan
    from agents.core.plan_resolver import resolve_living_plan as resolve_living_plan

HOMES = {
    "ResolvedLivingPlan": "agents.core.plan_resolver",
    "resolve_living_plan": "agents.core.plan_resolver",
}

__all__ = [
    "ResolvedLivingPlan",
    "resolve_living_plan",
]

__getattr__, __dir__ = door(__name__, HOMES)
