from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import pytest

from agents.core.skills.errors import SkillError
from agents.core.skills.process import Finished
from agents.core.skills.registry import SkillRegistry
from agents.core.skills.skill import Skill
from agents.core.tools.tool import Tool
from loom.context import RunContext, set_run_context
from loom.errors import InvalidArguments, ToolError


def folder(path: Path, tools: str, **files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    indented = "\n".join(f"  {line}" for line in tools.splitlines())
    (path / "SKILL.md").write_text(f"---\nname: {path.name}\ndescription: d\ntools:\n{indented}\n---\n")
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


def script(path: Path, code: str, declared: str = "", suffix: str = "py") -> Tool:
    return Skill(
        folder(path / "s", f"run:\n  script: run.{suffix}\n{declared}", **{f"run__{suffix}": code})
    ).pending_tools[0]


async def test_a_script_gets_its_arguments_in_the_declared_order(tmp_path: Path) -> None:
    tool = script(
        tmp_path,
        "import sys\nprint(sys.argv[1:])",
        "  args:\n    b: integer\n    a: {type: string, description: First.}\n    c: {type: array, default: [1]}",
    )

    assert tool.name == "s__run"
    assert tool.input_schema["required"] == ["b", "a"]
    assert tool.input_schema["properties"]["a"] == {"type": "string", "description": "First."}
    assert await tool.execute({"a": "x y; rm", "b": 2}) == "['2', 'x y; rm', '[1]']"


async def test_arguments_are_checked_before_the_script_runs(tmp_path: Path) -> None:
    tool = script(tmp_path, "print(1)", "  args:\n    size: {type: string, enum: [s, m]}")

    for wrong in ({"size": "xl"}, {}, {"size": "s", "more": "1"}):
        with pytest.raises(InvalidArguments):
            await tool.execute(wrong)


async def test_other_languages_run_too(tmp_path: Path) -> None:
    assert await script(tmp_path / "sh", 'echo "$0" | grep -c run.sh', suffix="sh").execute({}) == "1"

    direct = script(tmp_path / "direct", "#!/bin/sh\necho direct", suffix="bin")
    with pytest.raises(ToolError, match="Permission denied"):
        await direct.execute({})
    (tmp_path / "direct" / "s" / "run.bin").chmod(0o755)
    assert await direct.execute({}) == "direct"


async def test_a_failure_is_told_with_its_exit_code_and_output(tmp_path: Path) -> None:
    tool = script(tmp_path, "import sys\nprint('out', flush=True)\nsys.exit('bad input')")

    assert await tool.execute({}) == "Error (exit=1): out\nbad input"


async def test_a_script_runs_in_the_skills_folder_and_sees_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    tool = script(tmp_path, "import os\nprint(os.getcwd())\nprint(sorted(os.environ))\nprint(os.environ.values())")

    place, names, values = str(await tool.execute({})).splitlines()

    assert place == str((tmp_path / "s").resolve())
    assert "OPENAI_API_KEY" not in names
    assert "sk-secret" not in values


async def test_a_script_can_hand_the_idempotency_key_on(tmp_path: Path) -> None:
    tool = script(tmp_path, "import os\nprint(os.environ['LOOM_IDEMPOTENCY_KEY'])")

    async with set_run_context(RunContext(idempotency_key="k-1")):
        assert await tool.execute({}) == "k-1"


def test_destructive_and_effect_are_kept(tmp_path: Path) -> None:
    wipe = script(tmp_path / "a", "", "  destructive: true")
    look = script(tmp_path / "b", "", "  effect: read")

    assert (wipe.destructive, wipe.effect) == (True, "irreversible")
    assert (look.destructive, look.effect) == (False, "read")


async def test_a_script_that_takes_too_long_is_killed_with_all_its_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, time\n"
        "one = subprocess.Popen(['sleep', '300'])\n"
        "two = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        "print(one.pid, two.pid, flush=True)\ntime.sleep(300)\n"
    )
    tool = script(tmp_path, code, "  timeout: 3")

    begun = time.monotonic()
    told, pids = str(await tool.execute({})).splitlines()

    assert told == "Error (timeout): stopped after 3 s"
    assert time.monotonic() - begun < 60
    assert not any(_is_alive(int(pid)) for pid in pids.split())


@pytest.mark.parametrize("more", ["", ", env={}"])
async def test_children_that_a_script_leaves_behind_are_killed(tmp_path: Path, more: str) -> None:
    code = f"import subprocess\nprint(subprocess.Popen(['/bin/sleep', '300'], start_new_session=True{more}).pid)"

    pid = int(await script(tmp_path, code).execute({}))

    with anyio.fail_after(5):
        while _is_alive(pid):
            await anyio.sleep(0.01)


async def test_a_cancelled_script_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    tool = script(tmp_path, f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tool.execute, {})
        with anyio.fail_after(10):
            while not (pid_file.exists() and pid_file.read_text()):
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()

    assert not _is_alive(int(pid_file.read_text()))


async def test_a_flood_of_output_is_cut(tmp_path: Path) -> None:
    said = str(await script(tmp_path, "print('x' * 3_000_000)").execute({}))

    assert said.endswith("x\n… (cut here: only 1048576 bytes are kept)")
    assert len(said) < 1_050_000


@pytest.mark.parametrize("path", ["../evil.py", "/etc/passwd", "a/../../evil.py"])
def test_a_script_outside_of_the_skill_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "evil.py").write_text("print('evil')")

    with pytest.raises(SkillError, match="not a path inside the skill's folder"):
        Skill(folder(tmp_path / "s", f"run: {{script: {path}}}"))


async def test_a_script_that_is_a_link_out_of_the_skill_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("print('evil')")
    place = folder(tmp_path / "s", "run: {script: run.py}", run__py="print('good')")
    tool = Skill(place).pending_tools[0]
    (place / "run.py").unlink()
    (place / "run.py").symlink_to(tmp_path / "evil.py")

    with pytest.raises(SkillError, match="leads out of the folder"):
        await tool.execute({})
    with pytest.raises(SkillError, match="leads out of the folder"):
        Skill(place)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("run: {script: run.py, args: {a: {type: text}}}", "has type 'text'"),
        ("run: {script: run.py, args: {a: 5}}", "needs a type"),
        ("run: {script: run.py, args: [a]}", "args is"),
        ("run: {script: run.py, timeout: 0}", "timeout is 0"),
        ("run: {script: run.py, timeout: .inf}", "timeout is inf"),
        ("run: {script: run.py, timeout: .nan}", "timeout is nan"),
        (f"run: {{script: run.py, timeout: {10**400}}}", "timeout is 1000"),
        (f"run: {{script: {'a' * 300}}}", "is no path"),
        ('run: {script: "\\0"}', "is no path"),
        ('run: {script: "\\ud83d"}', "is no path"),
        ("5", "tools is 5"),
        ("run: {script: run.py, effect: sometimes}", "effect is 'sometimes'"),
        ("run: {script: run.py, effect: read, destructive: true}", "cannot be destructive and only read"),
        ("run: {script: run.py, destructive: maybe}", "destructive is 'maybe'"),
        ("run: {script: gone.py}", "no file 'gone.py'"),
        ("run: {script: run.py, shell: true}", "unknown field 'shell'"),
        ("run: {command: run.py}", "needs a mapping with a script"),
        ("no good: {script: run.py}", "not a name of letters"),
    ],
)
def test_a_wrong_declaration_is_refused_when_the_skill_is_read(tmp_path: Path, declared: str, words: str) -> None:
    with pytest.raises(SkillError, match=words):
        Skill(folder(tmp_path / "s", declared, run__py=""))


async def test_a_sandbox_can_run_the_scripts_instead(tmp_path: Path) -> None:
    seen: list[Sequence[str]] = []

    async def sandboxed(
        argv: Sequence[str], *, folder: Path, env: Mapping[str, str], timeout_seconds: float, max_output_bytes: int
    ) -> Finished:
        seen.append(argv)
        return Finished(0, f"in {folder.name} for {timeout_seconds:g} s".encode())

    registry = SkillRegistry([folder(tmp_path / "s", "run: {script: run.py}", run__py="")], run=sandboxed)
    (tool,) = registry.load_with_tools("s")[1]

    assert await tool.execute({}) == "in s for 30 s"
    assert seen[0][1:] == [str(tmp_path / "s" / "run.py")]


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
