"""One writes, another judges."""

import json

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core.architectures.actor_critic import ActorCritic, Critique, read_critique
from agents.core.llm.scripted import ScriptedTurn
from agents.core.team import Team
from governance.core.budget import BudgetConfig
from governance.core.standard_budget import StandardBudget
from loom.errors import TransientModelError
from tests.unit.agents.architectures.cast import Cast, Fates, both, replays


def verdict(score, *issues):
    return json.dumps({"issues": issues, "score": score, "summary": "so-so"})


def pair(cast, actor, critic, **options):
    return ActorCritic(actor=cast.agent("actor", *actor), critic=cast.agent("critic", *critic), **options)


async def test_the_actor_improves_until_the_critic_approves():
    cast = Cast()
    duo = pair(cast, ["Draft.", "Better."], [verdict(0.4, "too short", "dull"), verdict(0.95)])

    result = await cast.team(duo).run("Write.", emit=cast.hear)

    assert cast.order() == ["actor", "critic", "actor", "critic"]
    assert cast.prompts()[0] == ("actor", "Write.")
    assert "Task:\nWrite.\n\nOutput:\nDraft." in cast.prompts()[1][1]
    assert "Your output:\nDraft.\n\nWhat must change:\n- too short\n- dull\n" in cast.prompts()[2][1]
    assert (result.output, result.turns, result.tokens_out) == ("Better.", 4, 40)
    assert cast.names() == [
        "actor_critic.round_started",
        "actor_critic.critiqued",
        "actor_critic.round_started",
        "actor_critic.critiqued",
        "actor_critic.approved",
    ]


async def test_after_the_last_round_the_last_output_stands():
    cast = Cast()
    duo = pair(cast, ["1", "2"], [verdict(0.1, "x")] * 2, max_rounds=2)

    result = await cast.team(duo).run("Write.", emit=cast.hear)

    assert (result.output, result.interrupted) == ("2", False)
    assert cast.told()[-1] == {"name": "actor_critic.max_rounds_reached", "rounds": 2, "score": 0.1}


@pytest.mark.parametrize(
    ("text", "critique"),
    [
        (verdict(0.5, "a"), Critique(0.5, ("a",), "so-so")),
        (f"Here you are:\n```json\n{verdict(1)}\n```", Critique(1.0, (), "so-so")),
        ('{"score": "8/10", "issues": "one"}', Critique(0.8, ("one",))),
        ('{"score": "85%"}', Critique(0.85, ())),
        ('{"score": null}', Critique(0.0, (), readable=False)),
        ('{"score": 0}', Critique(0.0, ())),
        ("Good.\nScore: 7 out of 10", Critique(0.7, ("Good.\nScore: 7 out of 10",))),
        (
            "Every one of the 10 numbers is wrong.",
            Critique(0.0, ("Every one of the 10 numbers is wrong.",), readable=False),
        ),
        ("", Critique(0.0, (), readable=False)),
    ],
)
def test_critiques_are_read_strictly(text, critique):
    assert read_critique(text) == critique


async def test_a_critic_without_a_score_is_asked_once_more():
    cast = Cast()
    duo = pair(cast, ["Draft.", "Better."], ["It is dull.", verdict("3/10"), verdict(1)])

    result = await cast.team(duo).run("Write.", emit=cast.hear)

    assert cast.order() == ["actor", "critic", "critic", "actor", "critic"]
    assert "Your answer was:\nIt is dull.\n\nI could not read a score in that." in cast.prompts()[2][1]
    assert "What must change:\n- It is dull.\n" in cast.prompts()[3][1]
    assert [(e["score"], e["readable"]) for e in cast.told() if e["name"] == "actor_critic.critiqued"] == [
        (0.3, True),
        (1.0, True),
    ]
    assert result.output == "Better."


async def test_a_critique_that_stays_without_a_score_counts_as_zero_and_says_so():
    cast = Cast()
    duo = pair(cast, ["Draft."], ["Well.", "Hm."], max_rounds=1)

    result = await cast.team(duo).run("Write.", emit=cast.hear)

    [critiqued] = [event for event in cast.told() if event["name"] == "actor_critic.critiqued"]
    assert (critiqued["score"], critiqued["readable"], critiqued["issues"]) == (0.0, False, ["Hm."])
    assert result.output == "Draft."


async def test_templates_are_filled_in_and_braces_stay():
    cast = Cast()
    duo = pair(
        cast,
        ["{output}", "x"],
        [verdict(0, "y"), verdict(1)],
        critique_template="{prompt}|{output}|{other}",
        refine_template="{issues}|{summary}",
    )

    await cast.team(duo).run("{issues}")

    assert [prompt for _, prompt in cast.prompts()[1:3]] == ["{issues}|{output}|{other}", "- y|so-so"]


async def test_instructions_bind_the_actor_and_are_quoted_to_the_critic():
    cast = Cast()
    team = cast.team(pair(cast, ["1"], [verdict(1)]), instructions="Answer in rhyme.")

    await team.run("Write.")

    assert "with these instructions, follow them:\nAnswer in rhyme." in cast.heard_by("actor")
    assert "<instructions>\nAnswer in rhyme.\n</instructions>" in cast.heard_by("critic")


@pytest.mark.parametrize("who", ["actor", "critic"])
async def test_whoever_is_cut_short_says_so(who):
    cast = Cast()
    blocked = {"budget": StandardBudget(BudgetConfig(max_tokens=0))}
    duo = ActorCritic(
        actor=cast.agent("actor", "1", **(blocked if who == "actor" else {})),
        critic=cast.agent("critic", verdict(1), **(blocked if who == "critic" else {})),
    )

    result = await cast.team(duo).run("Write.")

    assert result.interruption_reason == f"{who}:budget:max_tokens"


async def test_a_failing_critic_surfaces_as_itself_and_by_name():
    cast = Cast()

    with pytest.raises(TransientModelError) as caught:
        await cast.team(pair(cast, ["1"], [TransientModelError("busy")])).run("Write.")

    assert caught.value.facts["worker"] == "worker:critic#1"


async def test_a_replay_asks_nobody():
    cast = Cast()

    journal = await replays(cast, cast.team(pair(cast, ["1", "2"], [verdict(0), verdict(1)])))

    assert [s for s in journal.steps() if s.endswith("/model")] == [
        f"worker:{who}/turn:1/model" for who in ("actor#1", "critic#1", "actor#2", "critic#2")
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=12))
def test_two_users_on_one_pair_never_mix(dealt):
    async def scene():
        cast, fates = Cast(), Fates(dealt)

        async def judge(messages):
            await fates(messages)
            return ScriptedTurn(verdict(1))

        team = Team.actor_critic(
            cast.agent("actor", *[fates] * 4), cast.agent("critic", *[judge] * 4), model=cast.agent("x").model
        )
        assert await both(team) == {"ann": ["answer for ann"] * 2, "cem": ["answer for cem"] * 2}
        fates.check_apart("ann", "cem")

    anyio.run(scene)


@pytest.mark.parametrize("wrong", [{"max_rounds": 0}, {"approval_threshold": 1.5}, {"role_to_worker_id": {"x": "1"}}])
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        pair(Cast(), [], [], **wrong)
