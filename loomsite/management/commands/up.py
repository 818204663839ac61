"""`manage.py up`: the whole platform on one machine."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from loomsite import supervisor


class Command(BaseCommand):
    help = "Start servers, web, worker and beat, run the demo job once, and serve until Ctrl-C."
    requires_system_checks: list[str] = []  # noqa: RUF012 - Django's name and type

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-demo", action="store_true", help="do not run the demo job")
        parser.add_argument("--exit-after-demo", action="store_true", help="stop then; exit 0 only if it succeeded")
        parser.add_argument("--port", type=int, help="where the web listens (default: LOOM_PORT, or a free one)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["no_demo"] and options["exit_after_demo"]:
            sys.exit("loom: --no-demo and --exit-after-demo exclude each other: leave one out")
        sys.exit(
            supervisor.up(port=options["port"], demo=not options["no_demo"], exit_after_demo=options["exit_after_demo"])
        )
