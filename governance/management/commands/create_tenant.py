"""`manage.py create_tenant`: a tenant, its first owner and its first API key."""

from __future__ import annotations

import json
import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import slug_re
from django.db import transaction

from governance import services, tenancy
from governance.models import ApiKey, Membership, User
from loom.errors import LoomError

BY = "system:create_tenant"


class Command(BaseCommand):
    help = "Make a tenant with an owner and an API key, and print what is shown only once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="its name in addresses: letters, digits, - and _")
        parser.add_argument("--name", default="", help="how people call it (default: the slug)")
        parser.add_argument("--owner", required=True, help="a user's name; one that is new gets a password")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, slug: str, name: str, owner: str, **options: Any) -> None:
        if not slug_re.fullmatch(slug):
            raise CommandError(f"{slug!r} is no slug: use letters, digits, - and _")
        try:
            with transaction.atomic():
                made = _make(slug, name or slug, owner)
        except LoomError as error:
            raise CommandError(str(error)) from error
        lines = [f"{what}: {value}" for what, value in made.items() if value is not None]
        self.stdout.write(json.dumps(made) if options["json"] else "\n".join(lines))


def _make(slug: str, name: str, owner: str) -> dict[str, str | None]:
    tenant = services.create_tenant(slug=slug, name=name, by=BY)
    user, password = User.objects.filter(username=owner).first(), None
    if user is None:
        password = secrets.token_urlsafe(12)
        user = User.objects.create_user(username=owner, password=password, is_staff=True)
    with tenancy.scope(tenant.pk):
        services.add_member(tenant=tenant, user=user, role=Membership.Role.OWNER, by=BY)
        _, token = services.create_key(tenant=tenant, name="first", scopes=ApiKey.Scope.values, by=BY)
    return {"tenant": slug, "owner": owner, "password": password, "api_key": token}
