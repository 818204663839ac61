#!/usr/bin/env python
"""Django's command line, and `up`, which must not wait for Django: it starts the database that the settings ask for."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loomsite.settings")
    if sys.argv[1:2] == ["up"]:
        from loomsite.management.commands.up import Command

        command = Command()
        options = command.create_parser("manage.py", "up").parse_args(sys.argv[2:])
        command.handle(**vars(options))
        return
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
