"""What a worker has of its own, what it has of its team, and what it never hears."""

from contextlib import suppress

from agents.core.architectures.router import Router, RouterRoute
from agents.core.architectures.supervisor import Supervisor
from agents.core.architectures.swarm import Handoff
from agents.core.stop_hooks import StopHookResult
from agents.core.team import Team, run_architecture
from agents.core.workflow import Workflow
from agents.core.workspace.in_memory import InMemoryWorkspace
from audit.core.log import FullTranscriptAuditLog, InMemoryAuditLog
from audit.core.telemetry import InMemoryTelemetry
from governance.core.hooks import HookRegistry
from governance.core.permissions import PermissionDecision
from governance.core.secrets import DictSecrets
from loom.context import get_run_context
from loom.errors import PermanentModelError
from memory.core.backends.in_memory import InMemoryMemory
from tests.unit.agents.architectures.cast import Cast, tool_turn


def desk_of(agent):
    return Router(routes=[RouterRoute("desk", agent)])


def stamp() -> str:
    """Stamp."""
    return "stamped"


async def test_a_worker_may_use_the_teams_tools_after_its_own():
    cast = Cast()

    def stamp() -> str:
        """The team's stamp."""
        return "team's"

    def seal() -> str:
        """The team's seal."""
        return "team's seal"

    own = cast.agent("desk", tool_turn(("stamp", {}), ("seal", {})), "Done.", tools=[_stamp_of_the_desk()])

    await cast.team(desk_of(own), "route: desk", tools=[stamp, seal]).run("Go.")

    assert [m.content for m in cast.asked[-1][1] if m.role == "tool"] == ["desk's", "team's seal"]


def _stamp_of_the_desk():
    def stamp() -> str:
        """The desk's stamp."""
        return "desk's"

    return stamp


async def test_a_worker_runs_for_the_teams_user_and_run_in_a_session_of_its_own():
    cast, contexts = Cast(), []

    def remember(messages):
        contexts.append(get_run_context())
        return tool_turn()

    team = cast.team(desk_of(cast.agent("desk", remember)), "route: desk")

    await team.run("Go.", user_id="ann", session_id="s", metadata={"plan": "gold"})

    [context] = contexts
    assert (context.user_id, context.metadata) == ("ann", {"plan": "gold"})
    assert context.session_id == f"s:{context.run_id}:worker:desk#1"


async def test_a_persistent_workers_conversation_is_not_told_to_its_peers():
    cast = Cast()
    agents = {
        "a": cast.agent("a", tool_turn(("handoff", {"target": "b", "message": "next"})), "the plan is red"),
        "b": Handoff(cast.agent("b", "ok"), input_filter=lambda history, payload: []),
    }

    await Team.swarm(agents, "a", model=cast.agent("x").model).run("the plan", user_id="ann")

    assert cast.heard_by("b") == "You are b.\na hands over to you: next"


async def test_what_passing_workers_did_is_remembered_as_the_teams():
    cast, memory = Cast(), InMemoryMemory()

    await cast.team(desk_of(cast.agent("desk", "Yes.")), "route: desk", memory=memory).run("Go?", user_id="ann")

    episodes = (await memory.export(user_id="ann")).episodes
    assert [(e.input, e.output) for e in episodes] == [("Go?", "Yes.")]


async def test_a_worker_with_a_memory_of_its_own_keeps_it():
    cast, own = Cast(), InMemoryMemory()
    team = cast.team(desk_of(cast.agent("desk", "Yes.", memory=own)), "route: desk")

    await team.run("Go?", user_id="ann")

    assert [e.output for e in (await own.export(user_id="ann")).episodes] == ["Yes."]


async def test_a_worker_that_watches_its_calls_takes_no_guard_of_the_team_away():
    cast, heard = Cast(), []

    async def refuse(call):
        heard.append("team before")
        return PermissionDecision.deny_("not today") if heard.count("team before") > 1 else None

    async def team_after(call, result):
        heard.append("team after")

    async def own_after(call, result):
        heard.append("worker after")

    own = HookRegistry(post_tool_hooks=[own_after])
    worker = cast.agent("desk", tool_turn(("stamp", {})), tool_turn(("stamp", {})), "Done.", tools=[stamp], hooks=own)
    team = cast.team(desk_of(worker), "route: desk", hooks=HookRegistry([refuse], [team_after]))

    await team.run("Go.", user_id="ann")

    assert heard == ["team before", "team after", "worker after", "team before"]
    assert [m.content for m in cast.asked[-1][1] if m.role == "tool"] == ["stamped", "DENIED: not today"]


async def test_hooks_that_a_team_and_its_worker_share_hear_of_a_call_once():
    cast, heard = Cast(), []

    async def hear(call, result):
        heard.append(call.tool)

    hooks = HookRegistry(post_tool_hooks=[hear])
    worker = cast.agent("desk", tool_turn(("stamp", {})), "Done.", tools=[stamp], hooks=hooks)

    await cast.team(desk_of(worker), "route: desk", hooks=hooks).run("Go.", user_id="ann")

    assert heard == ["stamp"]


async def test_hooks_that_decide_by_user_are_told_the_user_of_a_workers_call_too():
    cast, heard = Cast(), []

    class ByUser(HookRegistry):
        async def pre_tool(self, call, *, user_id=None):
            heard.append(("before", user_id))
            return await super().pre_tool(call, user_id=user_id)

        async def post_tool(self, call, result, *, user_id=None):
            heard.append(("after", user_id))

    async def allow(call):
        return None

    worker = cast.agent("desk", tool_turn(("stamp", {})), "Done.", tools=[stamp], hooks=ByUser([allow]))

    await cast.team(desk_of(worker), "route: desk", hooks=ByUser([allow])).run("Go.", user_id="ann")

    assert heard == [("before", "ann")] * 2 + [("after", "ann")] * 2


async def test_hooks_that_are_shared_over_a_team_with_others_between_hear_of_a_call_once():
    cast, heard = Cast(), []

    async def before(call):
        heard.append("shared before")

    async def after(call, result):
        heard.append("shared after")

    async def between(call):
        heard.append("between")

    shared = HookRegistry([before], [after])
    worker = cast.agent("desk", tool_turn(("stamp", {})), "Done.", tools=[stamp], hooks=shared)
    middle = cast.team(desk_of(worker), "route: desk", hooks=HookRegistry([between]))

    await cast.team(desk_of(middle), "route: desk", hooks=shared).run("Go.", user_id="ann")

    assert heard == ["shared before", "between", "shared after"]


async def test_the_secrets_of_a_worker_are_not_in_the_audit_log_or_the_telemetry_of_its_team():
    cast, log, telemetry = Cast(), InMemoryAuditLog(), InMemoryTelemetry()

    def unlock(word: str) -> str:
        """Unlock."""
        raise ValueError(f"{word} is wrong")

    call, secrets = tool_turn(("unlock", {"word": "correct horse"})), DictSecrets({"door": "correct horse"})
    worker = cast.agent("desk", call, "Done.", tools=[unlock], secrets=secrets)
    team = cast.team(desk_of(worker), "route: desk", audit_log=FullTranscriptAuditLog(log), telemetry=telemetry)

    await team.run("Go.", user_id="ann")

    [said] = await log.query(action="tool_call")
    assert said.payload["args"] == {"word": "[REDACTED]"}
    assert "correct horse" not in repr(await log.all_entries()) + repr(telemetry.spans())


async def test_an_error_of_a_worker_tells_the_telemetry_of_its_team_no_secret():
    cast, telemetry = Cast(), InMemoryTelemetry()
    refused = PermanentModelError("the key correct horse is refused")
    worker = cast.agent("desk", refused, secrets=DictSecrets({"door": "correct horse"}))

    with suppress(PermanentModelError):
        await cast.team(desk_of(worker), "route: desk", telemetry=telemetry).run("Go.", user_id="ann")

    asked = [span for span in telemetry.spans() if "is refused" in repr(span) and "model" in span.name]
    assert asked
    assert "correct horse" not in repr(asked)


async def test_workers_write_in_the_teams_workspace_under_their_own_names():
    cast, workspace = Cast(), InMemoryWorkspace()
    agent = cast.agent("desk", tool_turn(("note", {"title": "Finding", "body": "Rats."})), "Noted.")

    await cast.team(desk_of(agent), "route: desk", workspace=workspace).run("Go.", user_id="ann")

    [note] = await workspace.list_notes(user_id="ann")
    assert note.author == "desk"


async def test_the_teams_tone_is_its_workers():
    cast = Cast()

    await cast.team(desk_of(cast.agent("desk", "Aye.")), "route: desk").run("Go.", response_tone="like a pirate")

    assert "like a pirate" in cast.heard_by("desk")


async def test_a_supervisor_sent_back_to_work_has_its_instructions_as_they_were():
    cast, seen = Cast(), []

    class Once:
        name = "once"

        async def __call__(self, session, deps, *, iteration):
            seen.append(session.instructions)
            return StopHookResult("More.") if iteration == 1 else None

    call = ("delegate", {"worker": "w", "instructions": "work"})
    team = cast.team(
        Supervisor(workers={"w": cast.agent("w", "1", "2")}),
        *[tool_turn(call), "Ok."] * 2,
        instructions="Manage.",
        stop_hooks=[Once()],
    )

    await team.run("Go.")

    assert seen == ["Manage.", "Manage."]
    assert cast.order() == ["team", "w", "team"] * 2


async def test_a_strategy_can_be_run_without_an_agent_around_it():
    cast = Cast()
    supervisor = Supervisor(workers={"w": cast.agent("w")})

    result = await run_architecture(supervisor, "Go.", model=cast.agent("x", "Alone.").model, instructions="Manage.")

    assert result.output == "Alone."


async def test_the_talk_with_a_persistent_worker_is_not_recalled_beside_the_answer():
    cast = Cast()
    routes = [RouterRoute("desk", cast.agent("desk", "Yes.", "No."))]
    team = Team.router(routes, model=cast.agent("team", *["route: desk"] * 2).model)

    await team.run("Is it red?", user_id="ann", session_id="s1")
    await team.run("Is it blue?", user_id="ann", session_id="s2")

    assert cast.heard_by("team", 1).count("Is it red?") == 1


async def test_a_workflows_user_and_memory_reach_the_workers_of_a_team_in_it():
    cast, memory, users = Cast(), InMemoryMemory(), []
    await memory.update_block("likes", "tea", user_id="ann")

    def note_user(messages):
        users.append(get_run_context().user_id)
        return tool_turn()

    inner = Workflow.chain([cast.team(desk_of(cast.agent("desk", note_user)), "route: desk")], name="inner")

    await Workflow.chain([inner], memory=memory).run("Go.", user_id="ann")

    assert users == ["ann"]
    assert "tea" in cast.heard_by("desk")
