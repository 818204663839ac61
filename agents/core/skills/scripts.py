"""Scripts of a skill as tools: declared in the front matter, run as processes of their own."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, cast

from agents.core.skills.errors import SkillError
from agents.core.skills.process import Finished, Run, run_process
from agents.core.tools.tool import EFFECTS, Tool
from loom.context import get_run_context
from loom.messages import Effect

DEFAULT_SECONDS = 30.0
MAX_OUTPUT_BYTES = 1_048_576

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TYPES = ("string", "integer", "number", "boolean", "array", "object")
_INTERPRETERS = {".py": sys.executable, ".sh": "bash", ".bash": "bash", ".js": "node", ".mjs": "node"}
_FIELDS = frozenset({"description", "script", "args", "destructive", "effect", "timeout"})
_ARG_FIELDS = frozenset({"type", "description", "enum", "default", "items"})


class Walls(Protocol):
    """A sandbox for programs; see `SubprocessSandbox`."""

    @property
    def timeout_seconds(self) -> float: ...

    def program(self, argv: Sequence[str], *, folder: Path, env: Mapping[str, str]) -> list[str]: ...


@dataclass
class ScriptTool(Tool):
    """A script of a skill. A sandbox around it asks for the same tool, started `within` its walls."""

    within: Callable[[Walls], Tool] = field(kw_only=True)


@dataclass(frozen=True)
class Script:
    """One entry of `tools` in a front matter. `args` are JSON Schemas by name, in the order of the command line."""

    name: str
    description: str
    path: PurePosixPath
    args: Mapping[str, dict[str, Any]]
    destructive: bool = False
    effect: Effect | None = None
    timeout: float = DEFAULT_SECONDS

    @property
    def input_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": dict(self.args),
            "required": [name for name, schema in self.args.items() if "default" not in schema],
            "additionalProperties": False,
        }

    def tool(self, folder: Path, *, prefix: str, run: Run | None = None, walls: Walls | None = None) -> Tool:
        """The script as a tool. It runs in `folder`, in an environment without anything of this process's own.

        With `run`, that starts it, and no sandbox besides.
        """
        seconds = self.timeout if walls is None else min(self.timeout, walls.timeout_seconds)

        async def call(**values: Any) -> str:
            argv = [
                *self._command(folder),
                *(_word(values.get(name, a.get("default"))) for name, a in self.args.items()),
            ]
            env = _env(folder)
            ended = await (run or run_process)(
                argv if walls is None else walls.program(argv, folder=folder, env=env),
                folder=folder,
                env=env,
                timeout_seconds=seconds,
                max_output_bytes=MAX_OUTPUT_BYTES,
            )
            return _said(ended, seconds)

        return ScriptTool(
            within=lambda walls: self.tool(folder, prefix=prefix, run=run, walls=walls if run is None else None),
            name=prefix + self.name,
            description=self.description,
            fn=call,
            input_schema=self.input_schema,
            destructive=self.destructive,
            effect=self.effect,
        )

    def _command(self, folder: Path) -> list[str]:
        # Looked up at every call: the folder may have changed since the skill was read.
        script = inside(folder, self.path)
        interpreter = _INTERPRETERS.get(script.suffix)
        return [interpreter, str(script)] if interpreter else [str(script)]


def inside(folder: Path, path: PurePosixPath | str) -> Path:
    """The real path of a file of the skill. Raises SkillError when it is elsewhere, also by way of a link."""
    root = folder.resolve()
    try:
        found = (root / path).resolve()
        is_file = found.is_file()
    except (OSError, ValueError) as problem:  # too long, or with characters that no name has
        raise SkillError(f"{str(path)!r} is no path in skill {folder.name!r}: {problem}") from problem
    if not found.is_relative_to(root):
        raise SkillError(f"{str(path)!r} leads out of the folder of skill {folder.name!r}")
    if not is_file:
        raise SkillError(f"there is no file {str(path)!r} in skill {folder.name!r}")
    return found


def scripts_of(fields: Mapping[str, Any], folder: Path | None, *, source: str) -> list[Script]:
    """The declared tools. Raises SkillError for what cannot be run, before anybody wants to run it."""
    declared = fields.get("tools") or {}
    if declared and folder is None:
        raise SkillError(f"{source}: a skill without a folder cannot declare tools: there are no scripts to run")
    scripts = [_script(str(name), declared[name], source) for name in declared]
    for script in scripts:
        if folder is not None:
            inside(folder, script.path)
    return scripts


def _script(name: str, declared: Any, source: str) -> Script:
    where = f"{source}: tool {name!r}"
    if not _NAME.fullmatch(name):
        raise SkillError(f"{where} is not a name of letters, digits and underscores")
    if not isinstance(declared, dict) or not isinstance(declared.get("script"), str):
        raise SkillError(f"{where} needs a mapping with a script")
    _refuse_unknown(declared, _FIELDS, where)
    path = PurePosixPath(declared["script"])
    if path.is_absolute() or ".." in path.parts:
        raise SkillError(f"{where}: script {declared['script']!r} is not a path inside the skill's folder")
    return Script(
        name=name,
        description=str(declared.get("description") or "").strip(),
        path=path,
        args=_args(declared, where),
        destructive=_flag(declared, "destructive", where),
        effect=_effect(declared, where),
        timeout=_seconds(declared, where),
    )


def _args(declared: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    value = declared.get("args") or {}
    if not isinstance(value, dict):
        raise SkillError(f"{where}: args is {value!r}, not a mapping of names to types")
    return {str(name): _schema(name, schema, where) for name, schema in value.items()}


def _schema(name: Any, declared: Any, where: str) -> dict[str, Any]:
    schema = {"type": declared} if isinstance(declared, str) else declared
    if not isinstance(schema, dict):
        raise SkillError(f"{where}: argument {name!r} is {declared!r}; it needs a type, or a mapping with one")
    _refuse_unknown(schema, _ARG_FIELDS, f"{where}: argument {name!r}")
    schema = {"type": "string", **schema}
    if schema["type"] not in _TYPES:
        raise SkillError(f"{where}: argument {name!r} has type {schema['type']!r}; there are {', '.join(_TYPES)}")
    return schema


def _refuse_unknown(declared: Mapping[Any, Any], known: frozenset[str], where: str) -> None:
    if unknown := sorted(str(name) for name in declared if name not in known):
        raise SkillError(f"{where}: unknown field {unknown[0]!r}; there are {', '.join(sorted(known))}")


def _flag(declared: Mapping[str, Any], name: str, where: str) -> bool:
    value = declared.get(name, False)
    if not isinstance(value, bool):
        raise SkillError(f"{where}: {name} is {value!r}, not true or false")
    return value


def _effect(declared: Mapping[str, Any], where: str) -> Effect | None:
    value = declared.get("effect")
    if value is not None and value not in EFFECTS:
        raise SkillError(f"{where}: effect is {value!r}; there are {', '.join(EFFECTS)}")
    if value == "read" and declared.get("destructive"):
        raise SkillError(f"{where} cannot be destructive and only read")
    return cast("Effect | None", value)  # checked just above


def _seconds(declared: Mapping[str, Any], where: str) -> float:
    value = declared.get("timeout", DEFAULT_SECONDS)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= sys.float_info.max:
        raise SkillError(f"{where}: timeout is {value!r}, not a number of seconds above 0")
    return float(value)


def _word(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _env(folder: Path) -> dict[str, str]:
    """What a script sees of the world: nothing that was set for this process."""
    key = get_run_context().idempotency_key
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": tempfile.gettempdir(),
        "PYTHONDONTWRITEBYTECODE": "1",  # the folder is hashed
        "LOOM_SKILL_FOLDER": str(folder),
        **({"LOOM_IDEMPOTENCY_KEY": key} if key else {}),
    }


def _said(ended: Finished, timeout: float) -> str:
    output = ended.output.decode(errors="replace").rstrip("\n")
    if ended.is_cut:
        output += f"\n… (cut here: only {MAX_OUTPUT_BYTES} bytes are kept)"
    if ended.exit_code is None:
        return f"Error (timeout): stopped after {timeout:g} s\n{output}".rstrip()
    return output if ended.exit_code == 0 else f"Error (exit={ended.exit_code}): {output}"
