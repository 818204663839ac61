"""Tools that search the web and read its pages, by way of the egress guard.

What comes back was written by strangers: it is data for the model, never an instruction, and the gate treats it so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import parse_qs, urlencode, urlsplit

import anyio
import anyio.to_thread

from agents.core.tools.builtin.markup import pieces, readable
from agents.core.tools.tool import Tool, tool
from governance.core.egress import Answer, Egress
from loom.errors import ConfigError, LoomError, Unavailable

PAGE_CHARS = 50_000

_DUCKDUCKGO = "https://html.duckduckgo.com/html/"
_SERPER = "https://google.serper.dev/search"


def web_tool(
    *,
    backend: Literal["serper", "duckduckgo"] = "duckduckgo",
    api_key: str | None = None,
    max_results: int = 5,
    timeout: float = 10.0,
    egress: Egress | None = None,
) -> Tool:
    """A tool, `web_search`, that answers a Markdown list of results. Serper needs a key, here or in SERPER_API_KEY.

    Raises ConfigError for an unknown backend or a missing key.
    """
    out = egress or Egress(timeout=timeout)
    if backend == "duckduckgo":
        return _Search(_DuckDuckGo(out), max_results).web_search
    if backend != "serper":
        raise ConfigError(f"no web search backend {backend!r}; there are 'duckduckgo' and 'serper'")
    key = api_key or os.environ.get("SERPER_API_KEY")
    if not key:
        raise ConfigError("web search with Serper needs a key: pass api_key= or set SERPER_API_KEY")
    return _Search(_Serper(out, key, max_results), max_results).web_search


def web_fetch_tool(
    *, name: str = "web_fetch", max_chars: int = PAGE_CHARS, timeout: float = 10.0, egress: Egress | None = None
) -> Tool:
    """A tool that fetches a public page and answers its text, without markup."""
    return replace(_Page(egress or Egress(timeout=timeout), max_chars).web_fetch, name=name)


@dataclass(frozen=True, slots=True)
class Hit:
    title: str
    url: str
    snippet: str


@dataclass(frozen=True)
class _Search:
    ask: Callable[[str], Awaitable[Sequence[Hit]]]
    max_results: int

    @tool(effect="read")
    async def web_search(self, query: str) -> str:
        """Search the web. Answers titles, addresses and short extracts.

        Args:
            query: What to search for.
        """
        try:
            hits = await self.ask(query)
        except LoomError as exc:
            return f"(web search failed: {exc})"
        listed = [
            f"{n}. [{hit.title}]({hit.url})\n   {hit.snippet}"
            for n, hit in enumerate(hits[: self.max_results], start=1)
        ]
        return "\n".join(listed) or "(no results)"


@dataclass(frozen=True)
class _Page:
    egress: Egress
    max_chars: int

    @tool(effect="read")
    async def web_fetch(self, url: str) -> str:
        """Fetch a web page and read its text.

        Args:
            url: The address, beginning with http:// or https://.
        """
        try:
            answer = await self.egress.get(url)
        except LoomError as exc:
            return f"ERROR: {exc}"
        kind = answer.headers.get("content-type", "text/plain").split(";")[0].strip().lower()
        if not (kind.startswith("text/") or kind.endswith(("json", "xml", "javascript"))):
            return f"ERROR: {answer.url!r} is no text, but {kind}"
        text = answer.text().replace("\0", "\ufffd")  # PostgreSQL stores no NUL
        if kind in ("text/html", "application/xhtml+xml"):
            text = await anyio.to_thread.run_sync(readable, text)
        cut = answer.truncated or len(text) > self.max_chars
        head = f"{answer.url} (HTTP {answer.status})\n\n"
        return head + text[: self.max_chars] + ("\n... (the page is longer)" if cut else "")


@dataclass(frozen=True)
class _DuckDuckGo:
    egress: Egress

    async def __call__(self, query: str) -> Sequence[Hit]:
        answer = await self.egress.post(
            _DUCKDUCKGO,
            body=urlencode({"q": query}).encode(),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )
        _check_status(answer)
        return await anyio.to_thread.run_sync(_hits, answer.text())


@dataclass(frozen=True)
class _Serper:
    egress: Egress
    key: str
    max_results: int

    async def __call__(self, query: str) -> Sequence[Hit]:
        answer = await self.egress.post(
            _SERPER,
            body=json.dumps({"q": query, "num": self.max_results}).encode(),
            headers={"content-type": "application/json", "x-api-key": self.key},
        )
        _check_status(answer)
        try:
            found = json.loads(answer.body)["organic"]
            return [Hit(_line(r["title"]), r["link"], _line(r.get("snippet", ""))) for r in found]
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise Unavailable("the search service answered something else than results") from exc


def _check_status(answer: Answer) -> None:
    # DuckDuckGo answers 202 with a puzzle when it takes us for a robot.
    if answer.status != 200:
        raise Unavailable(f"the search service answered HTTP {answer.status}", status=answer.status)


def _hits(page: str) -> list[Hit]:
    """What DuckDuckGo's page for browsers without scripts lists: links (`result__a`) and extracts from them."""
    hits: list[Hit] = []
    heard: list[str] | None = None
    for piece in pieces(page):
        if isinstance(piece, str):
            if heard is not None:
                heard.append(piece)
        elif piece.name == "/a" and heard is not None:
            said, heard, last = _line("".join(heard)), None, hits[-1]
            hits[-1] = replace(last, snippet=said) if last.title else replace(last, title=said)
        elif piece.name == "a":
            given = piece.attributes()
            classes = given.get("class", "").split()
            if "result__a" in classes:
                hits.append(Hit("", _target(given.get("href", "")), ""))
                heard = []
            elif "result__snippet" in classes and hits:
                heard = []
    return [hit for hit in hits if hit.url]


def _target(href: str) -> str:
    """Where a result leads: DuckDuckGo wraps it into a redirect of its own. Nothing for an advertisement."""
    parts = urlsplit(href)
    if parts.netloc.endswith("duckduckgo.com"):
        return parse_qs(parts.query).get("uddg", [""])[0] if parts.path == "/l/" else ""
    return href if parts.scheme in ("http", "https") else ""


def _line(text: str) -> str:
    """One line that cannot end the link text around it."""
    return " ".join(text.split()).replace("[", "(").replace("]", ")")
