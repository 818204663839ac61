from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from agents.core.tools.builtin import bash_tool, reaped, shell
from agents.core.tools.builtin.courtesy import objection
from agents.core.tools.host import InProcessToolHost

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lets a process reap orphans")

# Each starts something that would write the file `survived` two seconds later, in its own way of slipping away.
LATER = "sleep 2; touch survived"
SLIPPING_AWAY = {
    "child": f"({LATER}) & wait",
    "double fork": f"(({LATER}) &) ; sleep 30",
    "own session": f"setsid sh -c '{LATER}' & sleep 30",
    "own session, forked twice, empty environment": f"(env -i setsid sh -c '(({LATER}) &)' &) ; sleep 30",
    "after a signal to all Pythons": f"kill -TERM $PPID; {LATER}",
    "deaf to signals": f"trap '' TERM INT HUP; {LATER}",
    "without output": f"nohup sh -c '{LATER}' >/dev/null 2>&1 & sleep 30",
}


async def run(work: Path, command: str, **args: Any) -> str:
    return str(await bash_tool(work).execute({"command": command, **args}))


async def gone(marker: str) -> bool:
    """Whether no process with the marker in its command line is left, within a moment."""
    for _ in range(100):
        if not any(marker in " ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])):
            return True
        await anyio.sleep(0.05)
    return False


async def test_the_answer_has_the_command_its_code_and_both_streams(tmp_path: Path) -> None:
    assert await run(tmp_path, "echo out; echo err >&2; exit 3") == (
        "$ echo out; echo err >&2; exit 3\n[exit=3]\n--- stdout ---\nout\n\n--- stderr ---\nerr\n"
    )
    assert await run(tmp_path, "true") == "$ true\n[exit=0]"
    assert "[exit=143]" in await run(tmp_path, "kill -TERM $$")


async def test_the_command_runs_in_the_work_directory(tmp_path: Path) -> None:
    assert f"\n{tmp_path / 'new'}\n" in await run(tmp_path / "new", "pwd; cat")


async def test_no_secret_of_the_environment_is_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sk-canary")

    answer = await run(tmp_path, "env; cat /proc/$PPID/environ")
    given = await bash_tool(tmp_path, extra_env={"GIVEN": "yes"}).execute({"command": "env"})

    names = {line.split("=")[0] for line in given.split("--- stdout ---\n")[1].split("\n") if "=" in line}
    assert "sk-canary" not in answer
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"PATH", "HOME", "LANG", "TERM", "GIVEN"}
    assert f"HOME={tmp_path}" in given


async def test_each_stream_is_cut(tmp_path: Path) -> None:
    answer = await run(tmp_path, "head -c 25000 /dev/zero | tr '\\0' x; echo end >&2")
    wide = await run(tmp_path, "yes ü | head -c 90000")

    assert "x" * 10_000 + "\n... (15000 more bytes)\n--- stderr ---\nend" in answer
    assert len(wide) < 10_200
    assert "more bytes)" in wide


async def test_a_flood_of_output_is_cut_off_at_the_deadline(tmp_path: Path) -> None:
    answer = await run(tmp_path, "yes", timeout_sec=0.5)

    assert answer.startswith("ERROR: the command did not finish within 0.5 s")
    assert len(answer) < 11_000


async def test_a_flood_of_output_fills_no_memory() -> None:
    kept = shell._Kept()
    send, receive = anyio.create_memory_object_stream[bytes](100)
    async with send, receive:
        for _ in range(100):
            await send.send(b"x" * 65_536)
        await send.aclose()

        await kept.drain(receive)  # type: ignore[arg-type]

    assert len(kept.data) <= 40_000
    assert "(6543600 more bytes)" in kept.section("stdout")


async def test_no_result_has_a_nul(tmp_path: Path) -> None:
    assert "a\ufffdb" in await run(tmp_path, "printf 'a\\0b'")


async def test_a_command_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    assert "cannot be started" in await run(tmp_path, "echo " + "x" * 300_000)
    assert "cannot be started" in await run(tmp_path, "echo \0")


async def test_a_timeout_tells_what_was_said_so_far(tmp_path: Path) -> None:
    answer = await run(tmp_path, "echo before; sleep 30", timeout_sec=0.5)

    assert answer == (
        "ERROR: the command did not finish within 0.5 s and was killed with all it had started\n"
        "$ echo before; sleep 30\n--- stdout ---\nbefore\n"
    )


async def test_a_model_cannot_ask_for_longer_than_ten_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "LONGEST_SECONDS", 0.3)

    assert "within 0.3 s" in await run(tmp_path, "sleep 30", timeout_sec=1e9)


@linux
@pytest.mark.parametrize("way", SLIPPING_AWAY)
async def test_a_timeout_kills_all_that_the_command_started(tmp_path: Path, way: str) -> None:
    marker = f"{tmp_path}/survived"
    command = SLIPPING_AWAY[way].replace("survived", marker)

    answer = await run(tmp_path, command, timeout_sec=0.3)

    assert answer.startswith("ERROR: ")
    assert await gone(marker)
    assert not os.path.exists(marker)


@linux
async def test_a_cancellation_kills_all_that_the_command_started(tmp_path: Path) -> None:
    marker = f"{tmp_path}/survived"

    with anyio.move_on_after(0.3) as scope:
        await run(tmp_path, SLIPPING_AWAY["own session"].replace("survived", marker))

    assert scope.cancelled_caught
    assert await gone(marker)


@linux
async def test_background_processes_end_with_the_command(tmp_path: Path) -> None:
    marker = f"{tmp_path}/survived"

    start = time.monotonic()
    answer = await run(tmp_path, f"setsid sh -c 'sleep 20; touch {marker}' & echo started")

    assert "[exit=0]\n--- stdout ---\nstarted" in answer
    assert time.monotonic() - start < 15
    assert await gone(marker)


@linux
async def test_the_command_dies_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    marker = f"{tmp_path}/survived"
    program = (
        "import anyio, sys\n"
        "from agents.core.tools.builtin import bash_tool\n"
        "print('up', flush=True)\n"
        f"anyio.run(bash_tool({str(tmp_path)!r}).execute, {{'command': 'touch up; sleep 20; touch {marker}'}})\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", program])
    while not (tmp_path / "up").exists():
        await anyio.sleep(0.02)

    worker.kill()
    worker.wait()

    assert await gone(marker)


async def test_many_commands_run_at_once_and_leave_each_other_alone(tmp_path: Path) -> None:
    answers: list[str] = []

    async def one(n: int) -> None:
        answers.append(await run(tmp_path, f"(sleep 30 &) ; sleep 0.{n}; echo done {n}"))

    async with anyio.create_task_group() as group:
        for n in range(5):
            group.start_soon(one, n)

    assert all("[exit=0]" in answer and "done" in answer for answer in answers)


async def test_bash_is_destructive_and_irreversible(tmp_path: Path) -> None:
    listed = await InProcessToolHost([bash_tool(tmp_path, name="sh")]).list_tools()

    assert [(d.name, d.destructive, d.effect) for d in listed] == [("sh", True, "irreversible")]


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf /",
        "rm -rf /*",
        "rm -fr /",
        "rm -rf ~",
        "rm -rf ~/",
        "rm -r -f $HOME",
        "rm --recursive --force '/'",
        "rm -rf -- //",
        "rm -rf /usr/../",
        "cd x && /bin/rm -Rf /etc",
        "sudo -n rm -rf /*",
        "sh -c 'rm -rf /'",
        'echo a; bash -c "cd /; rm -rf ~"',
        "find / -delete",
        "find ~ -name '*' -exec rm -f {} +",
        "mkfs.ext4 /dev/sda1",
        "dd if=/dev/zero of=/dev/sda",
        "echo x > /dev/nvme0n1",
        ":(){ :|:& };:",
        "chmod -R 777 /",
        "sudo shutdown -h now",
        "X=1 env Y=2 reboot",
    ],
)
async def test_slips_that_nobody_means_are_not_run(tmp_path: Path, command: str) -> None:
    assert (await run(tmp_path, command)).startswith("ERROR: this command is not run: it ")


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf build",
        "rm -f /tmp/x",
        "rm -rf /tmp/x /home/ann/x",
        "find . -delete",
        "echo 'rm -rf /'",
        "env",
        "chmod 755 x",
        "ls /",
        "git commit -m 'reboot'",
        "dd if=a of=b",
        "find / -name x",
        "echo 'unfinished",
        "",
    ],
)
def test_ordinary_commands_are_not_held_up(command: str) -> None:
    assert objection(command) is None


def test_the_courtesy_takes_no_time_on_long_commands() -> None:
    start = time.monotonic()
    for piece in ("rm ", "sudo ", "(){", "a" * 50, ";x", "'", "sh -c "):
        objection(piece * (200_000 // len(piece)))
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(("allow", "ran"), [(lambda c: True, True), (lambda c: False, False)])
async def test_a_callable_decides_instead_of_the_list(tmp_path: Path, allow: Callable[[str], bool], ran: bool) -> None:
    made = bash_tool(tmp_path, allow_pattern=allow)

    assert ("[exit=0]" in await made.execute({"command": "true"})) is ran
    assert ("[exit=0]" in await made.execute({"command": "true || rm -rf /"})) is ran


async def test_without_the_reaper_the_process_group_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaped, "_HAS_REAPER", False)
    marker = f"{tmp_path}/survived"

    assert "[exit=3]" in await run(tmp_path, "exit 3")
    answer = await run(tmp_path, SLIPPING_AWAY["double fork"].replace("survived", marker), timeout_sec=0.3)

    assert answer.startswith("ERROR: the command did not finish")
    assert await gone(marker)
