"""`manage.py create_demo`: the demo tenant, its operator, its key and its two agents. A second time changes nothing."""

from __future__ import annotations

import json
import secrets
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.urls import reverse

from agents import services as agents
from agents.models import Agent
from governance import services as governance
from governance import tenancy
from governance.models import ApiKey, Membership, Tenant, User

BY = "system:demo"
AGENTS: dict[str, dict[str, Any]] = {
    "assistant": {
        "instructions": "You are a friendly and helpful assistant. Answer briefly and in plain words.",
        "model": "auto",
    },
    "intake": {"program": "intake"},
}


class Command(BaseCommand):
    help = "Make the demo tenant with an operator, an API key and two agents."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = Tenant.objects.filter(slug="demo").first()
        tenant = tenant or governance.create_tenant(slug="demo", name="Demo", by=BY)
        with tenancy.scope(tenant.pk):
            username, password = _operator(tenant)
            _agents(tenant)
            token = _key(tenant)
        made = {
            "tenant": tenant.slug,
            "username": username,
            "password": password,
            "api_key": token,
            "console_url_path": reverse("console:runs"),
        }
        self.stdout.write(json.dumps(made) if options["json"] else "\n".join(f"{k}: {v}" for k, v in made.items()))


def _operator(tenant: Tenant) -> tuple[str, str | None]:
    """The operator and, when just made, the password: it is shown this once."""
    user = User.objects.filter(username="operator").first()
    if user is not None:
        return user.username, None
    password = secrets.token_urlsafe(12)
    user = User.objects.create_superuser(username="operator", password=password)
    governance.add_member(tenant=tenant, user=user, role=Membership.Role.OWNER, by=BY)
    return user.username, password


def _agents(tenant: Tenant) -> None:
    for slug, spec in AGENTS.items():
        if not Agent.objects.of(tenant).filter(slug=slug).exists():
            agents.create_agent(tenant=tenant, slug=slug, spec=spec, by=BY)


def _key(tenant: Tenant) -> str:
    """The demo's key, kept beside the data so that a second start can use it."""
    path = settings.LOOM.data_dir / "demo.key"
    if path.exists():
        prefix = path.read_text().split("_")[1]
        if ApiKey.objects.of(tenant).filter(prefix=prefix, revoked_at=None).exists():
            return path.read_text()
    _, token = governance.create_key(tenant=tenant, name="demo", scopes=ApiKey.Scope.values, by=BY)
    path.touch(mode=0o600)
    path.write_text(token)
    return token
