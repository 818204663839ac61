"""The HTTP connections of a process: one pool per event loop, shared by the clients of all models.

A client with a pool of its own costs 50 ms and a handshake. Keys travel in each request's headers, and no cookie is
ever kept, so sharing a connection shares nothing else.
"""

from __future__ import annotations

import weakref
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any
from urllib.request import getproxies

from anyio.lowlevel import current_token

from agents.core.llm.shards import sharded

if TYPE_CHECKING:
    from httpx2 import AsyncClient

CONNECT_SECONDS = 5

# The one process-wide cache here. A pool lives as long as its event loop: connections cannot move to another.
_pools: weakref.WeakKeyDictionary[Any, AsyncClient] = weakref.WeakKeyDictionary()


def shared_http_client() -> AsyncClient:
    """The pool of the running event loop. Do not close it: others use it."""
    loop = current_token().native_token
    if loop not in _pools or _pools[loop].is_closed:
        _pools[loop] = _new_pool()
    return _pools[loop]


async def close_connections() -> None:
    """Close the running event loop's pool, before the loop ends. The next call opens a new one."""
    pool = _pools.pop(current_token().native_token, None)
    if pool is not None:
        await pool.aclose()


def _new_pool() -> AsyncClient:
    from httpx2 import AsyncClient, Limits, Timeout  # slow to import: only when a model is really called

    # How many calls run at once is decided by the worker, not by the pool.
    limits = Limits(max_connections=None, max_keepalive_connections=100)
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    # The client knows the proxies of the environment, and they only fit into a transport of its own making.
    transport = None if getproxies().keys() & {"http", "https", "all"} else sharded(limits)
    timeout = Timeout(600, connect=CONNECT_SECONDS)
    return AsyncClient(timeout=timeout, limits=limits, cookies=no_cookies, follow_redirects=True, transport=transport)
