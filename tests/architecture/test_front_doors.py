"""A front door is a table, a list and a block for editors. They say the same, and every name is really there."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("audit", "governance", "memory", "agents", "loomsite")
NOT_NAMES = {"__version__"}


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def _is_door(file: Path) -> bool:
    return any(isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "HOMES" for line in _tree(file).body)


def _module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


DOORS = {_module(file): file for file in sorted((ROOT / "loom").rglob("*.py")) if _is_door(file)}


def _block(file: Path) -> dict[str, str]:
    """What editors are told: name → the module it comes from."""
    blocks = [
        line for line in _tree(file).body if isinstance(line, ast.If) and ast.unparse(line.test) == "TYPE_CHECKING"
    ]
    imports = [line for block in blocks for line in block.body if isinstance(line, ast.ImportFrom)]
    return {name.asname or name.name: line.module or "" for line in imports for name in line.names}


def test_loom_is_a_door() -> None:
    assert "loom" in DOORS


@pytest.mark.parametrize("name", DOORS)
def test_table_list_and_block_of_a_door_name_the_same(name: str) -> None:
    door = importlib.import_module(name)

    listed = [public for public in door.__all__ if public not in NOT_NAMES]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(door.HOMES)
    assert _block(DOORS[name]) == door.HOMES


@pytest.mark.parametrize("name", DOORS)
def test_every_name_of_a_door_is_there(name: str) -> None:
    door = importlib.import_module(name)

    for public, home in door.HOMES.items():
        assert getattr(door, public) is getattr(importlib.import_module(home), public)
        assert public in dir(door)


@pytest.mark.parametrize("name", DOORS)
def test_a_name_that_a_door_does_not_have_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing_of_the_kind'"):
        importlib.import_module(name).nothing_of_the_kind  # noqa: B018


def test_inside_the_repository_nobody_goes_through_a_front_door() -> None:
    rooms = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    through = [
        f"{file.relative_to(ROOT)}: from {line.module} import {name.name}"
        for file in rooms
        for line in ast.walk(_tree(file))
        if isinstance(line, ast.ImportFrom) and line.module in DOORS
        for name in line.names
        if name.name in importlib.import_module(line.module).HOMES
    ]

    assert through == []


# Programs name these, so a door that moves breaks them.
NAMED = [
    "agent.stop_hooks",
    "architecture.base",
    "architecture.resolver",
    "core.context",
    "core.errors",
    "core.ids",
    "core.protocols",
    "core.tone",
    "core.types",
    "data.lineage",
    "governance.budget",
    "governance.retry",
    "loader.base",
    "loader.chunking",
    "mcp.spec",
    "memory.auto_extract",
    "memory.chroma",
    "memory.chroma_facts",
    "memory.consolidator",
    "memory.embedder",
    "memory.facts",
    "memory.inmemory",
    "memory.lazy",
    "memory.postgres",
    "memory.postgres_facts",
    "memory.redis",
    "memory.redis_facts",
    "memory.resolver",
    "memory.sqlite",
    "memory.sqlite_facts",
    "memory.vector",
    "memory.worker",
    "model.anthropic",
    "model.echo",
    "model.litellm",
    "model.openai",
    "model.retrying",
    "model.scripted",
    "observability.tracing",
    "runtime.inproc",
    "runtime.journal",
    "security.audit",
    "security.permissions",
    "skills.tools",
    "tools.plan",
    "tools.plan_resolver",
    "tools.registry",
    "tools.web",
    "vectorstore.base",
    "workspace.tools",
]


@pytest.mark.parametrize("name", NAMED)
def test_the_doors_that_programs_name_stay_where_they_are(name: str) -> None:
    assert f"loom.{name}" in DOORS
