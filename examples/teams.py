"""Teams: one call each for the usual shapes. What comes back is an agent, so it runs, streams and nests like one.

$ python examples/teams.py
supervisor: Ready to print.
router: Your refund is on its way.
swarm: Restart it, then it works.
actor_critic: 330 meters.
debate: May it is.
blackboard: The pump is broken.
a team in a team: Ready to print.
"""

import asyncio
import os
import sys

from loom import Agent, ScriptedModel, ScriptedTurn, ToolCall
from loom.architecture import RouterRoute
from loom.team import Team

MODEL = os.environ.get("LOOM_MODEL")


def speaker(model: str | None, *answers: str | ToolCall) -> Agent:
    """An agent that plays a script, unless a model is given."""
    return Agent("Do your part.", model=model or scripted(*answers))


def scripted(*answers: str | ToolCall) -> ScriptedModel:
    return ScriptedModel([ScriptedTurn(a) if isinstance(a, str) else ScriptedTurn(tool_calls=[a]) for a in answers])


def supervisor(model: str | None) -> Agent:
    ask = ToolCall(tool="delegate", args={"worker": "writer", "instructions": "A line."})
    forward = ToolCall(tool="forward_message", args={"worker": "writer"})
    return Team.supervisor(
        workers={
            "researcher": speaker(model, "Facts."),
            "writer": speaker(model, "Ready to print."),
            "reviewer": speaker(model, "Fine."),
        },
        instructions="You run the newsroom.",
        model=model or scripted(ask, forward, "Done."),
    )


def router(model: str | None) -> Agent:
    return Team.router(
        routes=[
            RouterRoute("billing", speaker(model, "Your refund is on its way."), "payments"),
            RouterRoute("tech", speaker(model, "Restart it."), "defects"),
        ],
        instructions="The entrance to customer support.",
        model=model or scripted("route: billing\nconfidence: 0.9"),
    )


def swarm(model: str | None) -> Agent:
    hand_over = ToolCall(tool="handoff", args={"target": "tech", "message": "It does not start."})
    return Team.swarm(
        agents={
            "triage": speaker(model, hand_over, ""),
            "billing": speaker(model, "Paid."),
            "tech": speaker(model, "Restart it, then it works."),
        },
        entry_agent="triage",
        model=model or "echo",
    )


def actor_critic(model: str | None) -> Agent:
    return Team.actor_critic(
        actor=speaker(model, "330.", "330 meters."),
        critic=speaker(model, '{"score": 0.2, "issues": ["no unit"]}', '{"score": 1.0, "issues": []}'),
        max_rounds=3,
        approval_threshold=0.9,
        model=model or "echo",
    )


def debate(model: str | None) -> Agent:
    return Team.debate(
        debaters=[speaker(model, "March."), speaker(model, "March!"), speaker(model, "march")],
        judge=speaker(model, "May it is."),
        rounds=2,
        convergence_similarity=0.85,
        model=model or "echo",
    )


def blackboard(model: str | None) -> Agent:
    return Team.blackboard(
        agents={"hypothesis": speaker(model, "The pump?"), "evidence": speaker(model, "It draws no power.")},
        coordinator=speaker(model, '{"next_agent": "hypothesis"}', '{"next_agent": "evidence"}', '{"terminate": true}'),
        decider=speaker(model, "The pump is broken."),
        model=model or "echo",
    )


async def main(model: str | None = MODEL) -> dict[str, str]:
    outputs = {}
    for build in (supervisor, router, swarm, actor_critic, debate, blackboard):
        result = await build(model).run("Please help.", user_id="ann")
        outputs[build.__name__] = result.output
        print(f"{build.__name__}: {result.output}")

    company = Team.router(
        routes=[RouterRoute("news", supervisor(model), "the newsroom"), RouterRoute("support", router(model))],
        model=model or scripted("news"),
    )
    nested = await company.run("A line about the launch.", user_id="ann")
    print("a team in a team:", nested.output)
    return outputs


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
