"""Every example prints what its docstring shows: with no key, no network, and nothing left behind where it was started.

An example is a file below `examples/` with a `main`. What follows its command line in the docstring is its output, with
`...` for whatever differs from run to run.
"""

from __future__ import annotations

import doctest
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import anyio
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(
    str(file.relative_to(ROOT))
    for file in (ROOT / "examples").rglob("*.py")
    if "\nasync def main(" in file.read_text(encoding="utf-8")
)
AS_A_PROCESS = ("examples/quickstart.py", "examples/durable.py", "examples/mcp_servers.py", "examples/skills/modes.py")


def _shown(module: ModuleType, file: str) -> str:
    """What the docstring says that the example prints."""
    found = re.search(rf"^( *)\$ python {re.escape(file)}\n((?:\1.+\n?)+)", module.__doc__ or "", re.MULTILINE)
    assert found, f"the docstring of {file} does not show what `$ python {file}` prints"
    return "".join(f"{line.removeprefix(found[1])}\n" for line in found[2].splitlines())


def _assert_shown(printed: str, file: str) -> None:
    shown = _shown(_module(file), file)
    checker, example = doctest.OutputChecker(), doctest.Example("", shown)
    if not checker.check_output(shown, printed, doctest.ELLIPSIS):
        pytest.fail(checker.output_difference(example, printed, doctest.ELLIPSIS))


def _module(file: str) -> ModuleType:
    return importlib.import_module(file.removesuffix(".py").replace("/", "."))


def test_there_are_examples() -> None:
    assert set(AS_A_PROCESS) <= set(EXAMPLES)


@pytest.mark.parametrize("file", EXAMPLES)
async def test_an_example_prints_what_its_docstring_shows(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    with anyio.fail_after(20):
        await _module(file).main()

    _assert_shown(capsys.readouterr().out, file)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", AS_A_PROCESS)
def test_an_example_runs_as_a_program_from_anywhere(file: str, tmp_path: Path) -> None:
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}

    done = subprocess.run(
        [sys.executable, str(ROOT / file)], cwd=tmp_path, env=environment, capture_output=True, timeout=60, text=True
    )

    assert (done.returncode, done.stderr) == (0, "")
    _assert_shown(done.stdout, file)


@pytest.mark.parametrize("file", EXAMPLES)
def test_an_example_takes_the_name_of_no_package(file: str) -> None:
    # Python looks beside a program first: an `mcp.py` would stand in for the package of that name.
    assert importlib.util.find_spec(Path(file).stem) is None


@pytest.mark.parametrize("file", EXAMPLES)
def test_the_readme_names_every_example(file: str) -> None:
    readme = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")

    assert f"({file.removeprefix('examples/')})" in readme
