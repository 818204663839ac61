"""The cores stand alone: without Django, and without the clients that only some runs need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLATFORM = ("django", "ninja", "channels", "celery", "asgiref", "loomsite")
CLIENTS = (
    "openai",
    "anthropic",
    "litellm",
    "mcp",
    "jsonschema",
    "numpy",
    "httpx2",
    "redis",
    "chromadb",
    "psycopg",
    "tiktoken",
    "docx",
    "openpyxl",
)
CORES = ("loom", "audit/core", "governance/core", "memory/core", "agents/core")

BLOCK = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked here")

sys.meta_path.insert(0, Block())
"""
# A module of its own, run by the child that it describes: only a server's or a box's entry point may refuse an import.
ENTRY_POINTS = {"governance.core.sandbox.child"}


def modules_of(folder: str) -> list[str]:
    files = sorted((ROOT / folder).rglob("*.py"))
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def python(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("core", CORES)
def test_a_core_imports_where_there_is_no_django(core: str) -> None:
    names = [name for name in modules_of(core) if name not in ENTRY_POINTS]
    assert names

    python(f"BLOCKED = {PLATFORM!r}\n{BLOCK}\nimport importlib\nfor name in {names!r}: importlib.import_module(name)")


def test_the_block_blocks() -> None:
    with pytest.raises(AssertionError, match="django is blocked here"):
        python(f"BLOCKED = {PLATFORM!r}\n{BLOCK}\nimport django")


def test_importing_loom_loads_neither_django_nor_a_client() -> None:
    loaded = json.loads(python("import loom, sys, json; print(json.dumps(sorted(sys.modules)))"))

    assert {name.partition(".")[0] for name in loaded}.isdisjoint({*PLATFORM, *CLIENTS, "pydantic"})


def test_making_an_agent_and_a_tool_loads_no_client() -> None:
    code = """
import json, sys
from loom import Agent, EchoModel, Workflow, tool

@tool
async def add(a: int, b: int) -> int:
    "Add."
    return a + b

Workflow.chain([Agent("Be brief.", model="echo", tools=[add])])
print(json.dumps(sorted(sys.modules)))
"""

    loaded = json.loads(python(code))

    assert {name.partition(".")[0] for name in loaded}.isdisjoint({*PLATFORM, *CLIENTS})
