"""Which tool of which server a name means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.core.tools.mcp.client import MCPClient
from agents.core.tools.mcp.descriptors import definition_of, digest_of, objection_to
from loom.messages import ToolDef


@dataclass(frozen=True)
class Entry:
    """A tool that is offered. `name` is what its server calls it, `definition.name` what the model does."""

    client: MCPClient
    name: str
    definition: ToolDef
    digest: str

    @property
    def full_name(self) -> str:
        return f"{self.client.name}.{self.name}"


@dataclass(frozen=True)
class KeptBack:
    """A tool that is not offered."""

    name: str
    full_name: str
    reason: str


@dataclass(frozen=True)
class Index:
    """The tools of all servers by the names the model uses, and those that are kept back."""

    entries: Mapping[str, Entry]
    kept_back: Sequence[KeptBack]

    def find(self, name: str) -> Entry | None:
        """A tool by its name, or by `server.tool`, which always works."""
        return self.entries.get(name) or next((e for e in self.entries.values() if e.full_name == name), None)

    def quarantine_of(self, name: str) -> str | None:
        """Why a tool of that name, or full name, is kept back."""
        return next((tool.reason for tool in self.kept_back if name in (tool.name, tool.full_name)), None)

    def namesakes(self, name: str) -> list[str]:
        """The names to use instead of one that several servers have."""
        return sorted(exposed for exposed, entry in self.entries.items() if entry.name == name)


def index_of(
    listings: Sequence[tuple[MCPClient, Sequence[Any]]],
    *,
    reserved: Collection[str],
    pinned: Mapping[str, str] | None,
) -> Index:
    """Put the listings of all servers together, in the order of servers and of their lists.

    A tool keeps its own name unless another server, or the agent itself (`reserved`), has it too: then it is offered as
    `server.tool`. With `pinned` digests, a tool that is new or not as it was is quarantined.
    """
    tools = [(client, tool, f"{client.name}.{tool.name}") for client, listing in listings for tool in listing]
    owners = Counter(name for _, name in {(client.name, tool.name) for client, tool, _ in tools})
    full_names = {full_name for _, _, full_name in tools}
    entries: dict[str, Entry] = {}
    kept_back: list[KeptBack] = []
    for client, tool, full_name in tools:
        is_own = owners[tool.name] == 1 and tool.name not in reserved and tool.name not in full_names
        name = tool.name if is_own else full_name
        digest = digest_of(tool)
        reason = objection_to(tool) or _change(full_name, digest, pinned)
        if name in entries:
            reason = "another tool has the same name"
        if reason is not None:
            kept_back.append(KeptBack(tool.name, full_name, reason))
            continue
        entries[name] = Entry(client, tool.name, definition_of(tool, name=name, server=client.name), digest)
    return Index(entries, kept_back)


def _change(full_name: str, digest: str, pinned: Mapping[str, str] | None) -> str | None:
    if pinned is None or pinned.get(full_name) == digest:
        return None
    if full_name in pinned:
        return "its name, description, schema or annotations are not those that were accepted"
    return "it was not there when the tools of this server were accepted"
