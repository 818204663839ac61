"""One call decides who answers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core.architectures.router import Router, RouterRoute
from agents.core.team import Team
from governance.core.budget import BudgetConfig
from governance.core.standard_budget import StandardBudget
from loom.errors import TransientModelError
from tests.unit.agents.architectures.cast import Cast, Fates, both, replays


def routes(cast, *lines, name="billing"):
    return [
        RouterRoute(name, cast.agent(name, *lines), "bills and refunds"),
        RouterRoute("tech", cast.agent("tech", "Turn it off and on.")),
    ]


async def test_the_specialist_that_the_classifier_names_answers():
    cast = Cast()
    team = cast.team(Router(routes=routes(cast, "Refunded.")), "route: billing\nconfidence: 0.9")

    result = await team.run("I was charged twice.", emit=cast.hear)

    assert cast.prompts() == [("team", "I was charged twice."), ("billing", "I was charged twice.")]
    assert (result.output, result.turns, result.tokens_out) == ("Refunded.", 2, 20)
    assert cast.told() == [
        {"name": "router.classified", "route": "billing", "confidence": 0.9},
        {"name": "router.dispatched", "route": "billing", "fallback": False},
        {"name": "router.completed", "route": "billing"},
    ]
    assert "- billing: bills and refunds\n- tech: You are tech." in cast.heard_by("team")


@pytest.mark.parametrize(
    ("said", "named", "confidence"),
    [
        ("route: billing\nconfidence: 0.9", "billing", 0.9),
        ("**Route:** `Billing`\n**Confidence:** 85%", "billing", 0.85),
        ('{"route": "billing", "confidence": "8/10"}', "billing", 0.8),
        ("route: billing", "billing", 0.0),
        ("billing", "billing", 0.0),
        ("route: sales\nconfidence: 1", "sales", 1.0),
        ("I cannot say.", "I cannot say", 0.0),
    ],
)
def test_routes_and_confidences_are_read_however_they_are_dressed(said, named, confidence):
    assert Router(routes=routes(Cast()))._read(said) == (named, confidence)


@pytest.mark.parametrize("said", ["route: billing\nconfidence: 0.5", "route: billing", "route: sales\nconfidence: 1"])
async def test_doubt_goes_to_the_fallback(said):
    cast = Cast()
    router = Router(routes=routes(cast), fallback_route="tech", require_confidence_above=0.7)

    result = await cast.team(router, said).run("Help.")

    assert result.output == "Turn it off and on."


async def test_without_a_fallback_doubt_is_told():
    cast = Cast()

    result = await cast.team(Router(routes=routes(cast)), "route: sales\nconfidence: 1").run("Hi.", emit=cast.hear)

    assert result.output == "No specialist fits this request. There are: billing, tech."
    assert cast.names() == ["router.classified", "router.unresolved"]
    assert cast.order() == ["team"]


async def test_the_specialist_follows_the_teams_instructions_and_knows_the_conversation():
    cast = Cast()
    router = Router(routes=routes(cast, "Which one?", "Done."))
    team = cast.team(router, *["route: billing\nconfidence: 1"] * 2, instructions="Be brief.")

    await team.run("Refund me.", user_id="ann", session_id="s")
    await team.run("The second.", user_id="ann", session_id="s")

    assert "Be brief." in cast.heard_by("billing")
    assert "user: Refund me.\nassistant: Which one?" in cast.heard_by("billing", 1)
    assert "Refund me." in cast.heard_by("team", 1)


async def test_a_specialist_that_is_cut_short_says_so():
    cast = Cast()
    blocked = StandardBudget(BudgetConfig(max_tokens=0))
    router = Router(routes=[RouterRoute("billing", cast.agent("billing", "x", budget=blocked))])

    result = await cast.team(router, "route: billing").run("Hi.", emit=cast.hear)

    assert result.interruption_reason == "specialist:budget:max_tokens"
    assert cast.names()[-1] == "router.dispatched"


async def test_a_failing_specialist_surfaces_as_itself_and_by_name():
    cast = Cast()
    team = cast.team(Router(routes=routes(cast, TransientModelError("busy"))), "route: billing")

    with pytest.raises(TransientModelError, match="busy") as caught:
        await team.run("Hi.")

    assert caught.value.facts["worker"] == "worker:billing#1"


async def test_a_replay_asks_nobody():
    cast = Cast()

    journal = await replays(cast, cast.team(Router(routes=routes(cast, "Refunded.")), "route: billing"))

    assert "classify:1/model" in journal.steps()
    assert "worker:billing#1/turn:1/model" in journal.steps()


async def test_templates_are_filled_in_and_routes_never_left_out():
    cast = Cast()
    for prompt in ("Pick for {prompt} of:\n{routes}", "Pick."):
        router = Router(routes=routes(cast, "x"), classifier_prompt=prompt)
        await cast.team(router, "route: billing").run("a {routes} b")

    assert "Pick for a {routes} b of:\n- billing" in cast.heard_by("team", 0)
    assert "Pick.\n\nThe routes are:\n- billing" in cast.heard_by("team", 1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=12))
def test_two_users_on_one_router_never_mix(dealt):
    import anyio

    async def scene():
        cast, fates = Cast(), Fates(dealt)
        team = Team.router(
            [RouterRoute("desk", cast.agent("desk", *[fates] * 4))],
            model=cast.agent("x", *["route: desk"] * 4).model,
        )
        assert await both(team) == {"ann": ["answer for ann"] * 2, "cem": ["answer for cem"] * 2}
        fates.check_apart("ann", "cem")

    anyio.run(scene)


@pytest.mark.parametrize(
    "wrong",
    [
        {"routes": []},
        {"names": ("a", "a")},
        {"fallback_route": "c"},
        {"require_confidence_above": 1.1},
        {"role_to_worker_id": {"c": "1"}},
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    names = wrong.pop("names", ("a", "b"))
    given_routes = [RouterRoute(name, Cast().agent(name)) for name in names]

    with pytest.raises(ValueError):  # noqa: PT011
        Router(**{"routes": given_routes, **wrong})
