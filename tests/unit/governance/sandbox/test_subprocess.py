"""Each call in a process of its own: nothing inherited, nothing left behind."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from agents.core.tools.host import InProcessToolHost
from governance.core.sandbox.filesystem import FilesystemSandbox
from governance.core.sandbox.process import run
from governance.core.sandbox.subprocess import SubprocessSandbox
from loom.errors import ConfigError, SandboxError
from tests.unit.governance.sandbox import boxed_tools, decorated_tools


def sandbox(*names: str, **options: Any) -> SubprocessSandbox:
    host = InProcessToolHost([getattr(boxed_tools, name, None) or getattr(decorated_tools, name) for name in names])
    return SubprocessSandbox(host, **options)


async def test_a_result_larger_than_a_pipe_arrives() -> None:
    result = await sandbox("megabyte").call("megabyte", {}, call_id="c1")

    assert (result.ok, result.call_id, len(result.output or "")) == (True, "c1", 1_000_000)


async def test_decorated_and_async_tools_run_and_their_arguments_are_checked() -> None:
    walled = sandbox("decorated", "waiting")

    assert (await walled.call("waiting", {"n": "1"})).output == {"n": 1, "set": [1]}
    wrong = await walled.call("decorated", {"n": "many"})
    assert not wrong.ok
    assert "n" in (wrong.error or "")


async def test_nothing_of_our_environment_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")

    result = await sandbox("environment").call("environment", {})

    assert set(result.output) <= {"PATH", "LANG", "LC_CTYPE", "HOME", "TMPDIR"}
    assert not Path(result.output["HOME"]).exists()


async def test_what_a_tool_prints_is_not_its_result() -> None:
    assert (await sandbox("noisy").call("noisy", {})).output == "quiet"


async def test_a_tool_that_raises_or_dies_is_an_error_result() -> None:
    walled = sandbox("failing", "leaving")

    assert (await walled.call("failing", {})).error == "no such order"
    died = await walled.call("leaving", {})
    assert not died.ok
    assert "ended with 7" in (died.error or "")


async def test_the_end_of_the_time_ends_the_children_too(tmp_path: Path) -> None:
    survived = tmp_path / "survived"

    result = await sandbox("forking", timeout_seconds=0.9).call("forking", {"path": str(survived)})

    assert not result.ok
    assert "exceeded 0.9s" in (result.error or "")
    await anyio.sleep(1.2)
    assert not survived.exists()


async def test_memory_and_files_have_limits(tmp_path: Path) -> None:
    walled = sandbox("hungry", "big_file")

    assert not (await walled.call("hungry", {})).ok
    assert not (await walled.call("big_file", {"path": str(tmp_path / "big")})).ok
    assert (tmp_path / "big").stat().st_size <= 64 << 20


async def test_a_function_that_others_cannot_import_is_refused() -> None:
    def local() -> None: ...

    walled = SubprocessSandbox(InProcessToolHost([local]))

    result = await walled.call("local", {})

    assert not result.ok
    assert "at the top of a module" in (result.error or "")


async def test_an_unknown_tool_is_an_error_result() -> None:
    assert (await sandbox("noisy").call("nosy", {})).error == "unknown tool: nosy"


def test_a_time_must_be_above_zero_and_the_host_in_this_process(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="timeout_seconds"):
        sandbox("noisy", timeout_seconds=0)
    with pytest.raises(ConfigError, match="FilesystemSandbox"):
        SubprocessSandbox(FilesystemSandbox(InProcessToolHost([]), roots=[tmp_path]))


async def test_a_flood_of_output_is_read_and_cut() -> None:
    done = await run(["/bin/sh", "-c", "yes | head -c 5000000"], timeout_seconds=10)

    assert (done.returncode, len(done.stdout), done.is_cut) == (0, 1 << 20, True)


async def test_a_child_that_is_left_behind_does_not_keep_us(tmp_path: Path) -> None:
    began = time.monotonic()

    done = await run(["/bin/sh", "-c", "sleep 30 & echo started"], timeout_seconds=20)

    assert (done.stdout, done.timed_out) == (b"started\n", False)
    assert time.monotonic() - began < 10


async def test_a_cancelled_caller_leaves_no_process_behind(tmp_path: Path) -> None:
    survived = tmp_path / "survived"

    with anyio.move_on_after(0.2):
        await run(["/bin/sh", "-c", f"sleep 0.6; touch {survived}"], timeout_seconds=20)

    await anyio.sleep(0.7)
    assert not survived.exists()


async def test_a_command_reads_what_it_is_given() -> None:
    assert (await run(["/bin/cat"], stdin=b"x" * 300_000, timeout_seconds=10)).stdout == b"x" * 300_000


async def test_a_command_that_does_not_exist_is_a_sandbox_error() -> None:
    with pytest.raises(SandboxError, match="cannot start"):
        await run(["/no/such/program"], timeout_seconds=1)
