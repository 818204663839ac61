"""Tables and texts that must agree with the code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from agents import services
from agents.models import Run
from loom.events import Kind
from loomsite.env import Env

ROOT = Path(__file__).parents[2]


def test_rooms_and_floors_are_called_in_one_direction_only() -> None:
    lint = shutil.which("lint-imports", path=Path(sys.executable).parent)
    assert lint, "import-linter is not installed"

    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


def test_migrations_are_current(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> None:
    with django_db_blocker.unblock():  # type: ignore[attr-defined]
        out = StringIO()
        try:
            call_command("makemigrations", check=True, dry_run=True, stdout=out)
        except SystemExit:
            pytest.fail(out.getvalue())


def test_a_run_s_status_follows_from_kinds_that_exist() -> None:
    kinds = {value for value in vars(Kind).values() if isinstance(value, str)}

    assert set(services.STATUS) <= kinds
    assert set(services.STATUS.values()) <= set(Run.Status)


def test_every_kind_that_ends_a_run_gives_it_a_status_of_its_own_that_is_over() -> None:
    ends = {kind: services.STATUS[kind] for kind in Kind.TERMINAL}

    assert len(set(ends.values())) == len(ends)
    assert all(Run(status=status).is_over for status in ends.values())
    assert not any(Run(status=services.STATUS[kind]).is_over for kind in services.STATUS.keys() - Kind.TERMINAL)


def test_the_example_of_the_environment_names_every_variable_and_gives_its_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = dict(line.split("=", 1) for line in lines if re.fullmatch(r"[A-Z_]+=.*", line))

    for name, field in Env.model_fields.items():
        variable = str(field.validation_alias)
        assert variable in named
        monkeypatch.setenv(variable, named[variable])
        if named[variable]:
            assert getattr(Env(), name) == field.default, variable
