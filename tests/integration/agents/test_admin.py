"""What operators see of agents and runs in the admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from loom.events import Record


def test_a_run_shows_its_events_in_order_and_as_text(acme: Any) -> None:
    acme.agent()
    run = acme.run(input="<script>alert(1)</script>")
    acme.work(run)(*[Record(kind=f"architecture.n{n}", step_key="<b>", data={"n": "<img src=x>"}) for n in range(3)])

    page = acme.member("ben").get(f"/admin/agents/run/{run.pk}/change/").content.decode()

    places = [page.index(f"architecture.n{n}") for n in range(3)]
    assert places == sorted(places)
    assert f'href="/runs/{run.pk}"' in page
    assert "<script>alert" not in page
    assert "<img src=x>" not in page
    assert "name=\"_save\"" not in page  # fmt: skip


def test_the_runs_are_listed_with_their_status_and_filtered(acme: Any) -> None:
    acme.agent()
    failed = acme.run()
    acme.work(failed)(Record(kind="run.failed", data={"error": {"message": "no"}}))
    queued = acme.run()

    page = acme.member("ann").get("/admin/agents/run/?status__exact=failed").content.decode()

    assert str(failed.pk) in page
    assert str(queued.pk) not in page


@pytest.mark.parametrize("page", ["agents/run", "agents/agent", "agents/runevent", "audit/entry", "governance/apikey"])
def test_a_list_takes_the_same_number_of_statements_however_long_it_is(acme: Any, statements: Any, page: str) -> None:
    ann = acme.member("ann")

    def grow(count: int) -> None:
        for number in range(count):
            acme.run(acme.agent(f"a{count}-{number}"))
            acme.key("read")

    def look() -> Any:
        assert ann.get(f"/admin/{page}/").status_code == 200

    grow(2)
    look()
    few = len(statements(look))
    grow(8)

    assert len(statements(look)) == few


def test_an_agent_shows_its_versions_and_is_taken_out_of_use(acme: Any) -> None:
    acme.agent("clerk", instructions="<b>file</b> things")
    ann = acme.member("ann")
    with acme.scope():
        from agents.models import Agent

        agent = Agent.objects.get()

    page = ann.get(f"/admin/agents/agent/{agent.pk}/change/").content.decode()
    Client.post(ann, "/admin/agents/agent/", {"action": "archive", "_selected_action": str(agent.pk)})

    assert "&lt;b&gt;file&lt;/b&gt; things" in page
    assert acme.client().get("/api/v1/agents/clerk").status_code == 404
