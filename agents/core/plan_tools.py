"""The tools with which an agent keeps its plan, and what its instructions say about them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import WithJsonSchema

from agents.core.plan import LivingPlan, active_plan, plan_from
from agents.core.tools.tool import Tool, tool
from agents.core.workspace.protocol import EVERYTHING, Workspace
from agents.core.workspace.values import NoteSummary
from loom.context import get_run_context

_STEP = {
    "type": "object",
    "properties": {
        "description": {"type": "string"},
        "status": {"enum": ["todo", "doing", "done", "blocked", "skipped"]},
        "finding": {"type": "string", "description": "what came of it"},
    },
    "required": ["description"],
}
# Any in the check, so that the other forms which models send are read as well.
Steps = Annotated[Any, WithJsonSchema({"type": "array", "items": _STEP, "description": "all steps, in order"})]


def make_plan_tools(
    *, workspace: Workspace | None = None, task_id: str | None = None, author: str = "agent"
) -> list[Tool]:
    """`plan_write` and `plan_read`, which work on the plan of the run that calls them.

    With a workspace every version is also written to a note of kind `plan`: one for each run, or one for the
    `task_id` that all its runs go on with.
    """

    async def write(goal: str, steps: Steps) -> str:
        """Write your whole plan: the goal and every step with its status and finding. Replaces the plan before it."""
        active = active_plan()
        active.written = plan = plan_from(goal, steps)
        if workspace is not None:
            async with active.turn:  # a model may write twice in one turn
                await _mirror(workspace, plan, task_id=task_id, author=author)
        return plan.render()

    async def read() -> str:
        """Read your plan as it stands."""
        plan = active_plan().plan
        return "There is no plan yet; write one with plan_write." if plan is None else plan.render()

    return [
        tool(name="plan_write", effect="idempotent")(write),
        tool(name="plan_read", effect="read")(read),
    ]


def make_recall_past_plans_tool(workspace: Workspace, *, author: str = "agent") -> Tool:
    """`recall_past_plans`: what the same author planned in other runs for the same user."""

    async def recall_past_plans(query: str, limit: int = 3) -> str:
        """Look up plans of earlier runs that were about something similar, with what came of each step."""
        user_id = get_run_context().user_id
        if query.strip():
            matches = await workspace.search_notes(query, user_id=user_id, limit=EVERYTHING)
            summaries = [match.summary for match in matches]
        else:
            summaries = await workspace.list_notes(author=author, kind="plan", user_id=user_id, limit=EVERYTHING)
        found = [summary for summary in summaries if _is_past_plan(summary, author)][: max(limit, 0)]
        notes = [await workspace.read_note(summary.slug, user_id=user_id) for summary in found]
        plans = [f"## {note.title} ({note.updated_at:%Y-%m-%d})\n\n{note.body}" for note in notes if note is not None]
        return "\n\n".join(plans) or "No earlier plan fits."

    return tool(effect="read")(recall_past_plans)


def living_plan_prompt_section(*, has_workspace_mirror: bool) -> str:
    """What the instructions of an agent with a plan say about it."""
    lines = [
        "## Your plan",
        "For work of more than two steps, first write a plan with plan_write. Whenever a step starts, ends or changes,",
        "call plan_write again with the whole plan; keep one step at `doing`, and put what you learned into its",
        "finding. You are done when every step is done, blocked or skipped.",
    ]
    if has_workspace_mirror:
        lines.append("Plans are kept. Before you plan, recall_past_plans may show how something similar went.")
    return "\n".join(lines)


async def _mirror(workspace: Workspace, plan: LivingPlan, *, task_id: str | None, author: str) -> None:
    context, active = get_run_context(), active_plan()
    tag = _tag(task_id, context.run_id)
    if active.note_slug is None and tag:
        active.note_slug = await _slug_of(workspace, tag, author=author, user_id=context.user_id)
    if active.note_slug is not None:
        await workspace.update_note(author=author, slug=active.note_slug, body=plan.render(), user_id=context.user_id)
        return
    note = await workspace.write_note(
        author=author,
        title=f"Plan: {task_id or plan.goal}"[:120],
        body=plan.render(),
        kind="plan",
        tags=[tag] if tag else [],
        user_id=context.user_id,
        run_id=context.run_id or None,
    )
    active.note_slug = note.slug


async def _slug_of(workspace: Workspace, tag: str, *, author: str, user_id: str | None) -> str | None:
    notes = await workspace.list_notes(author=author, kind="plan", user_id=user_id, limit=EVERYTHING)
    return next((note.slug for note in notes if tag in note.tags), None)


def _is_past_plan(summary: NoteSummary, author: str) -> bool:
    own = _tag(None, get_run_context().run_id)
    return summary.kind == "plan" and summary.author == author and (not own or own not in summary.tags)


def _tag(task_id: str | None, run_id: str) -> str:
    """What the note of a plan is found again by, also after the run went on in another process."""
    if task_id is not None:
        return f"task:{task_id}"
    return f"run:{run_id}" if run_id else ""
