"""Tools for agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.plan import LivingPlan as LivingPlan
    from agents.core.plan import LivingPlanStep as LivingPlanStep
    from agents.core.plan import get_active_plan as get_active_plan
    from agents.core.plan_resolver import ResolvedLivingPlan as ResolvedLivingPlan
    from agents.core.plan_resolver import resolve_living_plan as resolve_living_plan
    from agents.core.plan_tools import living_plan_prompt_section as living_plan_prompt_section
    from agents.core.plan_tools import make_plan_tools as make_plan_tools
    from agents.core.plan_tools import make_recall_past_plans_tool as make_recall_past_plans_tool
    from agents.core.tools.beneath import PathEscapeError as PathEscapeError
    from agents.core.tools.builtin import bash_tool as bash_tool
    from agents.core.tools.builtin import default_workdir as default_workdir
    from agents.core.tools.builtin import edit_tool as edit_tool
    from agents.core.tools.builtin import filesystem_tools as filesystem_tools
    from agents.core.tools.builtin import find_tool as find_tool
    from agents.core.tools.builtin import grep_tool as grep_tool
    from agents.core.tools.builtin import ls_tool as ls_tool
    from agents.core.tools.builtin import read_tool as read_tool
    from agents.core.tools.builtin import web_fetch_tool as web_fetch_tool
    from agents.core.tools.builtin import web_tool as web_tool
    from agents.core.tools.builtin import write_tool as write_tool
    from agents.core.tools.host import InProcessToolHost as InProcessToolHost
    from agents.core.tools.tool import Tool as Tool
    from agents.core.tools.tool import tool as tool

HOMES = {
    "InProcessToolHost": "agents.core.tools.host",
    "LivingPlan": "agents.core.plan",
    "LivingPlanStep": "agents.core.plan",
    "PathEscapeError": "agents.core.tools.beneath",
    "ResolvedLivingPlan": "agents.core.plan_resolver",
    "Tool": "agents.core.tools.tool",
    "bash_tool": "agents.core.tools.builtin",
    "default_workdir": "agents.core.tools.builtin",
    "edit_tool": "agents.core.tools.builtin",
    "filesystem_tools": "agents.core.tools.builtin",
    "find_tool": "agents.core.tools.builtin",
    "get_active_plan": "agents.core.plan",
    "grep_tool": "agents.core.tools.builtin",
    "living_plan_prompt_section": "agents.core.plan_tools",
    "ls_tool": "agents.core.tools.builtin",
    "make_plan_tools": "agents.core.plan_tools",
    "make_recall_past_plans_tool": "agents.core.plan_tools",
    "read_tool": "agents.core.tools.builtin",
    "resolve_living_plan": "agents.core.plan_resolver",
    "tool": "agents.core.tools.tool",
    "web_fetch_tool": "agents.core.tools.builtin",
    "web_tool": "agents.core.tools.builtin",
    "write_tool": "agents.core.tools.builtin",
}

__all__ = [
    "InProcessToolHost",
    "LivingPlan",
    "LivingPlanStep",
    "PathEscapeError",
    "ResolvedLivingPlan",
    "Tool",
    "bash_tool",
    "default_workdir",
    "edit_tool",
    "filesystem_tools",
    "find_tool",
    "get_active_plan",
    "grep_tool",
    "living_plan_prompt_section",
    "ls_tool",
    "make_plan_tools",
    "make_recall_past_plans_tool",
    "read_tool",
    "resolve_living_plan",
    "tool",
    "web_fetch_tool",
    "web_tool",
    "write_tool",
]

__getattr__, __dir__ = door(__name__, HOMES)
