"""The living plan and its tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.plan import LivingPlan as LivingPlan
    from agents.core.plan import LivingPlanStep as LivingPlanStep
    from agents.core.plan import get_active_plan as get_active_plan
    from agents.core.plan_tools import living_plan_prompt_section as living_plan_prompt_section
    from agents.core.plan_tools import make_plan_tools as make_plan_tools
    from agents.core.plan_tools import make_recall_past_plans_tool as make_recall_past_plans_tool

HOMES = {
    "LivingPlan": "agents.core.plan",
    "LivingPlanStep": "agents.core.plan",
    "get_active_plan": "agents.core.plan",
    "living_plan_prompt_section": "agents.core.plan_tools",
    "make_plan_tools": "agents.core.plan_tools",
    "make_recall_past_plans_tool": "agents.core.plan_tools",
}

__all__ = [
    "LivingPlan",
    "LivingPlanStep",
    "get_active_plan",
    "living_plan_prompt_section",
    "make_plan_tools",
    "make_recall_past_plans_tool",
]

__getattr__, __dir__ = door(__name__, HOMES)
