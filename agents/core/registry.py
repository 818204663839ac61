"""What a deployment's own modules offer to its tenants: agents, workflows and tools by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar

from agents.core.tools.tool import Tool
from loom.errors import ConfigError

if TYPE_CHECKING:
    from agents.core.agent import Agent
    from agents.core.workflow import Workflow

T = TypeVar("T", bound="Agent | Workflow")


@dataclass
class Registry:
    """Names to things. A name is given once."""

    programs: dict[str, Agent | Workflow] = field(default_factory=dict)
    tools: dict[str, Tool] = field(default_factory=dict)

    def add(self, program: T) -> T:
        """Offer an agent or a workflow under its name. Raises ConfigError when another one has the name."""
        known = self.programs.setdefault(program.name, program)
        if known is not program:
            raise ConfigError(f"two programs are registered as {program.name!r}; give one of them another name=")
        return program

    def load(self, modules: Iterable[str]) -> None:
        """Import modules and take up the tools they declare; what they register is taken up by that alone.

        Raises ConfigError for a module that does not import, and for two tools of one name.
        """
        for name in modules:
            try:
                module = import_module(name)
            except ImportError as error:
                raise ConfigError(f"LOOM_MODULES names {name!r}, which does not import: {error}") from error
            for tool in vars(module).values():
                if isinstance(tool, Tool) and self.tools.setdefault(tool.name, tool) is not tool:
                    raise ConfigError(f"two tools are called {tool.name!r}; give one of them another name=")

    def program(self, name: str) -> Agent | Workflow:
        if name not in self.programs:
            raise ConfigError(f"no registered agent or workflow {name!r}{_hint(name, self.programs)}")
        return self.programs[name]

    def tool(self, name: str) -> Tool:
        if name not in self.tools:
            raise ConfigError(f"no tool {name!r} in LOOM_MODULES{_hint(name, self.tools)}")
        return self.tools[name]


def _hint(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(names)}" if names else "; none is registered"


registry = Registry()


def register(program: T) -> T:
    """Offer an agent or a workflow to the tenants of this deployment, under its `name`."""
    return registry.add(program)
