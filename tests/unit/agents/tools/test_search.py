from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from agents.core.tools.builtin import find_tool, grep_tool, search


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("TOP-SECRET-123")
    for path, text in {
        "a.py": "import os\nSECRET = 1\n",
        "src/b.py": "def secret():\n    pass\n",
        "src/deep/er/c.ts": "secret",
        "node_modules/x.py": "secret",
        ".git/y.py": "secret",
        "data.bin": "secret\0",
    }.items():
        file = tmp_path / "work" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "work" / "link.txt").symlink_to("../secret.txt")
    (tmp_path / "work" / "up").symlink_to("..")
    return tmp_path / "work"


async def grep(work: Path, pattern: str, **args: Any) -> str:
    return str(await grep_tool(work).execute({"pattern": pattern, **args}))


async def find(work: Path, glob: str, **args: Any) -> str:
    return str(await find_tool(work).execute({"glob": glob, **args}))


async def test_grep_names_file_line_and_text(work: Path) -> None:
    assert await grep(work, "secret") == "src/b.py:1: def secret():\nsrc/deep/er/c.ts:1: secret"
    assert await grep(work, "^secret", ignore_case=True) == "a.py:2: SECRET = 1\nsrc/deep/er/c.ts:1: secret"
    assert await grep(work, "nowhere") == "(no matches)"


async def test_grep_looks_only_where_it_is_told(work: Path) -> None:
    assert await grep(work, "secret", path="src/deep") == "src/deep/er/c.ts:1: secret"
    assert await grep(work, "secret", path="src/b.py") == "src/b.py:1: def secret():"
    assert await grep(work, "secret", glob="*.ts") == "src/deep/er/c.ts:1: secret"
    assert await grep(work, "secret", path="src", glob="**/*.py") == "src/b.py:1: def secret():"


@pytest.mark.parametrize("glob", ["../*.txt", "../../**/*", "/etc/*", "src/../../*"])
async def test_globs_cannot_leave_the_work_directory(work: Path, glob: str) -> None:
    for answer in (await grep(work, "TOP", glob=glob), await find(work, glob)):
        assert answer == f"ERROR: the glob {glob!r} leads out of the work directory; use one below `path`"


@pytest.mark.parametrize("path", ["..", "up", "../secret.txt", "link.txt", "/etc"])
async def test_searches_cannot_leave_the_work_directory(work: Path, path: str) -> None:
    for answer in (await grep(work, "TOP", path=path), await find(work, "*.txt", path=path)):
        assert answer.startswith("ERROR: ")
        assert "TOP-SECRET" not in answer


async def test_links_are_found_by_name_and_never_read_or_entered(work: Path) -> None:
    assert await grep(work, "TOP-SECRET") == "(no matches)"
    assert await find(work, "*.txt") == "link.txt"
    assert "secret.txt" not in await find(work, "*")


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.py", ["a.py", "src/b.py"]),
        ("c.*", ["src/deep/er/c.ts"]),
        ("src/*.py", ["src/b.py"]),
        ("src/*", ["src/b.py"]),
        ("**/*.py", ["a.py", "src/b.py"]),
        ("src/**/*.ts", ["src/deep/er/c.ts"]),
        ("src/**", ["src/b.py", "src/deep/er/c.ts"]),
        ("*/*/*/?.ts", ["src/deep/er/c.ts"]),
        ("./a.py", ["a.py"]),
        ("[ab].py", ["a.py", "src/b.py"]),
        ("", ["(no matches)"]),
    ],
)
async def test_find_understands_globs(work: Path, glob: str, found: list[str]) -> None:
    assert (await find(work, glob)).split("\n") == found


async def test_a_glob_is_seen_from_the_path(work: Path) -> None:
    assert await find(work, "deep/**/*.ts", path="src") == "src/deep/er/c.ts"


async def test_a_glob_with_many_stars_takes_no_time(work: Path) -> None:
    (work / "/".join("a" * 40)).mkdir(parents=True)
    (work / "/".join("a" * 40) / "x").touch()

    start = time.monotonic()
    assert await find(work, "**/a/" * 20 + "y") == "(no matches)"
    assert time.monotonic() - start < 10


async def test_results_are_capped(work: Path) -> None:
    (work / "many").mkdir()
    for n in range(5):
        (work / "many" / f"{n}.log").write_text("hit\nhit\n")

    grepped = await grep_tool(work, max_results=3).execute({"pattern": "hit"})
    found = await find_tool(work, max_results=3).execute({"glob": "*.log"})

    assert grepped.split("\n")[2:] == ["many/1.log:1: hit", "... (more than 3 results; narrow the search)"]
    assert found.split("\n")[2:] == ["many/2.log", "... (more than 3 results; narrow the search)"]


async def test_a_pattern_that_is_none_is_an_error(work: Path) -> None:
    assert (await grep(work, "(")).startswith("ERROR: '(' is no regular expression")


async def test_a_pattern_that_runs_away_is_stopped_and_lets_others_run(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MATCHING_SECONDS", 0.2)
    (work / "bomb.txt").write_text("x" * 4000 + "!")
    beats, done = [0], threading.Event()

    def beat() -> None:
        while not done.wait(0.005):
            beats[0] += 1

    heart = threading.Thread(target=beat)
    heart.start()
    answer = await grep(work, "(x+x+)+y|(x|xx)+z", path="bomb.txt")
    done.set()
    heart.join()

    assert answer.endswith("takes too long to match; use a simpler pattern or fewer files")
    assert beats[0] > 5


async def test_names_and_lines_are_shown_as_plain_text(work: Path) -> None:
    (work / "a\nb.py").write_text("needle" + "x" * 900)

    answer = await grep(work, "needle")

    assert answer.startswith("a\\nb.py:1: needle")
    assert len(answer) < 600
