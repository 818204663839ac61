"""`manage.py prepare`: what the platform needs in its database before it serves on one machine."""

import json
import warnings
from io import StringIO
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from agents.core.llm.resolver import resolve_model
from loom.errors import LoomError


class Command(BaseCommand):
    help = "Bring the tables up to date, make the demo tenant, and print it and the model that will answer as JSON."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's name and type

    def handle(self, *args: Any, **options: Any) -> None:
        executor = MigrationExecutor(connections["owner"])
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", database="owner", interactive=False, skip_checks=True, stdout=self.stderr)
        made = StringIO()
        call_command("create_demo", json=True, stdout=made)
        self.stdout.write(json.dumps(json.loads(made.getvalue()) | {"model": _model()}))


def _model() -> str:
    with warnings.catch_warnings(action="ignore"):  # `up` says it, more visibly
        try:
            return resolve_model("auto")[0].name
        except LoomError as error:
            raise CommandError(f"LOOM_MODEL: {error}") from error
