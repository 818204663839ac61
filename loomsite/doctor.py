"""What stands between a client and a platform that works: looked at one after the other, each with what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from loom.errors import Denied, Invalid, LoomError, Unavailable
from loomsite.client import call, connect, items

if TYPE_CHECKING:
    import httpx2

API_VERSION = "1"
CLOCK_SECONDS = 5.0  # the Date of an answer counts whole seconds, and the answer took a moment


@dataclass(frozen=True)
class Finding:
    """What one look found. `advice` is empty where all is well."""

    check: str
    found: str
    advice: str = ""

    @property
    def is_ok(self) -> bool:
        return not self.advice


def examine(url: str, key: str | None) -> Iterator[Finding]:
    """Every finding, the ones that make the rest pointless first."""
    try:
        with connect(url, key) as http:
            yield from _examine(http, key)
    except Invalid as error:
        yield Finding("settings", str(error), "correct LOOM_URL or LOOM_API_KEY")
    except Unavailable as error:
        yield Finding("reachable", str(error), "start the platform with `make run`, or correct LOOM_URL")


def _examine(http: httpx2.Client, key: str | None) -> Iterator[Finding]:
    import httpx2

    try:
        answer = http.get("/healthz")
    except httpx2.RequestError as error:
        raise Unavailable(f"no answer from {http.base_url} ({str(error) or type(error).__name__})") from error
    if not answer.is_success:
        raise Unavailable(f"{answer.request.url} answered {answer.status_code}, and not as Loom would")
    yield Finding("reachable", f"{http.base_url} answers")
    yield _clock(answer)
    yield _readiness(http)
    yield _versions(http)
    yield _key(http, key)


def _clock(answer: httpx2.Response) -> Finding:
    try:
        there = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (KeyError, ValueError):
        return Finding("clock", "the server does not say what time it has")
    ahead = there - time.time()
    if abs(ahead) <= CLOCK_SECONDS:
        return Finding("clock", f"within {CLOCK_SECONDS:g} s of the server's")
    direction = "behind" if ahead > 0 else "ahead of"
    return Finding("clock", f"{abs(ahead):.0f} s {direction} the server's", "set both clocks by NTP")


def _readiness(http: httpx2.Client) -> Finding:
    import httpx2

    try:
        answer = http.get("/readyz")
        checks: dict[str, str] = answer.json()["checks"]
    except (httpx2.RequestError, ValueError, KeyError, TypeError):
        return Finding("ready", "the server does not say what state it is in", "look at the web process and its log")
    states = ", ".join(f"{name} {state}" for name, state in checks.items())
    if answer.is_success:
        return Finding("ready", states)
    return Finding("ready", states, "start what is missing; the log of the web process says more")


def _versions(http: httpx2.Client) -> Finding:
    here = version("loom")
    try:
        there = str(call(http, "GET", "/openapi.json")["info"]["version"])
    except (LoomError, KeyError, TypeError):
        return Finding("version", "the server does not describe its API", "check LOOM_URL")
    found = f"client {here} for API {API_VERSION}, server with API {there}"
    return Finding("version", found, "" if there == API_VERSION else "install the `loom` that came with the server")


def _key(http: httpx2.Client, key: str | None) -> Finding:
    """Whether the key is taken, and what it may do: the list of keys knows it by its prefix."""
    if key is None:
        return Finding("key", "no API key", "set LOOM_API_KEY: `make run` prints one")
    prefix = key.split("_")[1] if key.count("_") >= 2 else ""
    try:
        mine = next((row for row in items(http, "/keys") if row["prefix"] == prefix), None)
    except Denied as error:
        is_known = error.facts["status"] == 403
        advice = "make a key with the scope `read` too" if is_known else "set LOOM_API_KEY to a key that is valid"
        return Finding("key", str(error), advice)
    except LoomError as error:
        return Finding("key", str(error), "look at the findings above, then try again")
    if mine is None:
        return Finding("key", "valid")
    until = f", until {mine['expires_at']}" if mine["expires_at"] else ""
    return Finding("key", f"valid: {mine['name']}, with the scopes {', '.join(mine['scopes'])}{until}")
