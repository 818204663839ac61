"""The demo's main job: read a support mail, extract what matters, choose a team, file a ticket.

    from examples.intake import intake
    await intake.run({"mail": open("examples/inbox/02-outage.txt").read()})

Named in LOOM_MODULES, the workflow is offered to tenants as the program `intake`.
"""

from __future__ import annotations

import hashlib
import os
from email import message_from_string, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, Field

from loom import Agent, Workflow, get_run_context, register, tool


class Request(BaseModel):
    """What a mail asks for."""

    wish: str = Field(description="what the customer wants, in a few words", max_length=90)
    category: Literal["billing", "outage", "account", "shipping", "question", "idea"]
    urgent: bool = Field(description="somebody is losing time or money right now")


class Ticket(BaseModel):
    """What is filed."""

    team: str
    priority: Literal["high", "normal"]
    sender: str
    subject: str
    wish: str


class Headers(BaseModel):
    """Who wrote, and about what."""

    sender: str
    subject: str


reader = Agent(
    """Sort a customer's mail. Examples:
Mail: Refund my double payment -> {"wish": "refund a double payment", "category": "billing", "urgent": false}
Mail: Your API is down, we lose orders! -> {"wish": "restore the API", "category": "outage", "urgent": true}
Mail: I cannot log in -> {"wish": "log in again", "category": "account", "urgent": true}
Mail: My parcel has the wrong item -> {"wish": "get the right item", "category": "shipping", "urgent": false}
Mail: How do I print a report? -> {"wish": "print a report", "category": "question", "urgent": false}
Mail: Please add a calendar view -> {"wish": "a calendar view", "category": "idea", "urgent": false}""",
    name="mail-reader",
    model="auto",
    output_schema=Request,
)

TEAMS = {"billing": "finance", "account": "accounts", "shipping": "logistics", "outage": "on-call"}


async def headers(value: dict[str, str]) -> Headers:
    """What the mail says of itself. Refuses an input without a mail."""
    mail = _mail(value)
    return Headers(sender=mail["from"], subject=mail["subject"] or "")


async def question(value: dict[str, str]) -> str:
    """What the reader is asked."""
    mail = _mail(value)
    return f"Mail: {mail['subject']}\n{mail.get_content().strip()} ->"


def ticket(found: list[Any]) -> Ticket:
    """Who answers, and how soon: rules, not a model."""
    mail, request = Headers.model_validate(found[0]), Request.model_validate(found[1])
    return Ticket(
        team=TEAMS.get(request.category, "support"),
        priority="high" if request.urgent or request.category == "outage" else "normal",
        sender=mail.sender,
        subject=mail.subject,
        wish=request.wish,
    )


def _mail(value: dict[str, str]) -> EmailMessage:
    mail = message_from_string(value.get("mail", "").strip(), policy=policy.default)
    if not mail["from"]:
        raise ValueError('the input is {"mail": "<a support mail with its headers>"}')
    return mail


@tool(effect="keyed", approval=True)
async def file_ticket(team: str, priority: Literal["high", "normal"], sender: str, subject: str, wish: str) -> str:
    """File a ticket with a team.

    Args:
        team: who answers it
        priority: how soon
        sender: the customer
        subject: what the mail was called
        wish: what the customer wants
    """
    key = get_run_context().idempotency_key or uuid4().hex
    number = hashlib.sha256(key.encode()).hexdigest()[:8]
    folder = Path(os.environ.get("LOOM_DATA_DIR", "var")) / "tickets"
    folder.mkdir(parents=True, exist_ok=True)
    # The same call again, after a crash, has the same key and so files the same ticket.
    filed = Ticket(team=team, priority=priority, sender=sender, subject=subject, wish=wish)
    (folder / f"{number}.json").write_text(filed.model_dump_json(indent=2))
    return f"ticket {number} filed with {team} ({priority}): {wish}"


# The headers need no model; both are read at the same time.
read = Workflow.parallel([headers, Workflow.chain([question, reader], name="request")], name="read")

intake = register(Workflow.chain([read, ticket, file_ticket], name="intake"))
