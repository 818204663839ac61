"""Fixtures for whatever needs Django: the database as the platform sees it, under the application's role, with
row-level security in force.

Most tests run in a transaction that is rolled back (`db`). With `committed_db` rows stay, for tests with other
threads, processes or event loops; nothing is emptied in between, so each test has tenants of its own. Ann owns `acme`,
Ben is her colleague, Cem belongs to `globex`.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import Client
from pytest_django import DjangoDbBlocker

from agents import services as agents
from agents.core.runtime.waiting import Question
from agents.core.runtime.writer import Append
from agents.models import Run
from governance import services as governance
from governance import tenancy
from governance.auth import Principal, principal_of_user
from governance.models import ApiKey, Approval, Tenant, User
from loom.events import Kind, Record
from loom.messages import ToolCall, ToolDef

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The tables, made by their owner. The server is new, so its database needs no other name."""
    with django_db_blocker.unblock():
        call_command("migrate", database="owner", verbosity=0)
        connections["owner"].close()
        yield
        connections["default"].close_pool()  # type: ignore[attr-defined]


@pytest.fixture
def committed_db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield
        connections.close_all()


class Api(Client):
    """A client that speaks JSON unless told otherwise, and gets a server's failures as answers."""

    def __init__(self, **options: Any) -> None:
        super().__init__(raise_request_exception=False, **options)

    def post(self, path: str, data: Any = None, content_type: str = "application/json", **more: Any) -> Any:
        return super().post(path, data, content_type=content_type, **more)

    def patch(self, path: str, data: Any = None, content_type: str = "application/json", **more: Any) -> Any:
        return super().patch(path, data, content_type=content_type, **more)


@dataclass
class Place:
    """A tenant with its people, and a key that may do everything."""

    tenant: Tenant
    people: dict[str, User] = field(default_factory=dict)
    token: str = ""

    def scope(self) -> AbstractContextManager[None]:
        return tenancy.scope(self.tenant.pk)

    def key(self, *scopes: str, **more: Any) -> tuple[ApiKey, str]:
        with self.scope():
            return governance.create_key(tenant=self.tenant, name="test", scopes=scopes, by="test", **more)

    def client(self, token: str | None = None) -> Api:
        return Api(headers={"Authorization": f"Bearer {token or self.token}"})

    def member(self, name: str, **options: Any) -> Api:
        client = Api(**options)
        client.force_login(self.people[name])
        return client

    def agent(self, slug: str = "assistant", **spec: Any) -> str:
        with self.scope():
            agents.create_agent(
                tenant=self.tenant, slug=slug, spec={"instructions": "Repeat.", "model": "echo", **spec}, by="test"
            )
        return slug

    def run(self, agent: str = "assistant", input: Any = "hello", **options: Any) -> Run:
        with self.scope():
            return agents.start_run(tenant=self.tenant, agent=agent, input=input, by="test", **options)

    def work(self, run: Run) -> Callable[..., int]:
        """Take the run as a worker does; what comes back appends records to its journal and says its last number."""
        with tenancy.scheduler_scope():
            fence = next(filter(None, (_claimed(run) for _ in range(100))))

        def append(*records: Record) -> int:
            with self.scope():
                return agents.append_events([Append(run.pk, fence, records)])[run.pk] + len(records)

        return append

    def question(self, run: Run, *, policy: str | None = None, **args: Any) -> Approval:
        """Have a run ask whether it may pay, and wait."""
        return self.questions(run, 1, policy=policy, **args)[0]

    def questions(
        self,
        run: Run,
        count: int,
        *,
        append: Any = None,
        wait: bool = True,
        policy: str | None = None,
        prefix: str = "turn:1",
        **args: Any,
    ) -> list[Approval]:
        """Have a run ask so many questions at once and, unless told otherwise, wait."""
        schema = {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}
        tool = ToolDef(name="pay", description="", input_schema=schema, effect="keyed", approval=True)
        call = ToolCall(id="1", tool="pay", args=args or {"amount": 5}, tool_def=tool)
        question = Question(call, "pay: approval required", policy)
        asked = {f"{prefix}/tool:call_{n + 1}": question for n in range(count)}
        records = [
            Record(kind=Kind.APPROVAL_REQUESTED, step_key=step, data=question.journal())
            for step, question in asked.items()
        ]
        append = append or self.work(run)
        append(*records)
        if wait:
            self.wait(append, *asked)
        with self.scope():
            return [Approval.objects.get(pk=record.data["approval_id"]) for record in records]

    @staticmethod
    def wait(append: Any, *steps: str) -> None:
        append(Record(kind=Kind.RUN_WAITING, data={"steps": list(steps), "until": None}))

    def principal(self, name: str) -> Principal:
        """One of the tenant's people, as if logged in."""
        found = principal_of_user(self.people[name])
        assert found is not None
        return found


def _claimed(run: Run) -> int | None:
    claims = agents.claim_runs(owner=f"test:{run.pk}", limit=50, lease_seconds=600)
    return next((claim.fence for claim in claims if claim.run_id == run.pk), None)


def _place(name: str, people: dict[str, str]) -> Place:
    slug = f"{name}-{secrets.token_hex(4)}"
    place = Place(governance.create_tenant(slug=slug, name=name.capitalize(), by="test"))
    with place.scope():
        for person, role in people.items():
            user = User.objects.create_user(f"{person}-{secrets.token_hex(4)}", is_staff=True)
            governance.add_member(tenant=place.tenant, user=user, role=role, by="test")
            place.people[person] = user
    place.token = place.key(*ApiKey.Scope.values)[1]
    return place


@pytest.fixture
def _some_db(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("committed_db" if "committed_db" in request.fixturenames else "db")


@pytest.fixture
def acme(_some_db: None) -> Place:
    return _place("acme", {"ann": "owner", "ben": "viewer"})


@pytest.fixture
def globex(_some_db: None) -> Place:
    return _place("globex", {"cem": "owner"})


@pytest.fixture(scope="session")
def web(django_db_setup: None) -> Iterator[str]:
    """The address of the platform's web process, really started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ("-m", "uvicorn", "loomsite.asgi:application", "--port", str(port), "--log-level", "warning")
    options = ("--timeout-graceful-shutdown", "2", "--ws-max-size", "200000")
    process = subprocess.Popen([sys.executable, *words, *options], cwd=ROOT, env=os.environ)
    try:
        _wait_for(partial(_answers, f"http://127.0.0.1:{port}/healthz", process))
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def _answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the web process ended"
    try:
        return urlopen(address, timeout=5).status == 200
    except (URLError, ConnectionError):
        return False


def _wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{condition} does not become true"
        time.sleep(0.02)


@pytest.fixture
def wait_for() -> Callable[..., None]:
    return _wait_for


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Sequence[str]]:
    """The SQL statements that something takes, once its credential is known."""
    monkeypatch.setattr("governance.auth._CACHE_SECONDS", 600.0)  # a slow machine must not look a key up in between
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def count(work: Callable[[], Any]) -> Sequence[str]:
        with CaptureQueriesContext(connection) as queries:
            work()
        return [query["sql"] for query in queries]

    return count
