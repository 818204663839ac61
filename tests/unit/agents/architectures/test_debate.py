"""Several argue, one conclusion."""

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core.architectures.debate import MultiAgentDebate, agree, majority
from agents.core.team import Team
from governance.core.budget import BudgetConfig
from governance.core.standard_budget import StandardBudget
from loom.errors import TransientModelError
from tests.unit.agents.architectures.cast import Cast, Fates, both, replays, tool_turn


def debate(cast, *debaters, judge=None, **options):
    agents = [cast.agent(f"d{number}", *lines) for number, lines in enumerate(debaters, start=1)]
    return MultiAgentDebate(debaters=agents, judge=cast.agent("judge", *judge) if judge else None, **options)


async def test_they_answer_apart_then_read_each_other_then_the_judge_decides():
    cast = Cast()
    three = debate(cast, ["red", "red 2", "red 3"], ["blue", "blue 2", "blue 3"], judge=["Purple."])

    result = await cast.team(three).run("Colour?", emit=cast.hear)

    assert sorted(cast.order()[:2]) == sorted(cast.order()[2:4]) == sorted(cast.order()[4:6]) == ["d1", "d2"]
    assert cast.order()[6:] == ["judge"]
    assert [prompt for _, prompt in cast.prompts()[:2]] == ["Colour?", "Colour?"]
    assert "debater_1: red\n\ndebater_2: blue" in cast.prompts()[2][1]
    assert "red 3" in cast.prompts()[6][1]
    assert (result.output, result.tokens_out) == ("Purple.", 70)
    assert cast.names() == ["debate.round_started"] * 3 + ["debate.judged", "debate.completed"]


async def test_debaters_of_a_round_argue_at_the_same_time():
    cast, met = Cast(), [anyio.Event(), anyio.Event()]

    def meeting(mine, other):
        async def line(messages):
            met[mine].set()
            with anyio.fail_after(5):
                await met[other].wait()
            return tool_turn()

        return line

    await cast.team(debate(cast, [meeting(0, 1)], [meeting(1, 0)])).run("Go.")


async def test_they_stop_when_they_agree_and_need_no_more_rounds():
    cast = Cast()

    result = await cast.team(debate(cast, ["It is 4."], ["it is 4"])).run("2+2?", emit=cast.hear)

    assert result.output == "It is 4."
    assert cast.names() == ["debate.round_started", "debate.converged", "debate.completed"]


async def test_without_the_check_all_rounds_are_argued():
    cast = Cast()

    await cast.team(debate(cast, ["4"] * 3, ["4"] * 3, convergence_check=False)).run("2+2?")

    assert len(cast.asked) == 6


async def test_without_a_judge_most_votes_win():
    cast = Cast()

    result = await cast.team(debate(cast, ["five", "five"], ["4", "Four."], ["4", "four"], rounds=1)).run("2+2?")

    assert result.output == "Four."


def test_votes_ignore_case_and_punctuation_and_the_first_wins_a_tie():
    assert majority(["Yes!", "no", "NO."]) == "no"
    assert majority(["b", "a"]) == "b"
    assert majority(["+", "-", "-"]) == "-"


@pytest.mark.parametrize(
    ("positions", "similarity", "so"),
    [
        (["a b c", "A, B, C!"], 1.0, True),
        (["a b c d", "a b c"], 0.75, True),
        (["a b c d", "a b c"], 0.76, False),
        (["a", "a", "b"], 0.5, False),
        (["", ""], 1.0, True),
    ],
)
def test_agreement_is_the_overlap_of_every_pair(positions, similarity, so):
    assert agree(positions, similarity) is so


async def test_instructions_reach_debaters_and_judge():
    cast = Cast()
    two = debate(cast, ["a"] * 2, ["b"] * 2, judge=["c"], rounds=1, judge_instructions="Be fair.")

    await cast.team(two, instructions="Cite the law.").run("Go.")

    assert all("Cite the law." in cast.heard_by(who) for who in ("d1", "d2", "judge"))
    assert cast.prompts()[-1][1].startswith("Be fair.")


async def test_a_debater_or_judge_that_is_cut_short_says_so():
    for who in ("d1", "judge"):
        cast = Cast()
        blocked = {who: {"budget": StandardBudget(BudgetConfig(max_tokens=0))}}
        agents = {name: cast.agent(name, "same", **blocked.get(name, {})) for name in ("d1", "d2", "judge")}
        three = MultiAgentDebate(debaters=[agents["d1"], agents["d2"]], judge=agents["judge"])

        result = await cast.team(three).run("Go.")

        expected = {"d1": "worker:debater_1:budget:max_tokens", "judge": "judge:budget:max_tokens"}
        assert result.interruption_reason == expected[who]


async def test_a_failing_debater_surfaces_as_itself_and_by_name():
    cast = Cast()

    with pytest.raises(TransientModelError, match="busy") as caught:
        await cast.team(debate(cast, ["a"], [TransientModelError("busy")])).run("Go.")

    assert caught.value.facts["worker"] == "worker:debater_2#1"


async def test_a_replay_asks_nobody():
    cast = Cast()

    await replays(cast, cast.team(debate(cast, ["a", "c"], ["b", "d"], judge=["e"], rounds=1)))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=20))
def test_two_users_in_one_debate_never_mix(dealt):
    async def scene():
        cast, fates = Cast(), Fates(dealt)
        team = Team.debate([cast.agent(name, *[fates] * 4) for name in "ab"], model=cast.agent("x").model)
        assert await both(team) == {"ann": ["answer for ann"] * 2, "cem": ["answer for cem"] * 2}
        fates.check_apart("ann", "cem")

    anyio.run(scene)


@pytest.mark.parametrize("wrong", [{"rounds": 0}, {"convergence_similarity": -0.1}, {"role_to_worker_id": {"x": "1"}}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        debate(Cast(), [], [], **wrong)


def test_nobody_debates_alone():
    with pytest.raises(ValueError, match="at least 2"):
        debate(Cast(), [])
