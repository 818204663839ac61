"""The container files, read as the tools would read them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "loom"]


def exists(words: list[str]) -> bool:
    """Does this command line name a program of ours that is there?"""
    match words:
        case ["python", "-m", "uvicorn", application, *_]:
            return importlib.util.find_spec(application.split(":")[0]) is not None
        case ["python", "-m", "celery", "-A", package, "worker" | "beat", *_]:
            return importlib.util.find_spec(f"{package}.celery") is not None
        case ["python", "manage.py", command, *_]:
            return (ROOT / "manage.py").exists() and command == "migrate"
        case _:
            return False


def dockerfile_command() -> list[str]:
    return yaml.safe_load(re.findall(r"^CMD (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1])


def test_there_is_one_service_for_each_part() -> None:
    assert set(SERVICES) == {"postgres", "valkey", "migrate", "web", "worker", "beat"}


@pytest.mark.parametrize("name", OURS)
def test_every_command_names_something_that_exists(name: str) -> None:
    assert exists(SERVICES[name]["command"])


def test_the_image_by_itself_is_the_web() -> None:
    assert dockerfile_command() == SERVICES["web"]["command"]


def test_a_command_that_does_not_exist_would_be_noticed() -> None:
    assert not exists(["python", "-m", "uvicorn", "loomsite.nowhere:application"])


@pytest.mark.parametrize("name", OURS)
def test_only_migrations_know_the_owner_of_the_tables(name: str) -> None:
    assert bool(SERVICES[name]["environment"]["DATABASE_OWNER_URL"]) is (name == "migrate")
    assert "loom_app:" in SERVICES[name]["environment"]["DATABASE_URL"]


@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_nothing_starts_before_the_tables_are_there(name: str) -> None:
    assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_no_privileges(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert re.search(r"^USER loom$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_every_secret_that_the_file_asks_for_is_in_the_example() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    listed = {line.split("=")[0] for line in (ROOT / ".env.example").read_text().splitlines()}

    assert asked
    assert asked <= listed


def test_the_database_is_prepared_by_the_file_that_prepares_the_embedded_one() -> None:
    mounted = [volume.split(":")[0] for volume in SERVICES["postgres"]["volumes"]]

    assert "./loomsite/database.sql" in mounted
    assert (ROOT / "loomsite" / "database.sql").exists()
