"""The demo's main job: read a support mail, extract what matters, choose a team, file a ticket.

    from examples.intake import intake
    await intake.run({"mail": open("examples/inbox/02-outage.txt").read()})

Named in LOOM_MODULES, the workflow is offered to tenants as the program `intake`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal
from uuid import uuid4

from pydantic import BaseModel, Field

from loom import Agent, Workflow, get_run_context, register, tool


class Mail(BaseModel):
    """What a support mail says."""

    sender: str = Field(description="the address it comes from", max_length=80)
    category: Literal["billing", "outage", "account", "shipping", "question", "feature request"]
    urgent: bool = Field(description="true when somebody is losing time or money right now")
    summary: str = Field(description="what the sender wants, in one short sentence", max_length=160)


class Ticket(BaseModel):
    """What is filed."""

    team: str
    priority: Literal["high", "normal"]
    sender: str
    summary: str


reader = Agent(
    "You read a customer's support mail and extract its fields. Copy the sender's address as it is written.",
    name="mail-reader",
    model="auto",
    output_schema=Mail,
)

TEAMS = {"billing": "finance", "account": "accounts", "shipping": "logistics", "outage": "on-call"}


async def read(value: dict[str, str]) -> str:
    """The mail's text. Refuses an input without one."""
    mail = value.get("mail", "").strip()
    if not mail:
        raise ValueError('the input is {"mail": "<the text of a support mail>"}')
    return mail


async def route(mail: Mail) -> Ticket:
    """Who answers, and how soon: rules, not a model."""
    high = mail.urgent or mail.category == "outage"
    return Ticket(
        team=TEAMS.get(mail.category, "support"),
        priority="high" if high else "normal",
        sender=mail.sender,
        summary=mail.summary,
    )


@tool(effect="keyed")
async def file_ticket(team: str, priority: Literal["high", "normal"], sender: str, summary: str) -> str:
    """File a ticket with a team.

    Args:
        team: who answers it
        priority: how soon
        sender: the customer's address
        summary: what the customer wants
    """
    key = get_run_context().idempotency_key or uuid4().hex
    number = hashlib.sha256(key.encode()).hexdigest()[:8]
    folder = Path(os.environ.get("LOOM_DATA_DIR", "var")) / "tickets"
    folder.mkdir(parents=True, exist_ok=True)
    # The same call again, after a crash, has the same key and so files the same ticket.
    ticket = Ticket(team=team, priority=priority, sender=sender, summary=summary)
    (folder / f"{number}.json").write_text(ticket.model_dump_json(indent=2))
    return f"ticket {number} filed with {team} ({priority}): {summary}"


intake = register(Workflow.chain([read, reader, route, file_ticket], name="intake"))
