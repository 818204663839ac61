from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest

from agents.core.tools import builtin
from agents.core.tools.builtin import edit_tool, filesystem_tools, ls_tool, read_tool, write_tool
from agents.core.tools.host import InProcessToolHost
from agents.core.tools.tool import Tool


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("TOP-SECRET-123")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


async def read(work: Path, path: str, **args: Any) -> str:
    return str(await read_tool(work).execute({"path": path, **args}))


async def edit(work: Path, path: str, old: str, new: str, **args: Any) -> str:
    return str(await edit_tool(work).execute({"path": path, "old_string": old, "new_string": new, **args}))


async def test_read_numbers_the_lines(work: Path) -> None:
    (work / "a.txt").write_text("one\n\nthree\n")

    assert await read(work, "a.txt") == "     1\tone\n     2\t\n     3\tthree"


async def test_read_goes_on_where_it_is_told(work: Path) -> None:
    (work / "a.txt").write_text("".join(f"{n}\n" for n in range(1, 11)))

    assert await read(work, "a.txt", offset=3, limit=2) == (
        "     4\t4\n     5\t5\n... (5 more line(s); call read() again with offset=5)"
    )
    assert await read(work, "a.txt", offset=8) == "     9\t9\n    10\t10"
    assert await read(work, "a.txt", offset=10) == "ERROR: 'a.txt' has fewer than 11 lines"


async def test_read_keeps_its_own_limits(work: Path) -> None:
    (work / "a.txt").write_text("x\n" * 50)
    (work / "long.txt").write_text("y" * 5000 + "\nnext\n" + "z" * 2000 + "\nend")
    (work / "wide.txt").write_text(("w" * 1999 + "\n") * 200)

    limited = await read_tool(work, line_limit=3).execute({"path": "a.txt", "limit": 40})
    assert limited.endswith("... (47 more line(s); call read() again with offset=3)")
    lines = (await read(work, "long.txt")).split("\n")
    assert lines[0] == "     1\t" + "y" * 2000 + "… (3000 more characters)"
    assert lines[1:] == ["     2\tnext", "     3\t" + "z" * 2000, "     4\tend"]
    assert "(99 more line(s); call read() again with offset=101)" in await read(work, "wide.txt")


async def test_read_tells_an_empty_file_and_bytes_that_are_no_text(work: Path) -> None:
    (work / "empty").touch()
    (work / "bytes").write_bytes(b"a\xff\0\n")

    assert await read(work, "empty") == "(empty file)"
    assert await read(work, "bytes") == "     1\ta\ufffd\ufffd"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("none", "ERROR: 'none' not found"),
        ("sub", "ERROR: 'sub' is not a regular file"),
        ("../secret.txt", "ERROR: '../secret.txt' is outside of the work directory; use a path inside it"),
        ("/etc/passwd", "ERROR: '/etc/passwd' is outside of the work directory; use a path inside it"),
        ("out", "ERROR: 'out' leads out of the work directory"),
        ("sub/x/y", "ERROR: 'sub/x/y' not found"),
    ],
)
async def test_what_is_wrong_with_a_path_is_answered_as_an_error(work: Path, path: str, said: str) -> None:
    (work / "sub").mkdir()
    (work / "out").symlink_to("../secret.txt")

    assert await read(work, path) == said


async def test_write_makes_the_folders_and_replaces_the_file(work: Path) -> None:
    write = write_tool(work)

    assert await write.execute({"path": "a/b.txt", "content": "grüezi"}) == "wrote 7 bytes to a/b.txt"
    await write.execute({"path": "a/b.txt", "content": "new"})

    assert (work / "a" / "b.txt").read_text() == "new"


async def test_write_makes_no_folders_when_told_so(work: Path) -> None:
    answer = await write_tool(work, create_parents=False).execute({"path": "a/b.txt", "content": ""})

    assert answer.startswith("ERROR: 'a' not found")
    assert not (work / "a").exists()


async def test_write_makes_a_work_directory_that_is_not_there_yet(work: Path) -> None:
    await write_tool(work / "later").execute({"path": "a.txt", "content": "x"})

    assert (work / "later" / "a.txt").read_text() == "x"


async def test_write_cannot_leave_the_work_directory(work: Path) -> None:
    (work / "out").symlink_to("..")

    for path in ("../secret.txt", "out/secret.txt", str(work.parent / "secret.txt")):
        answer = await write_tool(work).execute({"path": path, "content": "overwritten"})
        assert answer.startswith("ERROR: ")

    assert (work.parent / "secret.txt").read_text() == "TOP-SECRET-123"


async def test_edit_replaces_one_occurrence_or_all(work: Path) -> None:
    (work / "a.txt").write_text("one two two")

    assert await edit(work, "a.txt", "one", "1") == "replaced 1 occurrence in a.txt"
    assert await edit(work, "a.txt", "two", "2", replace_all=True) == "replaced 2 occurrences in a.txt"
    assert (work / "a.txt").read_text() == "1 2 2"


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("a.txt", "zzz", "x", "old_string is not in 'a.txt'"),
        ("a.txt", "two", "x", "old_string is 2 times in 'a.txt'"),
        ("a.txt", "", "x", "old_string is empty"),
        ("a.txt", "one", "one", "are the same"),
        ("bytes", "a", "b", "is not UTF-8 text"),
        ("none", "a", "b", "'none' not found"),
        ("../secret.txt", "TOP", "b", "outside of the work directory"),
    ],
)
async def test_an_edit_that_does_not_fit_changes_nothing(work: Path, path: str, old: str, new: str, said: str) -> None:
    (work / "a.txt").write_text("one two two")
    (work / "bytes").write_bytes(b"a\xff")

    answer = await edit(work, path, old, new)

    assert answer.startswith("ERROR: ")
    assert said in answer
    assert (work / "a.txt").read_text() == "one two two"
    assert (work.parent / "secret.txt").read_text() == "TOP-SECRET-123"


async def test_an_edit_keeps_the_line_ends_of_the_file(work: Path) -> None:
    (work / "dos.txt").write_bytes(b"a\r\nb\r\nc\r\n")

    await edit(work, "dos.txt", "a\nb", "a\nx\nb")

    assert (work / "dos.txt").read_bytes() == b"a\r\nx\r\nb\r\nc\r\n"


async def test_no_edit_is_lost_when_many_come_at_once(work: Path) -> None:
    (work / "a.txt").write_text(" ".join(f"<{n}>" for n in range(20)))
    tools = {made.name: made for made in filesystem_tools(work)}

    async with anyio.create_task_group() as group:
        for n in range(20):
            args = {"path": "a.txt", "old_string": f"<{n}>", "new_string": f"[{n}]"}
            group.start_soon(tools["edit"].execute, args)

    assert (work / "a.txt").read_text() == " ".join(f"[{n}]" for n in range(20))


async def test_a_reader_never_sees_half_of_a_file(work: Path) -> None:
    write, sizes, done = write_tool(work), set(), threading.Event()
    (work / "a.txt").write_text("x" * 100_000)

    def look() -> None:
        while not done.is_set():
            sizes.add(len((work / "a.txt").read_bytes()))

    watcher = threading.Thread(target=look)
    watcher.start()
    for _ in range(10):
        await write.execute({"path": "a.txt", "content": "x" * 100_000})
    done.set()
    watcher.join()

    assert sizes == {100_000}
    assert os.listdir(work) == ["a.txt"]


async def test_ls_names_folders_first_and_files_with_their_size(work: Path) -> None:
    (work / "z").mkdir()
    (work / "a.txt").write_text("12345")
    (work / "out").symlink_to("..")
    (work / "evil\nname\x1b[2J").touch()
    ls = ls_tool(work)

    assert await ls.execute({}) == "z/\na.txt (5B)\nevil\\nname\\x1b[2J (0B)\nout (link)"
    assert await ls.execute({"path": "z"}) == "(empty directory)"
    assert (await ls.execute({"path": "out"})).startswith("ERROR: 'out' leads out")
    assert await ls.execute({"path": "a.txt"}) == "ERROR: 'a.txt' is not a directory"


async def test_the_destructive_tools_say_so_and_the_others_only_read(work: Path) -> None:
    listed = await InProcessToolHost(filesystem_tools(work)).list_tools()

    assert {d.name: (d.destructive, d.effect) for d in listed} == {
        "read": (False, "read"),
        "write": (True, "idempotent"),
        "edit": (True, "irreversible"),
        "grep": (False, "read"),
        "find": (False, "read"),
        "ls": (False, "read"),
    }


def test_the_tools_can_have_other_names(work: Path) -> None:
    makers = (read_tool, write_tool, edit_tool, ls_tool)

    made: list[Tool] = [make(work, name=f"my_{make.__name__}") for make in makers]

    assert [tool.name for tool in made] == ["my_read_tool", "my_write_tool", "my_edit_tool", "my_ls_tool"]
    assert list(made[0].input_schema["properties"]) == ["path", "offset", "limit"]


async def test_without_a_work_directory_the_tools_work_where_the_process_is(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    (work / "a.txt").write_text("here")

    assert builtin.default_workdir() == work
    assert await read_tool().execute({"path": "a.txt"}) == "     1\there"
