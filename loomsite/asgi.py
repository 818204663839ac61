"""The platform as an ASGI application: HTTP through Django, WebSockets through Channels."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "loomsite.settings")
django.setup(set_prefix=False)  # what is imported below needs it

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.db import database_sync_to_async  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.db import connections  # noqa: E402
from django.urls import path, re_path  # noqa: E402

from agents import consumers  # noqa: E402
from governance.auth import SESSION_TENANT, Principal, principal_of_key, principal_of_user  # noqa: E402
from loomsite.bodies import BodyLimit  # noqa: E402
from loomsite.handler import InOneThread  # noqa: E402

Application = Callable[..., Awaitable[None]]


class Caller:
    """Finds out who opens a socket: by `Authorization: Bearer …`, else by the session of a browser on one of our pages.

    Cookies travel with a socket that any page in the world opens, so with them the origin must be ours. Tokens do not.
    """

    def __init__(self, application: Application) -> None:
        self._by_key = application
        self._by_session = AllowedHostsOriginValidator(_SameOrigin(AuthMiddlewareStack(_Member(application))))

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        authorization = _header(scope, b"authorization")
        if not authorization:
            await self._by_session(scope, receive, send)
            return
        scheme, _, token = authorization.partition(" ")
        find = database_sync_to_async(principal_of_key)
        principal = await find(token.strip()) if scheme.lower() == "bearer" else None
        await self._by_key({**scope, "principal": principal}, receive, send)


class _SameOrigin:
    """Refuses pages of another port or scheme of our host, which may be somebody else's."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if urlsplit(_header(scope, b"origin")).netloc != _header(scope, b"host"):
            await _refuse(scope, receive, send)
        else:
            await self._application(scope, receive, send)


class _Member:
    """Puts the member behind a session on the scope, in the tenant that they look at."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        principal = await database_sync_to_async(self._find)(scope)
        await self._application({**scope, "principal": principal}, receive, send)

    def _find(self, scope: dict[str, Any]) -> Principal | None:
        user = scope["user"]
        return principal_of_user(user, scope["session"].get(SESSION_TENANT)) if user.is_authenticated else None


def _header(scope: dict[str, Any], name: bytes) -> str:
    return next((value.decode("latin1") for key, value in scope["headers"] if key == name), "")


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Says yes to the server's start, and gives the database its connections back at the end."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    for connection in connections.all():
        if hasattr(connection, "close_pool"):
            connection.close_pool()
    await send({"type": "lifespan.shutdown.complete"})


async def _refuse(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Close before accepting: the client's handshake gets a 403."""
    await receive()
    await send({"type": "websocket.close"})


SOCKETS: dict[str, Any] = {"ws/runs/<uuid:run_id>": consumers.run, "ws/tenant": consumers.tenant}
_elsewhere: Any = _refuse
sockets = URLRouter([path(route, socket) for route, socket in SOCKETS.items()] + [re_path("", _elsewhere)])
application = ProtocolTypeRouter({"http": BodyLimit(InOneThread()), "websocket": Caller(sockets), "lifespan": lifespan})
