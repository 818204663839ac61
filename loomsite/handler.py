"""How a request gets from the event loop to our synchronous views and back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import sync_to_async
from django.core import signals
from django.core.handlers.asgi import ASGIHandler
from django.db import close_old_connections, connections, reset_queries
from django.http import HttpRequest
from django.http.response import HttpResponseBase

THREADS = 12  # of the pool's 16 connections; streams and sockets take the others for moments


class InOneThread(ASGIHandler):
    """Django's handler with the whole way through middleware and view in one thread of a fixed pool.

    Our middleware and views are synchronous. Django's own way changes between loop and thread at each middleware that
    could be either, and makes a thread for each request; measured, that was two thirds of what a request cost.
    """

    def __init__(self) -> None:
        super().__init__()
        for signal in (signals.request_started, signals.request_finished):
            signal.disconnect(close_old_connections)  # connections are given back below, in the thread that used them
        signals.request_started.disconnect(reset_queries)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="request")
        self._respond = sync_to_async(self._get_response_here, thread_sensitive=False, executor=self._threads)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.handle(scope, receive, send)  # without the thread that Django would make for this request

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        return await self._respond(request)

    def _get_response_here(self, request: HttpRequest) -> HttpResponseBase:
        try:
            return self.get_response(request)
        finally:
            for connection in connections.all(initialized_only=True):  # the pool lends it to the next request
                connection.close()
