"""What a box keeps out, where the host can build one. That a missing box is an error is tested everywhere."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from agents.core.tools.host import InProcessToolHost
from governance.core.sandbox import bubblewrap
from governance.core.sandbox.bubblewrap import Bubblewrap
from governance.core.sandbox.process import Finished, Limits, run
from governance.core.sandbox.subprocess import SubprocessSandbox
from loom.errors import SandboxError
from tests.unit.governance.sandbox import boxed_tools


def host_has_boxes() -> bool:
    try:
        Bubblewrap()
    except SandboxError:
        return False
    return True


boxed = pytest.mark.skipif(not host_has_boxes(), reason="bubblewrap cannot build a box on this host")
SYSTEM_PYTHON = "/usr/bin/python3"


@pytest.fixture
def workspace() -> Iterator[Path]:
    """A folder that another user may reach; pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="loom-box-") as folder:
        os.chmod(folder, 0o711)
        work = Path(folder, "work")
        work.mkdir()
        yield work


async def sh(box: Bubblewrap, script: str, seconds: float = 10) -> Finished:
    return await run(box.command(["/bin/sh", "-c", script]), timeout_seconds=seconds)


def test_a_box_that_is_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)

    with pytest.raises(SandboxError, match="apt-get install bubblewrap"):
        Bubblewrap()


def test_a_kernel_that_refuses_the_box_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "_programs", lambda: dict.fromkeys(("bwrap", "prlimit", "setpriv"), "/bin/false"))

    with pytest.raises(SandboxError, match="cannot build a box"):
        Bubblewrap()


@boxed
async def test_only_the_workspace_is_seen_and_can_be_written(workspace: Path) -> None:
    (workspace.parent / "secret.txt").write_text("TOP-SECRET")
    box = Bubblewrap(workspace)

    done = await sh(box, f"cat {workspace.parent}/secret.txt /etc/shadow /root/x; echo hi > note; ls /; touch /usr/x")

    assert b"TOP-SECRET" not in done.stdout
    assert (workspace / "note").read_text() == "hi\n"
    assert set(done.stdout.decode().split()) <= {
        *("bin", "dev", "lib", "lib32", "lib64", "proc", "sbin", "tmp", "usr", "ws")
    }
    assert b"Read-only" in done.stderr


@boxed
async def test_the_environment_is_empty(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    box = Bubblewrap(workspace, env={"SLOT": "7"})

    done = await run(box.command(["/usr/bin/env"]), env={"LEAK": "sk-secret"}, timeout_seconds=10)

    names = {line.partition("=")[0] for line in done.stdout.decode().splitlines()}
    assert names == {"PATH", "LANG", "HOME", "TMPDIR", "SLOT", "PWD"}


@boxed
async def test_neither_network_nor_other_processes_are_reached(workspace: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        dial = f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 2)' && echo connected"

        done = await sh(Bubblewrap(workspace), f"{dial}; ls /proc | grep -c '^[0-9]'; kill -9 {os.getpid()}")

    assert b"connected" not in done.stdout
    assert int(done.stdout.split()[-1]) < 10


@boxed
async def test_who_is_inside_has_no_rights_and_cannot_build_boxes(workspace: Path) -> None:
    attempts = "unshare -U true && echo userns; mount -t tmpfs x /tmp && echo mounted"

    done = await sh(Bubblewrap(workspace), f"id -u; grep CapEff /proc/self/status; {attempts}")

    assert done.stdout.split() == [b"60001", b"CapEff:", b"0000000000000000"]


@boxed
async def test_everything_inside_ends_with_the_box(workspace: Path) -> None:
    done = await sh(Bubblewrap(workspace), "setsid sh -c 'sleep 2; touch late' & sleep 30", seconds=0.5)

    assert done.timed_out
    await anyio.sleep(2.2)
    assert not (workspace / "late").exists()


@boxed
async def test_files_memory_and_the_temporary_folder_have_limits(workspace: Path) -> None:
    box = Bubblewrap(workspace, limits=Limits(file_bytes=1 << 20), tmp_bytes=2 << 20)

    big = await sh(box, "head -c 3000000 /dev/zero > big; stat -c %s big")
    full = await sh(box, "for n in 1 2 3 4; do head -c 1000000 /dev/zero > /tmp/$n || exit 9; done")
    hungry = await sh(box, "python3 -c 'bytearray(3 << 30)'")

    assert int(big.stdout) <= 1 << 20
    assert full.returncode == 9
    assert b"MemoryError" in hungry.stderr


@boxed
def test_a_workspace_that_is_none_is_an_error(workspace: Path) -> None:
    with pytest.raises(SandboxError, match="no folder"):
        Bubblewrap(workspace / "missing")


@boxed
@pytest.mark.skipif(os.geteuid() != 0, reason="another user may read whatever we may")
def test_what_the_user_of_the_box_cannot_reach_is_an_error_before_the_first_call(workspace: Path) -> None:
    private = workspace.parent / "private"
    private.mkdir(mode=0o700)

    with pytest.raises(SandboxError, match="cannot pass through"):
        Bubblewrap(workspace).command(["/bin/true"], readable=[private / ".." / "private"])


@boxed
async def test_python_tools_run_in_a_box(workspace: Path) -> None:
    python = SYSTEM_PYTHON if os.geteuid() == 0 else None
    host = InProcessToolHost([boxed_tools.reading, boxed_tools.writing, boxed_tools.processes])
    (workspace.parent / "secret.txt").write_text("TOP-SECRET")
    try:
        walled = SubprocessSandbox(host, box=Bubblewrap(workspace), python=python)
    except SandboxError as error:
        pytest.skip(str(error))

    assert not (await walled.call("reading", {"path": str(workspace.parent / "secret.txt")})).ok
    assert (await walled.call("writing", {"path": "note"})).output == "/ws/note"
    assert (workspace / "note").read_text() == "written"
    assert (await walled.call("processes", {})).output < 10
