"""Peers that hand over."""

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from agents.core.architectures.swarm import Handoff, Swarm
from agents.core.llm.scripted import ScriptedTurn
from agents.core.team import Team
from governance.core.budget import BudgetConfig
from governance.core.permissions import StandardPermissions
from governance.core.standard_budget import StandardBudget
from loom.errors import TransientModelError
from loom.events import EventKind, Kind, record_of
from loom.messages import Usage
from tests.unit.agents.architectures.cast import Cast, Fates, both, replays, tool_turn


class Refund(BaseModel):
    """What billing needs to know."""

    order: int
    reason: str


def handoff(target, message="over to you"):
    return tool_turn(("handoff", {"target": target, "message": message}))


def offered(cast, who):
    """The results that an agent's handoff tools gave it."""
    return [e.payload["result"].text() for e in cast.events if e.kind is EventKind.TOOL_RESULT and who in e.worker]


async def test_control_goes_from_hand_to_hand_and_the_last_one_answers():
    cast = Cast()
    agents = {
        "triage": cast.agent("triage", handoff("billing", "charged twice"), "Wait."),
        "billing": cast.agent("billing", "Refunded."),
    }

    result = await cast.team(Swarm(agents=agents, entry_agent="triage")).run("Help!", emit=cast.hear)

    assert cast.order() == ["triage", "triage", "billing"]
    assert cast.prompts()[2][1] == (
        "The conversation so far:\nuser: Help!\ntriage: Wait.\n\ntriage hands over to you: charged twice"
    )
    assert (result.output, result.turns) == ("Refunded.", 2)
    assert cast.told()[1] == {
        "name": "swarm.handoff",
        "source": "triage",
        "target": "billing",
        "message": "charged twice",
    }
    [event] = [e for e in cast.events if e.payload.get("name") == "swarm.handoff"]
    assert record_of(event).kind == Kind.HANDOFF
    assert cast.names()[-1] == "swarm.completed"


async def test_without_the_history_only_the_message_is_passed_on():
    cast = Cast()
    agents = {"a": cast.agent("a", handoff("b", "do this"), "x"), "b": cast.agent("b", "done")}

    await cast.team(Swarm(agents=agents, entry_agent="a", pass_full_history=False)).run("Secret.")

    assert cast.heard_by("b") == "You are b.\ndo this"


async def test_a_typed_handoff_brings_its_payload_and_a_filter_chooses_the_history():
    cast, seen = Cast(), []

    def keep_nothing(history, payload):
        seen.append((len(history), payload))
        return [history[0]]

    billing = Handoff(
        cast.agent("billing", "Refunded."), input_type=Refund, input_filter=keep_nothing, description="pays back"
    )
    call = ("transfer_to_billing", {"order": 7, "reason": "broken"})
    agents = {"triage": cast.agent("triage", tool_turn(call), "Chatter."), "billing": billing}

    await cast.team(Swarm(agents=agents, entry_agent="triage")).run("Help!", emit=cast.hear)

    assert seen == [(2, Refund(order=7, reason="broken"))]
    assert cast.prompts()[-1] == (
        "billing",
        'user: Help!\n\ntriage hands over to you: {"order": 7, "reason": "broken"}',
    )


async def test_with_one_typed_peer_every_peer_has_a_tool_of_its_own():
    cast = Cast()
    agents = {
        "a": cast.agent("a", tool_turn(("to_b", {"message": "hi"})), "x"),
        "b": Handoff(cast.agent("b", tool_turn(("transfer_to_a", {"message": "no"})), "y"), tool_name="to_b"),
        "c": Handoff(cast.agent("c"), input_type=Refund),
    }

    result = await cast.team(Swarm(agents=agents, entry_agent="a", max_handoffs=1)).run("Go.", emit=cast.hear)

    assert result.interruption_reason == "swarm:max_handoffs_reached"
    assert [p["target"] for p in cast.told() if p["name"] == "swarm.handoff"] == ["b"]


async def test_a_payload_that_does_not_fit_is_told_to_the_agent():
    cast = Cast()
    call = ("transfer_to_b", {"order": "many", "reason": "x"})
    agents = {"a": cast.agent("a", tool_turn(call), "Then not."), "b": Handoff(cast.agent("b"), input_type=Refund)}

    result = await cast.team(Swarm(agents=agents, entry_agent="a")).run("Go.", emit=cast.hear)

    assert result.output == "Then not."
    assert "'many' is not of type 'integer'" in offered(cast, "a")[0]


async def test_nobody_can_be_handed_to_who_is_not_there():
    cast = Cast()
    agents = {"a": cast.agent("a", handoff("zed"), "Then not."), "b": cast.agent("b")}

    result = await cast.team(Swarm(agents=agents, entry_agent="a")).run("Go.", emit=cast.hear)

    assert (result.output, offered(cast, "a")) == ("Then not.", ["Error: unknown agent 'zed'; there are b"])


async def test_the_first_handoff_of_a_turn_counts():
    cast = Cast()
    both_at_once = tool_turn(*[("handoff", {"target": t, "message": t}) for t in ("c", "b")])
    agents = {"a": cast.agent("a", both_at_once, "x"), "b": cast.agent("b", "B"), "c": cast.agent("c", "C")}

    assert (await cast.team(Swarm(agents=agents, entry_agent="a")).run("Go.")).output == "C"


async def test_going_to_and_fro_is_stopped():
    cast = Cast()
    agents = {
        "a": cast.agent("a", *[handoff("b"), "a says"] * 9),
        "b": cast.agent("b", *[handoff("a"), "b says"] * 9),
    }

    result = await cast.team(Swarm(agents=agents, entry_agent="a")).run("Go.", emit=cast.hear)

    assert [p["agent"] for p in cast.told() if p["name"] == "swarm.agent_started"] == ["a", "b", "a"]
    assert cast.told()[-1] == {"name": "swarm.cycle_detected", "trail": ["a", "b", "a"], "target": "b"}
    assert (result.output, result.interruption_reason) == ("a says", "swarm:cycle_detected")


async def test_without_the_check_the_number_of_handoffs_is_the_limit():
    cast = Cast()
    agents = {
        "a": cast.agent("a", *[handoff("b"), "x"] * 9),
        "b": cast.agent("b", *[handoff("a"), "y"] * 9),
    }

    result = await cast.team(Swarm(agents=agents, entry_agent="a", detect_cycles=False, max_handoffs=4)).run(
        "Go.", emit=cast.hear
    )

    assert cast.names().count("swarm.handoff") == 4
    assert result.interruption_reason == "swarm:max_handoffs_reached"


async def test_the_gate_stands_before_a_handoff():
    cast = Cast()
    agents = {"a": cast.agent("a", handoff("b"), "I stay."), "b": cast.agent("b")}
    rules = StandardPermissions(denied_tools=["handoff"])

    assert (await cast.team(Swarm(agents=agents, entry_agent="a"), permissions=rules).run("Go.")).output == "I stay."


async def test_the_teams_instructions_and_tools_are_its_agents():
    cast = Cast()

    def stamp() -> str:
        """Stamp it."""
        return "stamped"

    agents = {"a": cast.agent("a", tool_turn(("stamp", {})), "Done."), "b": cast.agent("b")}

    await cast.team(Swarm(agents=agents, entry_agent="a"), instructions="Be kind.", tools=[stamp]).run("Go.")

    assert "Be kind." in cast.heard_by("a")
    assert "stamped" in cast.heard_by("a", 1)


async def test_an_agent_that_is_cut_short_says_so():
    cast = Cast()
    blocked = StandardBudget(BudgetConfig(max_tokens=0))

    result = await cast.team(Swarm(agents={"a": cast.agent("a", "x", budget=blocked)}, entry_agent="a")).run("Go.")

    assert result.interruption_reason == "swarm:budget:max_tokens"


async def test_a_failing_agent_surfaces_as_itself_and_by_name():
    cast = Cast()
    agents = {"a": cast.agent("a", handoff("b"), "x"), "b": cast.agent("b", TransientModelError("busy"))}

    with pytest.raises(TransientModelError, match="busy") as caught:
        await cast.team(Swarm(agents=agents, entry_agent="a")).run("Go.")

    assert caught.value.facts["worker"] == "worker:b#1"


async def test_a_replay_asks_nobody_and_hands_over_again():
    cast = Cast()
    agents = {"a": cast.agent("a", handoff("b"), "x", "y"), "b": cast.agent("b", handoff("a"), "z")}

    journal = await replays(cast, cast.team(Swarm(agents=agents, entry_agent="a")))

    assert "worker:a#2/turn:1/model" in journal.steps()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=12))
def test_two_users_in_one_swarm_never_mix(dealt):
    async def scene():
        cast, fates = Cast(), Fates(dealt)

        async def triage(messages):
            await anyio.sleep(0)
            turn = handoff("desk", messages[-1].content)
            return turn if messages[-1].role == "user" else ScriptedTurn("wait", usage=Usage(output_tokens=1))

        agents = {"triage": cast.agent("triage", *[triage] * 8), "desk": cast.agent("desk", *[fates] * 4)}
        team = Team.swarm(agents, "triage", model=cast.agent("x").model)
        assert await both(team) == {"ann": ["answer for ann"] * 2, "cem": ["answer for cem"] * 2}
        fates.check_apart("ann", "cem")

    anyio.run(scene)


def test_what_makes_no_sense_is_refused():
    agent = Cast().agent("a")
    for wrong in (
        {"agents": {}},
        {"entry_agent": "z"},
        {"max_handoffs": -1},
        {"agents": {"a": Handoff(agent, tool_name="t"), "b": Handoff(agent, tool_name="t")}},
        {"role_to_worker_id": {"z": "1"}},
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            Swarm(**{"agents": {"a": agent}, "entry_agent": "a", **wrong})
