"""What skills bring stands behind the walls that the agent's own tools have."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.core.agent import Agent
from agents.core.llm.scripted import ScriptedModel, ScriptedTurn
from agents.core.skills.process import Finished
from agents.core.skills.registry import SkillRegistry
from agents.core.tools.base import ToolHost
from agents.core.tools.host import InProcessToolHost
from governance.core.sandbox.base import NoSandbox
from governance.core.sandbox.bubblewrap import Bubblewrap
from governance.core.sandbox.filesystem import FilesystemSandbox
from governance.core.sandbox.process import Limits
from governance.core.sandbox.subprocess import SubprocessSandbox
from loom.events import Event, EventKind
from loom.messages import ToolCall, ToolResult
from tests.unit.agents.skills.test_boxed import SYSTEM_PYTHON, boxed


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that another user may pass through; pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="loom-skill-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def skills(home: Path, code: str, *, suffix: str = "sh", **options: Any) -> SkillRegistry:
    folder = home / "probe"
    folder.mkdir()
    declared = f"tools:\n  run: {{script: run.{suffix}, args: {{path: {{default: ''}}}}}}\n"
    (folder / "SKILL.md").write_text(f"---\nname: probe\ndescription: d\n{declared}---\n")
    (folder / f"run.{suffix}").write_text(code)
    return SkillRegistry([folder], **options)


async def said(skills: SkillRegistry, tools: ToolHost, tool: str = "probe__run", **args: str) -> ToolResult:
    """What an agent with these tools hears of a call of the skill."""
    calls = [ToolCall(tool="load_skill", args={"name": "probe"}), ToolCall(tool=tool, args=args)]
    model = ScriptedModel([*(ScriptedTurn(tool_calls=[call]) for call in calls), ScriptedTurn("done")])
    results: list[ToolResult] = []

    async def hear(event: Event) -> None:
        if event.kind is EventKind.TOOL_RESULT:
            results.append(event.payload["result"])

    await Agent("", model=model, tools=tools, skills=skills).run("go", emit=hear)
    return results[-1]


def no_tools() -> InProcessToolHost:
    return InProcessToolHost()


async def test_paths_that_lead_out_of_the_roots_reach_no_script(home: Path) -> None:
    (home / "secret").write_text("TOP-SECRET")
    found = skills(home, 'cat "$1"')
    fenced = NoSandbox(FilesystemSandbox(no_tools(), roots=[home / "probe"]))

    refused = await said(found, fenced, path=str(home / "secret"))
    read = await said(found, fenced, path=str(home / "probe" / "SKILL.md"))

    assert refused.denied
    assert "outside the allowed roots" in (refused.reason or "")
    assert "name: probe" in read.output


async def test_a_script_has_the_limits_and_the_time_of_the_sandbox(home: Path) -> None:
    small = SubprocessSandbox(no_tools(), limits=Limits(file_bytes=1000))
    found = skills(home, "head -c 5000 /dev/zero > $LOOM_SKILL_FOLDER/big; wc -c < $LOOM_SKILL_FOLDER/big; sleep 60")

    late = await said(found, SubprocessSandbox(no_tools(), timeout_seconds=0.5))
    (home / "probe" / "big").unlink()
    (home / "probe" / "run.sh").write_text((home / "probe" / "run.sh").read_text().replace("sleep 60", "true"))
    limited = await said(found, small)

    assert late.output == "Error (timeout): stopped after 0.5 s\n5000"
    assert limited.output.endswith("\n1000")


async def test_a_script_whose_interpreter_is_missing_is_an_error_that_names_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(home))

    result = await said(skills(home, "1", suffix="js"), SubprocessSandbox(no_tools()))

    assert "cannot start 'node'" in (result.output or "")


async def test_a_function_of_a_skill_runs_in_a_process_of_its_own(home: Path) -> None:
    skills(home, "true")
    (home / "probe" / "tools.py").write_text(
        "import os\nfrom loom import tool\n\n@tool\ndef process() -> int:\n    return os.getpid()\n"
    )
    found = SkillRegistry([home / "probe"])

    apart = await said(found, SubprocessSandbox(no_tools()), "probe__process")
    here = await said(found, no_tools(), "probe__process")

    assert here.output == os.getpid()
    assert apart.ok
    assert apart.output != os.getpid()


async def test_a_script_hears_of_a_closed_pipe_as_anywhere(home: Path) -> None:
    result = await said(skills(home, "yes | head -n 1"), SubprocessSandbox(no_tools()))

    assert result.output == "y"


async def test_an_argument_stays_what_it_is_where_another_python_is_used(home: Path) -> None:
    found = skills(home, "import sys\nprint(sys.argv[1], sys.executable)", suffix="py")

    other = home / "python"
    other.symlink_to(sys.executable)

    result = await said(found, SubprocessSandbox(no_tools(), python=str(other)), path=sys.executable)

    assert result.output == f"{sys.executable} {other}"


@boxed
async def test_a_script_runs_in_the_box_of_the_sandbox(home: Path) -> None:
    (home / "secret").write_text("TOP-SECRET")
    box = SubprocessSandbox(no_tools(), box=Bubblewrap(), python=SYSTEM_PYTHON)

    result = await said(skills(home, 'ls; cat "$1" ../secret; id -u'), box, path=str(home / "secret"))

    assert "SKILL.md" in result.output
    assert "TOP-SECRET" not in result.output
    assert not result.output.endswith(f"\n{os.getuid()}")


async def test_whoever_says_how_scripts_are_started_has_said_it(home: Path) -> None:
    async def start(argv: Any, **options: Any) -> Finished:
        return Finished(0, " ".join(argv[1:]).encode())

    result = await said(skills(home, "true", run=start), SubprocessSandbox(no_tools()), path="a")

    assert result.output == f"{home}/probe/run.sh a"
