"""A manager and its workers."""

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core.architectures.base import Architecture
from agents.core.architectures.self_refine import SelfRefine
from agents.core.architectures.supervisor import Supervisor
from agents.core.team import Team
from audit.core.log import InMemoryAuditLog
from governance.core.budget import BudgetConfig
from governance.core.permissions import StandardPermissions
from governance.core.standard_budget import StandardBudget
from loom.errors import TransientModelError
from loom.events import EventKind
from loom.messages import Usage
from tests.unit.agents.architectures.cast import Cast, Fates, both, over, replays, tool_turn
from tests.unit.agents.architectures.stage import Recording


def delegate(worker, instructions):
    return "delegate", {"worker": worker, "instructions": instructions}


def forward(worker):
    return "forward_message", {"worker": worker}


def results(cast):
    return [e.payload["result"].text() for e in cast.events if e.kind is EventKind.TOOL_RESULT and not e.worker]


async def test_the_manager_delegates_and_answers_with_what_comes_back():
    cast = Cast()
    workers = {"scout": cast.agent("scout", "Paris."), "clerk": cast.agent("clerk", "PARIS")}
    team = cast.team(
        Supervisor(workers=workers),
        tool_turn(delegate("scout", "Find the capital.")),
        tool_turn(delegate("clerk", "Write Paris in capitals.")),
        "It is PARIS.",
        instructions="Manage.",
    )

    result = await team.run("Capital of France?", user_id="ann", emit=cast.hear)

    assert cast.prompts() == [
        ("team", "Capital of France?"),
        ("scout", "Find the capital."),
        ("team", "Paris."),
        ("clerk", "Write Paris in capitals."),
        ("team", "PARIS"),
    ]
    assert (result.output, result.turns, result.tokens_out) == ("It is PARIS.", 3, 50)
    assert cast.names() == ["supervisor.workers_ready", "supervisor.completed"]
    assert cast.heard_by("team").startswith("Manage.")
    assert "- scout: You are scout." in cast.heard_by("team")


async def test_what_is_delegated_in_one_turn_is_done_at_the_same_time():
    cast, met = Cast(), [anyio.Event(), anyio.Event()]

    def meeting(mine, other):
        async def line(messages):
            met[mine].set()
            with anyio.fail_after(5):
                await met[other].wait()
            return tool_turn()

        return line

    workers = {"a": cast.agent("a", meeting(0, 1)), "b": cast.agent("b", meeting(1, 0))}
    team = cast.team(Supervisor(workers=workers), tool_turn(delegate("a", "1"), delegate("b", "2")), "Both.")

    assert (await team.run("Go.")).output == "Both."


async def test_a_forwarded_answer_is_the_answer_word_for_word():
    cast = Cast()
    team = cast.team(
        Supervisor(workers={"scout": cast.agent("scout", "First.", " Verbatim, 100%. ")}),
        tool_turn(delegate("scout", "1")),
        tool_turn(delegate("scout", "2")),
        tool_turn(forward("scout")),
        "A summary.",
    )

    result = await team.run("Go.", emit=cast.hear)

    assert result.output == " Verbatim, 100%. "
    assert cast.told()[1:] == [
        {"name": "supervisor.forwarded", "worker": "scout"},
        {"name": "supervisor.completed", "delegations": 2},
    ]


async def test_forwarding_in_the_turn_of_the_delegation_is_refused_whatever_came_first():
    cast = Cast()
    team = cast.team(
        Supervisor(workers={"scout": cast.agent("scout", "Paris.")}),
        tool_turn(delegate("scout", "1"), forward("scout")),
        "Done.",
    )

    assert (await team.run("Go.", emit=cast.hear)).output == "Done."
    assert "Error: scout has not answered yet; give it work first and forward in a later turn" in results(cast)


async def test_unknown_workers_and_wrong_arguments_are_told_to_the_manager():
    cast = Cast()
    team = cast.team(
        Supervisor(workers={"scout": cast.agent("scout")}),
        tool_turn(delegate("zed", "1"), forward("zed"), ("delegate", {"worker": "scout"})),
        "Sorry.",
    )

    await team.run("Go.", emit=cast.hear)

    assert results(cast)[:2] == ["Error: unknown worker 'zed'; there are scout"] * 2
    assert "'instructions' is a required property" in results(cast)[2]
    assert cast.order() == ["team", "team"]


async def test_a_failing_worker_fails_the_run_as_itself_and_by_name():
    cast = Cast()
    workers = {"a": cast.agent("a", "fine"), "b": cast.agent("b", TransientModelError("busy"))}
    team = cast.team(Supervisor(workers=workers), tool_turn(delegate("a", "1"), delegate("b", "2")))

    with pytest.raises(TransientModelError, match="busy") as caught:
        await team.run("Go.")

    assert caught.value.facts["worker"] == "worker:b#1.2"


async def test_a_run_that_failed_in_a_worker_goes_on_at_that_very_step():
    cast, journal = Cast(), Recording()
    workers = {"a": cast.agent("a", "fine"), "b": cast.agent("b", TransientModelError("busy"), "late")}
    team = cast.team(Supervisor(workers=workers), tool_turn(delegate("a", "1")), tool_turn(delegate("b", "2")), "Both.")
    with pytest.raises(TransientModelError):
        await over(journal, team)

    answer = await over(journal, team)

    assert answer.output == "Both."
    assert cast.order() == ["team", "a", "team", "b", "b", "team"]


async def test_a_worker_that_is_cut_short_is_told_to_the_manager_and_marks_the_run():
    cast = Cast()
    again = cast.agent("scout", *[tool_turn(("look", {}))] * 3, max_turns=1, tools=[look])
    team = cast.team(Supervisor(workers={"scout": again}), tool_turn(delegate("scout", "1")), "As far as known.")

    result = await team.run("Go.", emit=cast.hear)

    assert result.output == "As far as known."
    assert result.interruption_reason == "worker:scout:max_turns_exceeded"
    assert "[scout was stopped: max_turns_exceeded]" in results(cast)[0]


def look() -> str:
    """Look around."""
    return "dust"


async def test_a_worker_without_limits_of_its_own_is_under_the_teams():
    cast, log = Cast(), InMemoryAuditLog()
    budget = StandardBudget(BudgetConfig(per_user_max_tokens=100_000))
    scout = cast.agent("scout", tool_turn(("look", {})), "Nothing.", tools=[look])
    team = cast.team(
        Supervisor(workers={"scout": scout}),
        tool_turn(delegate("scout", "1")),
        "Nothing there.",
        budget=budget,
        permissions=StandardPermissions(denied_tools=["look"]),
        audit_log=log,
    )

    result = await team.run("Go.", user_id="ann", emit=cast.hear)

    denied = [e for e in cast.events if e.kind is EventKind.TOOL_RESULT and e.worker == "worker:scout#1.1"]
    assert [e.payload["result"].denied for e in denied] == [True]
    assert result.tokens_out == 40
    assert budget.usage_for("ann")["tokens_out"] == 40
    entries = await log.query()
    assert {entry.user_id for entry in entries} == {"ann"}
    assert [entry.action for entry in entries].count("run_started") == 2


async def test_a_worker_with_rules_of_its_own_keeps_them():
    cast = Cast()
    own = StandardPermissions()
    scout = cast.agent("scout", tool_turn(("look", {})), "Dust.", tools=[look], permissions=own)
    team = cast.team(
        Supervisor(workers={"scout": scout}),
        tool_turn(delegate("scout", "1")),
        "Dust.",
        permissions=StandardPermissions(denied_tools=["look"]),
    )

    await team.run("Go.", emit=cast.hear)

    assert "dust" in cast.heard_by("scout", 1)


async def test_the_gate_stands_before_delegating():
    cast = Cast()
    team = cast.team(
        Supervisor(workers={"scout": cast.agent("scout")}),
        tool_turn(delegate("scout", "1")),
        "I may not.",
        permissions=StandardPermissions(denied_tools=["delegate"]),
    )

    assert (await team.run("Go.")).output == "I may not."
    assert cast.order() == ["team", "team"]


async def test_a_blocked_budget_stops_manager_and_worker():
    cast = Cast()
    budget = StandardBudget(BudgetConfig(max_output_tokens=10))
    team = cast.team(
        Supervisor(workers={"scout": cast.agent("scout", "x")}), tool_turn(delegate("scout", "1")), "y", budget=budget
    )

    result = await team.run("Go.")

    assert cast.order() == ["team"]
    assert result.interruption_reason == "budget:max_output_tokens"


async def test_events_of_workers_carry_their_path_and_their_ends_are_their_own():
    cast = Cast()
    inner = cast.team(
        Supervisor(workers={"scout": cast.agent("scout", "Paris.")}), tool_turn(delegate("scout", "2")), "It is Paris."
    )
    team = cast.team(Supervisor(workers={"lead": inner}), tool_turn(delegate("lead", "1")), "Paris.")

    await team.run("Go.", emit=cast.hear)

    assert {event.worker for event in cast.events} == {"", "worker:lead#1.1", "worker:lead#1.1/worker:scout#1.1"}
    assert [e.kind for e in cast.events].count(EventKind.STARTED) == 1
    assert [e.kind for e in cast.events].count(EventKind.COMPLETED) == 1


async def test_a_replay_asks_nobody_and_counts_all_the_same():
    cast = Cast()
    workers = {"a": cast.agent("a", "1", "3"), "b": cast.agent("b", "2")}
    team = cast.team(
        Supervisor(workers=workers),
        tool_turn(delegate("a", "x"), delegate("b", "y")),
        tool_turn(delegate("a", "z")),
        tool_turn(forward("a")),
        "Ignored.",
    )

    journal = await replays(cast, team)

    paths = {step for step in journal.steps() if step.endswith("/turn:1/model")}
    assert paths == {f"worker:{number}/turn:1/model" for number in ("a#1.1", "b#1.2", "a#2.1")}


async def test_workers_come_and_go():
    cast = Cast()
    supervisor = Supervisor(workers={"a": cast.agent("a")})

    supervisor.add_worker("b", cast.agent("b", "Here."))
    assert list(supervisor.declared_workers()) == ["a", "b"]
    assert supervisor.remove_worker("a") is not None
    assert supervisor.remove_worker("a") is None
    for name in ("b", "not a name", "1st"):
        with pytest.raises(ValueError, match="worker"):
            supervisor.add_worker(name, cast.agent(name))

    assert (await cast.team(supervisor, tool_turn(delegate("b", "1")), "Ok.").run("Go.")).output == "Ok."


async def test_a_base_other_than_react_delegates_too():
    cast = Cast()
    supervisor = Supervisor(workers={"scout": cast.agent("scout", "Paris.")}, base=SelfRefine(max_rounds=1))
    team = cast.team(supervisor, tool_turn(delegate("scout", "1")), "Draft.", "No issues.")
    assert isinstance(supervisor, Architecture)

    journal = await replays(cast, team)

    assert cast.order() == ["team", "scout", "team", "team"]
    assert [step for step in journal.steps() if "scout" in step and step.endswith("model")]


# --- workers that keep a conversation ---------------------------------------------------------------------------------


async def test_a_persistent_worker_remembers_what_was_said_to_it():
    cast = Cast()
    team = Team.supervisor(
        {"scout": cast.agent("scout", "One.", "Two.", "Three.")},
        model=cast.agent(
            "team",
            tool_turn(delegate("scout", "first")),
            tool_turn(("send_message", {"to": "scout", "content": "second"})),
            "Ok.",
            tool_turn(("send_message", {"to": "worker_scout", "content": "third"})),
            "Ok.",
        ).model,
    )

    await team.run("Go.", user_id="ann", session_id="s", emit=cast.hear)
    await team.run("Again.", user_id="ann", session_id="s")

    assert cast.heard_by("scout", 1) == "You are scout.\nfirst\nOne.\nsecond"
    assert cast.heard_by("scout", 2) == "You are scout.\nfirst\nOne.\nsecond\nTwo.\nthird"
    assert {"name": "send_message", "to": "scout", "content": "second"} in cast.told()


async def test_a_persistent_worker_keeps_the_sessions_of_a_user_apart():
    cast = Cast()
    turns = [tool_turn(delegate("scout", "work")), "Ok."]
    team = Team.supervisor({"scout": cast.agent("scout", "1", "2")}, model=cast.agent("team", *turns, *turns).model)

    await team.run("Go.", user_id="ann", session_id="s1")
    await team.run("Go.", user_id="ann", session_id="s2")

    second = [messages for who, messages in cast.asked if who == "scout"][1]
    assert [m.content for m in second if m.role != "system"] == ["work"]


async def test_without_persistence_there_is_nothing_to_send_to():
    cast = Cast()
    team = cast.team(
        Supervisor(workers={"scout": cast.agent("scout", "1")}),
        tool_turn(("send_message", {"to": "scout", "content": "x"})),
        "Ok.",
    )

    await team.run("Go.", emit=cast.hear)

    assert "unknown tool: send_message" in results(cast)[0]


def test_workers_with_ids_are_in_the_registry():
    cast, registry = Cast(), {}
    scout = cast.agent("scout")
    supervisor = Supervisor(workers={"scout": scout}, worker_registry=registry, role_to_worker_id={"scout": "worker_7"})

    supervisor.add_worker("clerk", scout)

    assert registry == {"worker_7": scout, "worker_clerk": scout}
    supervisor.remove_worker("scout")
    assert list(registry) == ["worker_clerk"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=12))
def test_a_team_serves_two_users_at_once_and_mixes_nothing(dealt):
    async def scene():
        cast, fates = Cast(), Fates(dealt)

        async def manager(messages):
            await anyio.sleep(0)
            if messages[-1].role == "user":
                return tool_turn(delegate("scout", messages[-1].content))
            return type(tool_turn())(messages[-1].content, usage=Usage(output_tokens=1))

        team = Team.supervisor(
            {"scout": cast.agent("scout", *[fates] * 4)}, model=cast.agent("team", *[manager] * 8).model
        )
        assert await both(team) == {"ann": ["answer for ann"] * 2, "cem": ["answer for cem"] * 2}
        fates.check_apart("ann", "cem")
        for user_id in ("ann", "cem"):  # the second time each of them is remembered
            heard = [text for seen_for, text in fates.seen if seen_for == user_id]
            assert f"{user_id} asks 0\nanswer for {user_id}\n{user_id} asks 1" in heard[1]

    anyio.run(scene)


def test_what_makes_no_sense_is_refused():
    worker = Cast().agent("w")
    for wrong in (
        {"workers": {}},
        {"workers": {"w": worker}, "delegate_tool_name": "x", "forward_tool_name": "x"},
        {"workers": {"w": worker}, "role_to_worker_id": {"z": "1"}},
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            Supervisor(**wrong)
