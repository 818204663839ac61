"""The connections of a registry: one per server, or one per server, user and credential."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence

import anyio

from agents.core.tools.mcp.client import MCPClient
from agents.core.tools.mcp.connection import Door
from agents.core.tools.mcp.link import Bell
from agents.core.tools.mcp.spec import MCPServerSpec
from loom.context import RunContext
from loom.errors import ConfigError
from loom.ids import deterministic_hash

_MAX_PERSONAL = 100

Key = tuple[str, str | None, str]


class Pool:
    """Clients by server name and context.

    A personal client that has not been used for long makes room for others: it is let go here, and its connection ends
    when the last call that holds it is over.
    """

    def __init__(self, items: Sequence[MCPServerSpec | MCPClient], door: Door, bell: Bell) -> None:
        self._bell = bell
        self._to_personalize: dict[str, tuple[MCPServerSpec, Door]] = {}
        self._shared: dict[str, MCPClient] = {}
        self._personal: OrderedDict[Key, MCPClient] = OrderedDict()
        self.names = [item.name for item in items]
        self._refuse_namesakes()
        for item in items:
            client = item if isinstance(item, MCPClient) else MCPClient(item, door=door)
            if client.is_per_user:
                self._to_personalize[item.name] = (client.spec, client.door)
            else:
                self._shared[item.name] = self._attached(client)

    def shared(self) -> list[MCPClient] | None:
        """The clients of all servers, when they are the same for everybody."""
        return None if self._to_personalize else list(self._shared.values())

    async def client(self, name: str, context: RunContext) -> MCPClient:
        if name in self._shared:
            return self._shared[name]
        spec, door = self._to_personalize[name]
        spec = await spec.resolved(context)
        key = (name, context.user_id, deterministic_hash(spec.env, spec.headers))
        client = self._personal.get(key) or self._attached(MCPClient(spec, door=door))
        self._personal[key] = client
        self._personal.move_to_end(key)
        if len(self._personal) > _MAX_PERSONAL:
            self._personal.popitem(last=False)
        return client

    def forget_listings(self) -> None:
        for client in self._all():
            client.forget_listing()

    async def aclose(self) -> None:
        clients = self._all()
        self._personal.clear()
        async with anyio.create_task_group() as tasks:
            for client in clients:
                tasks.start_soon(client.aclose)

    def _all(self) -> list[MCPClient]:
        return [*self._shared.values(), *self._personal.values()]

    def _attached(self, client: MCPClient) -> MCPClient:
        client.ring(self._bell)
        return client

    def _refuse_namesakes(self) -> None:
        for name, count in Counter(self.names).items():
            if count > 1:
                raise ConfigError(f"{count} MCP servers are called {name!r}; give each a name of its own")
