"""One skill: a folder with a SKILL.md, or a text."""

from __future__ import annotations

import inspect
import sys
from dataclasses import replace
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from agents.core.skills.errors import SkillError
from agents.core.skills.frontmatter import split
from agents.core.skills.metadata import metadata_of
from agents.core.skills.process import Run
from agents.core.skills.scripts import Script, inside, scripts_of
from agents.core.tools.beneath import Beneath
from agents.core.tools.tool import Tool
from loom.context import get_run_context

FILE = "SKILL.md"

_TOOLS = "tools.py"
_MAX_BYTES = 1_048_576
_NOISE = ("__pycache__", "node_modules")


class Skill:
    """A playbook with its files and tools.

    Reading it runs none of its code and keeps only the front matter; `load_body` and `materialize_tools` read the rest.
    The name of a tool is prefixed with that of the skill: `pdf-forms` with a tool `fill` offers `pdf_forms__fill`.
    """

    def __init__(self, path: str | Path, *, source_label: str | None = None) -> None:
        given = Path(path).expanduser()
        file = given / FILE if given.is_dir() else given
        if file.name != FILE or not file.is_file():
            raise SkillError(f"there is no {FILE} at {str(given)!r}")
        self._folder: Path | None = file.parent.resolve()
        inside(self._folder, FILE)
        self._read(_text_of(file), source_label, source=str(file))

    @classmethod
    def from_text(cls, text: str, *, source_label: str | None = None) -> Skill:
        """A skill without a folder, and so without files and tools."""
        skill = cls.__new__(cls)
        skill._folder = None
        skill._read(text, source_label, source="inline skill")
        return skill

    def __repr__(self) -> str:
        return f"Skill({self.name!r})"

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def description(self) -> str:
        return self.metadata.description

    @property
    def folder(self) -> Path | None:
        return self._folder

    @property
    def builds_tools_for_context(self) -> bool:
        """Whether its tools depend on who they are for. Loads its Python code."""
        return self.metadata.has_python_tools and callable(getattr(self._module(), "build_tools", None))

    @property
    def pending_tools(self) -> list[Tool]:
        """The tools that are known without running any of the skill's code: the declared scripts."""
        return self._script_tools(None)

    def materialize_tools(self, ctx: Any | None = None, *, run: Run | None = None) -> list[Tool]:
        """All tools: declared scripts, then those of tools.py, which is imported at the first call.

        A `build_tools(ctx)` in tools.py is called every time, with the current context when none is given: what it
        builds for one user is never given to another. `run` starts the scripts; a sandbox can be put there.
        """
        python = self._python_tools(get_run_context() if ctx is None else ctx) if self.metadata.has_python_tools else []
        tools = self._script_tools(run) + python
        names = [tool.name for tool in tools]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise SkillError(f"skill {self.name!r} has two tools named {twice!r}")
        return tools

    def load_body(self) -> str:
        """The Markdown below the front matter."""
        if self._folder is None:
            return self._body
        file = inside(self._folder, FILE)  # looked at again: the folder may have changed since the skill was read
        return split(_text_of(file), source=str(file))[1]

    def list_files(self) -> list[Path]:
        """The files that came with it, besides SKILL.md, as paths inside the folder. Links are not listed."""
        return [Path(path) for path in self._files() if str(path) != FILE]

    def read_file(self, path: str) -> bytes:
        """The bytes of a file of the skill.

        Raises PathEscapeError for a path that leads out of the folder, also by a link, and the usual OSErrors.
        """
        if self._folder is None:
            raise SkillError(f"skill {self.name!r} has no files")
        with Beneath(self._folder).open(path) as file:
            return file.read(_MAX_BYTES)

    def content_hash(self) -> str:
        """SHA-256 (hex) over the names and bytes of all its files: the identity of a version of the skill."""
        digest = sha256()
        if self._folder is None:
            digest.update(self._text.encode())
            return digest.hexdigest()
        for path in sorted(self._files()):
            content = (self._folder / path).read_bytes()
            digest.update(f"{path}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()

    def _read(self, text: str, source_label: str | None, *, source: str) -> None:
        fields, body = split(text, source=source)
        self.metadata = replace(
            metadata_of(fields, source=source),
            source_label=source_label,
            has_python_tools=self._folder is not None and (self._folder / _TOOLS).is_file(),
        )
        self._scripts: list[Script] = scripts_of(fields, self._folder, source=source)
        self._code: ModuleType | None = None
        if self._folder is None:
            self._text, self._body = text, body

    def _files(self) -> list[PurePosixPath]:
        if self._folder is None:
            return []
        walk = Beneath(self._folder).walk(skip=lambda name: name in _NOISE or name.startswith("."))
        return [path for path, entry in walk if entry.kind == "file"]

    def _script_tools(self, run: Run | None) -> list[Tool]:
        prefix = self.metadata.tool_prefix
        return [
            script.tool(self._folder, prefix=prefix, run=run) for script in self._scripts if self._folder is not None
        ]

    def _python_tools(self, ctx: Any) -> list[Tool]:
        module = self._module()
        build = getattr(module, "build_tools", None)
        found = self._built(build, ctx) if callable(build) else [getattr(module, name) for name in _public(module)]
        prefix = self.metadata.tool_prefix
        unique = {id(tool): tool for tool in found if isinstance(tool, Tool)}
        return [replace(tool, name=prefix + tool.name) for tool in unique.values()]

    def _built(self, build: Any, ctx: Any) -> list[Any]:
        built = build(ctx)
        if inspect.isawaitable(built) or not all(isinstance(tool, Tool) for tool in built):
            raise SkillError(f"build_tools of skill {self.name!r} must return a list of tools")
        return list(built)

    def _module(self) -> ModuleType:
        if self._code is None:
            assert self._folder is not None
            self._code = _imported(inside(self._folder, _TOOLS), self.name)
        return self._code


def _public(module: ModuleType) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")]


def _text_of(file: Path) -> str:
    with file.open("rb") as source:
        content = source.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise SkillError(f"{file}: a skill's text is not longer than {_MAX_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SkillError(f"{file}: is not UTF-8") from None


def _imported(file: Path, skill: str) -> ModuleType:
    """The module, under a name of its own: two skills with a tools.py do not meet."""
    name = f"loom_skill_{skill.replace('-', '_')}_{sha256(str(file).encode()).hexdigest()[:12]}"
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and Pydantic look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as problem:
        del sys.modules[name]
        raise SkillError(f"tools.py of skill {skill!r} cannot be imported: {problem}") from problem
    return module
