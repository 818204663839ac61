"""Agents around a board."""

import json

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core.architectures.blackboard import Blackboard, BlackboardArchitecture
from agents.core.team import Team
from governance.core.budget import BudgetConfig
from governance.core.standard_budget import StandardBudget
from loom.errors import TransientModelError
from tests.unit.agents.architectures.cast import Cast, Fates, both, replays


def choose(agent, instruction=""):
    return json.dumps({"terminate": False, "next_agent": agent, "instruction": instruction})


END = json.dumps({"terminate": True})


def board(cast, agents, *, coordinator=None, decider=None, **options):
    return BlackboardArchitecture(
        agents={name: cast.agent(name, *lines) for name, lines in agents.items()},
        coordinator=cast.agent("boss", *coordinator) if coordinator else None,
        decider=cast.agent("decider", *decider) if decider else None,
        **options,
    )


async def test_a_coordinator_says_who_writes_and_a_decider_answers():
    cast = Cast()
    three = board(
        cast,
        {"guess": ["Maybe rats."], "proof": ["Droppings."]},
        coordinator=[choose("proof", "look in the cellar"), choose("guess"), END],
        decider=["Rats."],
    )

    result = await cast.team(three).run("What ate the bread?", emit=cast.hear)

    assert cast.order() == ["boss", "proof", "boss", "guess", "boss", "decider"]
    assert "For you alone:\n[coordinator] (instruction) look in the cellar" in cast.prompts()[1][1]
    assert "cellar" not in cast.prompts()[3][1]
    assert "[proof] (contribution) Droppings." in cast.prompts()[3][1]
    assert "[proof] (contribution) Droppings.\n[guess] (contribution) Maybe rats." in cast.prompts()[5][1]
    assert (result.output, result.turns) == ("Rats.", 6)
    assert cast.names() == [
        *["blackboard.coordinated", "blackboard.round_started", "blackboard.posted"] * 2,
        "blackboard.coordinated",
        "blackboard.terminated",
        "blackboard.decided",
        "blackboard.completed",
    ]


async def test_without_a_coordinator_they_take_turns_until_one_has_the_answer():
    cast = Cast()

    result = await cast.team(board(cast, {"a": ["one", "ANSWER: three"], "b": ["two"]})).run("Go.", emit=cast.hear)

    assert cast.order() == ["a", "b", "a"]
    assert result.output == "three"


async def test_the_last_contribution_is_the_answer_when_the_rounds_are_over():
    cast = Cast()

    result = await cast.team(board(cast, {"a": ["one", "three"], "b": ["two"]}, max_rounds=3)).run(
        "Go.", emit=cast.hear
    )

    assert (result.output, result.interrupted) == ("three", False)
    assert "blackboard.max_rounds_reached" in cast.names()


@pytest.mark.parametrize("nonsense", ["Let b do it.", choose("zed"), "[1, 2]"])
async def test_a_coordinator_that_names_nobody_leaves_it_to_the_next_in_turn(nonsense):
    cast = Cast()

    await cast.team(board(cast, {"a": ["one"], "b": ["two"]}, coordinator=[nonsense, nonsense, END])).run("Go.")

    assert cast.order() == ["boss", "a", "boss", "b", "boss"]


def test_a_board_shows_everyone_what_is_theirs():
    shared = Blackboard()
    shared.post("a", "for all")
    shared.post("a", "for b", private_to="b", kind="hint")

    assert shared.render_for("c") == "[a] (contribution) for all"
    assert shared.render_for("b") == "[a] (contribution) for all\n\nFor you alone:\n[a] (hint) for b"
    assert [entry.kind for entry in shared.private["b"]] == ["hint"]


async def test_instructions_bind_those_who_answer_and_are_quoted_to_the_coordinator():
    cast = Cast()
    team = cast.team(board(cast, {"a": ["x"]}, coordinator=[choose("a"), END], decider=["y"]), instructions="Be exact.")

    await team.run("Go.")

    assert all("Be exact." in cast.heard_by(who) for who in ("a", "decider", "boss"))
    assert "follow them" not in cast.heard_by("boss")


async def test_an_agent_that_is_cut_short_stops_the_team():
    for who in ("a", "coordinator", "decider"):
        cast = Cast()
        blocked = {"budget": StandardBudget(BudgetConfig(max_tokens=0))}
        lines = {"a": ["x"], "coordinator": [choose("a"), END], "decider": ["y"]}
        agents = {name: cast.agent(name, *lines[name], **(blocked if name == who else {})) for name in lines}
        architecture = BlackboardArchitecture(
            agents={"a": agents["a"]}, coordinator=agents["coordinator"], decider=agents["decider"]
        )

        result = await cast.team(architecture).run("Go.")

        assert result.interruption_reason == f"worker:{who}:budget:max_tokens"


async def test_a_failing_agent_surfaces_as_itself_and_by_name():
    cast = Cast()

    with pytest.raises(TransientModelError, match="busy") as caught:
        await cast.team(board(cast, {"a": [TransientModelError("busy")]})).run("Go.")

    assert caught.value.facts["worker"] == "worker:a#1"


async def test_a_replay_asks_nobody():
    cast = Cast()

    await replays(cast, cast.team(board(cast, {"a": ["x"]}, coordinator=[choose("a", "hm"), END], decider=["y"])))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=12))
def test_two_users_at_one_board_never_mix(dealt):
    async def scene():
        cast, fates = Cast(), Fates(dealt)
        agents = {name: cast.agent(name, *[fates] * 4) for name in "ab"}
        team = Team.blackboard(agents, max_rounds=2, model=cast.agent("x").model)
        assert await both(team) == {"ann": ["answer for ann"] * 2, "cem": ["answer for cem"] * 2}
        fates.check_apart("ann", "cem")

    anyio.run(scene)


@pytest.mark.parametrize(
    "wrong", [{"agents": {}}, {"max_rounds": 0}, {"agents": {"decider": []}}, {"role_to_worker_id": {"z": "1"}}]
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError):  # noqa: PT011
        board(Cast(), **{"agents": {"a": []}, **wrong})
