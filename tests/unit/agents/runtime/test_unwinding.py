"""Ending a cancelled run: what its tools have done is undone where it can be, the last first, and never twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.core.agent import Agent
from agents.core.architectures.supervisor import Supervisor
from agents.core.llm.scripted import ScriptedTurn
from agents.core.runtime.engine import Cancelled, Program, advance, unwind
from agents.core.runtime.unwinding import UnwindingSession
from agents.core.runtime.waiting import WaitingSession
from agents.core.tools.host import InProcessToolHost
from agents.core.tools.tool import Tool, tool
from governance.core.sandbox.base import NoSandbox
from governance.core.sandbox.filesystem import FilesystemSandbox
from loom.events import Kind, Record
from loom.messages import Message, Role, ToolCall
from tests.unit.agents.journals import ListJournal
from tests.unit.agents.runtime.test_pauses import Clerk, ambient_over, delegating


class Shop:
    """Where rooms are booked. The third booking of a run waits for a person, so that there is something to cancel."""

    def __init__(self) -> None:
        self.booked: list[str] = []
        self.freed: list[tuple[str, str]] = []
        self.broken: set[str] = set()

    def tools(self) -> list[Tool]:
        def free(room: str, result: str) -> None:
            if room in self.broken:
                raise RuntimeError("the shop is closed")
            self.freed.append((room, result))

        @tool(compensate=free)
        def book(room: str) -> str:
            """Book a room."""
            self.booked.append(room)
            return f"number {len(self.booked)}"

        @tool
        def look(room: str) -> str:
            """Look at a room."""
            return f"{room} is nice"

        @tool(approval=True)
        def sign(room: str) -> str:
            """Sign."""
            return "signed"

        return [book, look, sign]


def books(messages: Sequence[Message]) -> ScriptedTurn:
    done = sum(m.role is Role.TOOL for m in messages)
    plan = [("book", "red"), ("look", "red"), ("book", "blue"), ("sign", "blue")]
    if done == len(plan):
        return ScriptedTurn("done")
    name, room = plan[done]
    return ScriptedTurn(tool_calls=[ToolCall(id=f"c{done}", tool=name, args={"room": room})])


def alone(shop: Shop) -> Program:
    return Agent("Book.", model=Clerk(books), tools=shop.tools())


def led(shop: Shop) -> Program:
    clerk = Agent("Book.", model=Clerk(books), tools=shop.tools())
    manager = Clerk(delegating("delegate", worker="clerk", instructions="book"))
    return Agent("Lead.", model=manager, architecture=Supervisor(workers={"clerk": clerk}))


async def waiting(program: Program) -> ListJournal:
    journal = ListJournal()
    await advance(program, "go", ambient_over(WaitingSession("s", journal)), journal)
    return journal


async def cancel(program: Program | None, journal: ListJournal) -> Cancelled:
    session = UnwindingSession("s", journal, journal.records)
    return await unwind(program, "go", ambient_over(session), session, journal)


async def test_what_was_done_is_undone_the_last_first() -> None:
    shop = Shop()
    journal = await waiting(alone(shop))

    outcome = await cancel(alone(shop), journal)

    assert shop.freed == [("blue", "number 2"), ("red", "number 1")]
    assert outcome == Cancelled(("turn:3/tool:call_1", "turn:1/tool:call_1"), ())
    assert journal.records[-1].kind == Kind.RUN_CANCELLED
    assert journal.records[-1].data["undone"] == ["turn:3/tool:call_1", "turn:1/tool:call_1"]


async def test_a_nested_worker_s_effects_are_undone_too() -> None:
    shop = Shop()
    journal = await waiting(led(shop))

    await cancel(led(shop), journal)

    assert [room for room, _ in shop.freed] == ["blue", "red"]


@pytest.mark.parametrize("around", ["a wall", "no wall", "a team"])
async def test_what_is_done_behind_walls_and_by_the_leader_of_a_team_is_undone_too(around: str, tmp_path: Path) -> None:
    shop = Shop()
    host = InProcessToolHost(shop.tools())
    tools = {"a wall": FilesystemSandbox(host, roots=[tmp_path]), "no wall": NoSandbox(host), "a team": host}[around]
    team = Supervisor(workers={"idle": Agent("", model=Clerk(books))}) if around == "a team" else None
    program = Agent("Book.", model=Clerk(books), tools=tools, architecture=team)
    journal = await waiting(program)

    outcome = await cancel(program, journal)

    assert shop.freed == [("blue", "number 2"), ("red", "number 1")]
    assert outcome.undone == ("turn:3/tool:call_1", "turn:1/tool:call_1")


async def test_a_fork_leaves_alone_what_the_run_it_began_with_has_done() -> None:
    shop = Shop()
    done = (await waiting(alone(shop))).records
    first_booking = next(place for place, r in enumerate(done, start=1) if r.kind == Kind.TOOL_COMPLETED)
    fork = ListJournal()
    fork.post(Record(kind=Kind.RUN_STARTED, data={"from": {"foreign": first_booking + 1}}))
    for record in done:
        fork.post(record)

    outcome = await cancel(alone(shop), fork)

    assert [room for room, _ in shop.freed] == ["blue"]
    assert outcome == Cancelled(("turn:3/tool:call_1",), ())


async def test_without_the_wish_nothing_is_undone() -> None:
    shop = Shop()
    journal = await waiting(alone(shop))

    assert await cancel(None, journal) == Cancelled()
    assert shop.freed == []


async def test_what_cannot_be_undone_is_told_and_keeps_nothing_else_from_being_undone() -> None:
    shop = Shop()
    journal = await waiting(alone(shop))
    shop.broken = {"blue"}

    outcome = await cancel(alone(shop), journal)

    assert outcome == Cancelled(("turn:1/tool:call_1",), ("turn:3/tool:call_1",))
    assert [room for room, _ in shop.freed] == ["red"]


async def test_a_crash_while_undoing_undoes_nothing_twice() -> None:
    shop = Shop()
    journal = await waiting(alone(shop))
    await cancel(alone(shop), journal)
    for cut in range(len(journal.texts)):
        half = ListJournal()
        half.texts = journal.texts[:cut]
        done = {r.step_key for r in half.records if r.step_key.endswith("/undo") and "value" in r.data}
        if not done:
            continue
        shop.freed.clear()

        await cancel(alone(shop), half)

        assert len(shop.freed) == 2 - len(done)


async def test_a_call_that_was_edited_is_undone_as_it_was_made() -> None:
    shop = Shop()

    def free(room: str) -> None:
        shop.freed.append((room, ""))

    @tool(approval=True, compensate=free)
    def book(room: str) -> str:
        """Book."""
        return "ok"

    def says(messages: Sequence[Message]) -> ScriptedTurn:
        done = sum(m.role is Role.TOOL for m in messages)
        return ScriptedTurn(tool_calls=[ToolCall(id=f"c{done}", tool="book", args={"room": f"room {done}"})])

    def agent() -> Agent:
        return Agent("x", model=Clerk(says), tools=[book])

    journal = await waiting(agent())
    said: dict[str, Any] = {"decision": "edit", "args": {"room": "green"}}
    journal.post(Record(kind=Kind.APPROVAL_DECIDED, step_key="turn:1/tool:call_1", data=said))
    await advance(agent(), "go", ambient_over(WaitingSession("s", journal, journal.records)), journal)

    await cancel(agent(), journal)

    assert shop.freed == [("green", "")]
