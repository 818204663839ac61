"""`manage.py prepare`: what the platform needs in its database before it serves on one machine."""

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connections
from django.db.migrations.executor import MigrationExecutor


class Command(BaseCommand):
    help = "Bring the tables up to date, make the demo tenant, and print it as JSON."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's name and type

    def handle(self, *args: Any, **options: Any) -> None:
        executor = MigrationExecutor(connections["owner"])
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", database="owner", interactive=False, skip_checks=True, stdout=self.stderr)
        call_command("create_demo", json=True, stdout=self.stdout)
