"""A workflow may choose its first node by the input."""

from __future__ import annotations

import pytest

from agents.core.workflow import END, START, Workflow


async def billing(value: str) -> str:
    return f"billing: {value}"


async def tech(value: str) -> str:
    return f"tech: {value}"


def triage() -> Workflow:
    workflow = Workflow("triage").add_node("billing", billing).add_node("tech", tech)
    workflow.add_router(
        START, lambda said: "billing" if "invoice" in said else "tech", {"billing": "billing", "tech": "tech"}
    )
    return workflow.add_edge("billing", END).add_edge("tech", END)


async def test_a_router_from_start_names_the_first_node_by_the_input() -> None:
    result = await triage().run("where is my invoice")

    assert result.output == "billing: where is my invoice"
    assert result.visited == ["billing"]
    assert (await triage().run("it does not start")).visited == ["tech"]


async def test_a_router_from_start_may_end_the_run_at_once() -> None:
    workflow = Workflow().add_node("tech", tech)
    workflow.add_router(START, lambda said: str(bool(said)), {"True": "tech"}, default=END)

    result = await workflow.run("")

    assert (result.output, result.visited) == ("", [])


async def test_a_router_from_start_without_a_way_says_what_there_is() -> None:
    workflow = Workflow().add_node("tech", tech)
    workflow.add_router(START, lambda said: said, {"tech": "tech"})

    with pytest.raises(RuntimeError, match="'START' there is no way for 'legal'; there are tech"):
        await workflow.run("legal")


def test_a_workflow_starts_in_one_way_only() -> None:
    with pytest.raises(ValueError, match="router from START"):
        triage().set_start("tech")
    with pytest.raises(ValueError, match="START has a way out"):
        triage().add_router(START, str, {"tech": "tech"})
    with pytest.raises(ValueError, match="START has a way out"):
        Workflow().add_node("tech", tech).set_start("tech").add_router(START, str, {"tech": "tech"})


def test_the_ways_from_start_are_drawn_with_their_labels() -> None:
    drawn = triage().to_mermaid()

    assert "START" in drawn
    assert "|billing| billing" in drawn.replace('"', "")
