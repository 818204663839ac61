"""The REST API as our own programs use it: calls, lists, and a run's events to the last one.

Imports no Django, and httpx2 with the first connection only: a command that is wrong says so at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from loom.errors import Conflict, Denied, Invalid, LoomError, NotFound, Unavailable

if TYPE_CHECKING:
    import httpx2

API = "/api/v1"
ENDS = ("run.succeeded", "run.failed", "run.cancelled")  # `loom.events` has them too, and takes Pydantic to say so
PAGE = 200
EVENTS_PAGE = 1000
TIMEOUT_SECONDS = 45.0  # heartbeats come every 15 s: a stream that is silent for longer is dead
PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.2

_KINDS: dict[int, type[LoomError]] = {401: Denied, 403: Denied, 404: NotFound, 409: Conflict, 429: Unavailable}


def connect(url: str, key: str | None) -> httpx2.Client:
    """A client for the platform at this address. Raises Invalid for an address or a key that cannot be one."""
    import httpx2

    if not url.startswith(("http://", "https://")):
        raise Invalid(f"LOOM_URL must begin with http:// or https://, not {url!r}")
    if key is not None and not (key.isascii() and key.isprintable()):
        raise Invalid("the API key holds characters that no key has: copy it again")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        # A proxy is for the outside.
        return httpx2.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=not is_local(url))
    except httpx2.InvalidURL as error:
        raise Invalid(f"LOOM_URL is no address: {error}") from error


def is_local(url: str) -> bool:
    try:
        return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        return False


def call(http: httpx2.Client, method: str, path: str, **options: Any) -> Any:
    """What the platform answers, as JSON. Raises the LoomError that a refusal is, with the problem's detail.

    `status` is in the facts of a refusal.
    """
    import httpx2

    try:
        response = http.request(method, API + path, **options)
    except httpx2.RequestError as error:
        raise _no_answer(http, error) from error
    _check(response)
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError as error:
        raise _no_loom(response) from error


def items(http: httpx2.Client, path: str, *, limit: int | None = None, **filters: Any) -> Iterator[dict[str, Any]]:
    """The rows of a list, page by page; at most `limit`."""
    cursor: str | None = None
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(left, PAGE)
        given = {**filters, "limit": size, "cursor": cursor}
        page = call(http, "GET", path, params={name: value for name, value in given.items() if value is not None})
        yield from page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return
        left = None if left is None else left - size


def journal(http: httpx2.Client, run_id: str, *, after: int = 0) -> Iterator[dict[str, Any]]:
    """The run's events so far, after this one."""
    while True:
        params = {"after": after, "limit": EVENTS_PAGE}
        events = call(http, "GET", f"/runs/{run_id}/events", params=params)["items"]
        yield from events
        if len(events) < EVENTS_PAGE:
            return
        after = events[-1]["seq"]


def follow(
    http: httpx2.Client, run_id: str, *, after: int = 0, tell: Callable[[str], None] = lambda sentence: None
) -> Iterator[dict[str, Any]]:
    """The run's events after this one as they happen, to the last; a broken stream is taken up where it broke.

    Live text (`model.delta`) has no number, and may begin anew. `tell` hears of breaks. Raises what a refusal is, and
    Unavailable when there was no answer for `PATIENCE_SECONDS`.
    """
    import httpx2

    broken_at: float | None = None
    while True:
        try:
            with http.sse(f"{API}/runs/{run_id}/events", headers={"Last-Event-ID": str(after)}) as stream:
                if stream.response.status_code == 204:  # there was nothing after this one, and never will be
                    return
                _check(stream.response)
                broken_at = None
                for frame in stream:
                    if not frame.data:  # `retry:`
                        continue
                    event = json.loads(frame.data)
                    after = max(after, event.get("seq") or 0)
                    yield event
                    if event["kind"] in ENDS:
                        return
        except (httpx2.TransportError, Unavailable) as error:
            if broken_at is None:
                broken_at = time.monotonic()
                tell(f"the stream broke ({error}); going on after event {after}")
            elif time.monotonic() - broken_at > PATIENCE_SECONDS:
                raise _no_answer(http, error) from error
        time.sleep(PAUSE_SECONDS)


def _check(response: httpx2.Response) -> None:
    if response.is_success:
        return
    response.read()
    try:
        detail = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        raise _no_loom(response) from None
    status = response.status_code
    kind = _KINDS.get(status, Unavailable if status >= 500 else Invalid)
    raise kind(detail, status=status)


def _no_loom(response: httpx2.Response) -> Unavailable:
    where = f"{response.request.method} {response.request.url}"
    return Unavailable(
        f"{where} answered {response.status_code}, and not as Loom would: check LOOM_URL", status=response.status_code
    )


def _no_answer(http: httpx2.Client, error: Exception) -> Unavailable:
    url = str(http.base_url).rstrip("/")
    why = str(error) or type(error).__name__
    return Unavailable(f"no answer from {url} ({why}): start the platform with `make run`, or set LOOM_URL")
