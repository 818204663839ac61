"""Scripts of skills in a box, where the host can build one."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.core.skills.boxed import Boxed
from agents.core.skills.registry import SkillRegistry
from agents.core.tools.tool import Tool
from governance.core.sandbox.bubblewrap import Bubblewrap
from loom.context import RunContext, set_run_context
from loom.errors import SandboxError

SYSTEM_PYTHON = "/usr/bin/python3"


def host_has_boxes() -> bool:
    try:
        Bubblewrap()
    except SandboxError:
        return False
    return True


boxed = pytest.mark.skipif(not host_has_boxes(), reason="bubblewrap cannot build a box on this host")


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that another user may pass through; pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="loom-skill-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def script(home: Path, code: str, *, suffix: str = "sh", timeout: float = 10) -> Tool:
    folder = home / "probe"
    folder.mkdir()
    declared = f"tools:\n  run: {{script: run.{suffix}, timeout: {timeout}}}\n"
    (folder / "SKILL.md").write_text(f"---\nname: probe\ndescription: d\n{declared}---\n")
    (folder / f"run.{suffix}").write_text(code)
    (tool,) = SkillRegistry([folder], run=Boxed(python=SYSTEM_PYTHON)).load_with_tools("probe")[1]
    return tool


def test_a_box_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)

    with pytest.raises(SandboxError, match="apt-get install bubblewrap"):
        Boxed()


@boxed
async def test_a_script_sees_its_skill_and_nothing_beside_it(home: Path) -> None:
    (home / "secret.txt").write_text("TOP-SECRET")
    tool = script(home, "ls; cat ../secret.txt /etc/passwd; touch here; touch /tmp/there && echo temporary")

    said = await tool.execute({})

    assert "SKILL.md" in said
    assert "temporary" in said
    assert "TOP-SECRET" not in said
    assert "root:" not in said
    assert not (home / "probe" / "here").exists()


@boxed
async def test_a_script_has_a_clean_environment_and_its_key(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    tool = script(home, "import os\nprint(sorted(os.environ), os.environ['LOOM_IDEMPOTENCY_KEY'])", suffix="py")

    async with set_run_context(RunContext(idempotency_key="run_1:turn:1")):
        said = await tool.execute({})

    assert "OPENAI_API_KEY" not in said
    assert said.endswith("run_1:turn:1")


@boxed
async def test_a_script_reaches_no_network(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        tool = script(home, f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)", suffix="py")

        assert "Error (exit=1)" in await tool.execute({})


@boxed
async def test_a_script_that_takes_too_long_is_killed(home: Path) -> None:
    assert (await script(home, "echo begun; sleep 60", timeout=0.5).execute({})).startswith("Error (timeout)")
