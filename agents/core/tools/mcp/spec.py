"""Where an MCP server is and what it is told about the caller."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import isawaitable
from typing import Literal

from loom.context import RunContext
from loom.errors import MCPError

Pairs = tuple[tuple[str, str], ...]
CredentialsFor = Callable[[RunContext], Mapping[str, str] | Awaitable[Mapping[str, str]]]


@dataclass(frozen=True)
class MCPServerSpec:
    """How to reach one MCP server.

    `env` and `headers` may be functions of the `RunContext`, sync or async: then every user has connections of his own,
    made with what the function returned for him. Values of both never appear in the repr.
    """

    name: str
    transport: Literal["stdio", "http"]
    command: str | None = None
    args: tuple[str, ...] = ()
    env: Pairs | CredentialsFor = field(default=(), repr=False)
    url: str | None = None
    headers: Pairs | CredentialsFor = field(default=(), repr=False)
    description: str = ""
    timeout_seconds: float = 30.0
    connect_timeout_seconds: float = 60.0  # the first start of a packaged server may download it
    max_result_bytes: int = 1_048_576

    @classmethod
    def stdio(
        cls,
        name: str,
        command: str,
        args: list[str] | tuple[str, ...] | None = None,
        env: Mapping[str, str] | CredentialsFor | None = None,
        *,
        description: str = "",
        timeout_seconds: float = 30.0,
    ) -> MCPServerSpec:
        """A server that is started as a child process and spoken to over its stdin and stdout.

        It gets PATH, HOME and the like, and `env`; nothing else of this process's environment.
        """
        return cls(
            name=name,
            transport="stdio",
            command=command,
            args=tuple(args or ()),
            env=_pairs(env),
            description=description,
            timeout_seconds=timeout_seconds,
        )

    @classmethod
    def http(
        cls,
        name: str,
        url: str,
        headers: Mapping[str, str] | CredentialsFor | None = None,
        *,
        description: str = "",
        timeout_seconds: float = 30.0,
    ) -> MCPServerSpec:
        """A server that is reached over Streamable HTTP. Redirects are followed only within the origin of `url`."""
        return cls(
            name=name,
            transport="http",
            url=url,
            headers=_pairs(headers),
            description=description,
            timeout_seconds=timeout_seconds,
        )

    @property
    def is_per_user(self) -> bool:
        return callable(self.env) or callable(self.headers)

    async def resolved(self, context: RunContext) -> MCPServerSpec:
        """The same server with the credentials of this context filled in."""
        if not self.is_per_user:
            return self
        return replace(self, env=await _known(self.env, context), headers=await _known(self.headers, context))

    def check(self) -> None:
        """Raises MCPError when the spec cannot lead to a connection."""
        if self.transport not in ("stdio", "http"):
            raise MCPError(f"MCP server {self.name!r}: transport {self.transport!r} is neither 'stdio' nor 'http'")
        if self.transport == "stdio" and not self.command:
            raise MCPError(f"MCP server {self.name!r}: a stdio server needs a command")
        if self.transport == "http" and not self.url:
            raise MCPError(f"MCP server {self.name!r}: an http server needs a url")


def _pairs(values: Mapping[str, str] | CredentialsFor | None) -> Pairs | CredentialsFor:
    if values is None or callable(values):
        return values or ()
    return tuple(values.items())


async def _known(values: Pairs | CredentialsFor, context: RunContext) -> Pairs:
    if not callable(values):
        return values
    found = values(context)
    return tuple((await found if isawaitable(found) else found).items())
