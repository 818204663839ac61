from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from agents.core.tools.builtin import web_fetch_tool, web_tool
from agents.core.tools.builtin.markup import readable
from agents.core.tools.builtin.web import _hits
from governance.core.egress import Answer, Egress
from loom.errors import ConfigError, Unavailable

PAGE = """
<html><body>
<div class="result results_links result--ad"><h2><a class="result__a" href="//duckduckgo.com/y.js?ad=1">Ad</a></h2>
  <a class="result__snippet" href="#">Buy</a></div>
<div class="result"><h2 class="result__title">
  <a rel="nofollow" class="result__a" href="//duckduckgo.com/l/?uddg=https%3A%2F%2Fexample.org%2Fa%3Fb%3D1&amp;rut=x">
     The <b>first</b> &amp; best [really]</a></h2>
  <a class="result__snippet" href="x">About <b>it</b>
     all</a></div>
<div class="result"><a class="result__a" href="https://example.net/">Second</a></div>
<div class="result"><a class="result__a" href="javascript:alert(1)">Third</a></div>
</body></html>
"""


class FakeEgress(Egress):
    """Answers from memory and keeps what was asked."""

    def __init__(self, body: str | bytes = "", *, status: int = 200, kind: str = "text/html", **more: Any) -> None:
        super().__init__()
        self.asked: list[tuple[str, bytes, Mapping[str, str]]] = []
        data = body.encode() if isinstance(body, str) else body
        given = {"url": "https://a.test/", "truncated": False} | more
        self.answer = Answer(status=status, headers={"content-type": kind}, body=data, **given)

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        self.asked.append((url, body, headers or {}))
        return self.answer

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        return self.answer


class Unplugged(Egress):
    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        raise Unavailable("the cable is out")


async def search(egress: Egress, **options: Any) -> str:
    return str(await web_tool(egress=egress, **options).execute({"query": "loom & yarn"}))


async def test_duckduckgos_page_becomes_a_list_of_links() -> None:
    egress = FakeEgress(PAGE)

    assert await search(egress) == (
        "1. [The first & best (really)](https://example.org/a?b=1)\n   About it all\n"
        "2. [Second](https://example.net/)\n   "
    )
    assert egress.asked[0][:2] == ("https://html.duckduckgo.com/html/", b"q=loom+%26+yarn")


async def test_serpers_answer_becomes_a_list_of_links() -> None:
    hits = [{"title": f"T{n}", "link": f"https://e.org/{n}", "snippet": "s\ns"} for n in range(9)]
    egress = FakeEgress(json.dumps({"organic": hits}), kind="application/json")

    answer = await search(egress, backend="serper", api_key="k", max_results=2)

    assert answer == "1. [T0](https://e.org/0)\n   s s\n2. [T1](https://e.org/1)\n   s s"
    url, body, headers = egress.asked[0]
    assert (url, json.loads(body), headers["x-api-key"]) == (
        "https://google.serper.dev/search",
        {"q": "loom & yarn", "num": 2},
        "k",
    )


@pytest.mark.parametrize(
    ("egress", "options", "said"),
    [
        (FakeEgress("<html></html>"), {}, "(no results)"),
        (FakeEgress("puzzle", status=202), {}, "(web search failed: the search service answered HTTP 202)"),
        (Unplugged(), {}, "(web search failed: the cable is out)"),
        *(
            (
                FakeEgress(body),
                {"backend": "serper", "api_key": "k"},
                "(web search failed: the search service answered something else than results)",
            )
            for body in ("[]", '{"organic": [{"title": null, "link": "https://a.test/"}]}')
        ),
    ],
)
async def test_a_search_that_fails_says_so(egress: Egress, options: dict[str, Any], said: str) -> None:
    assert await search(egress, **options) == said


def test_a_search_that_cannot_work_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERPER_API_KEY", raising=False)

    with pytest.raises(ConfigError, match="no web search backend 'bing'"):
        web_tool(backend="bing")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="SERPER_API_KEY"):
        web_tool(backend="serper")
    monkeypatch.setenv("SERPER_API_KEY", "k")
    assert web_tool(backend="serper").name == "web_search"


def test_the_web_tools_only_read() -> None:
    made = [web_tool().to_def(), web_fetch_tool().to_def()]

    assert [(d.name, d.effect, list(d.input_schema["properties"])) for d in made] == [
        ("web_search", "read", ["query"]),
        ("web_fetch", "read", ["url"]),
    ]


async def fetch(egress: Egress, **options: Any) -> str:
    return str(await web_fetch_tool(egress=egress, **options).execute({"url": "https://a.test/"}))


async def test_a_page_is_read_as_text() -> None:
    page = (
        "<html><head><title>T</title><style>x{}</style></head><body><h1>Big\n news</h1><script>evil()</script>"
        "<p>One <b>two</b> &amp; three</p><ul><li>a</li><li>b</li></ul></body></html>"
    )

    assert await fetch(FakeEgress(page)) == "https://a.test/ (HTTP 200)\n\nT\nBig news\nOne two & three\na\nb"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<head><title>x</title><body>seen", "x\nseen"),
        ("a<!-- <p>no</p> -->b<!-- open", "ab"),
        ("a<SCRIPT>x</scrip></ScRiPt >b<style>c", "ab"),
        ("1 < 2 and <b>3</b> > 2 <", "1 < 2 and 3 > 2 <"),
        ("&lt;p&gt; &amp;amp; &#233;&eacute; &nosuch; &#99999999999999999999;", "<p> &amp; éé &nosuch; \ufffd"),
        ("İ<script>İ</script>İ", "İİ"),
        ("", ""),
    ],
)
def test_broken_pages_are_read_as_well_as_they_can(page: str, text: str) -> None:
    assert readable(page) == text


def test_no_page_keeps_the_reader_busy() -> None:
    start = time.monotonic()
    for piece in (
        "<a ",
        "<!--",
        "</",
        "<!",
        "<script>",
        "&#",
        "&#9",
        "<a b='",
        "<svg></svg>",
        "<a x=y ",
        "<a>",
        "< ",
        "\t ",
    ):
        readable(piece * (100_000 // len(piece)))
        list(_hits(('<a class="result__a" ' + piece) * (100_000 // (20 + len(piece)))))
    assert time.monotonic() - start < 20


async def test_other_text_is_read_as_it_is_and_the_rest_is_refused() -> None:
    assert (await fetch(FakeEgress('{"a": "\0"}', kind="application/json"))).endswith('{"a": "\ufffd"}')
    assert await fetch(FakeEgress(b"\x89PNG", kind="image/png")) == "ERROR: 'https://a.test/' is no text, but image/png"


async def test_a_long_page_is_cut() -> None:
    long = await fetch(FakeEgress("x" * 100, kind="text/plain"), max_chars=10)
    broken_off = await fetch(FakeEgress("x", kind="text/plain", truncated=True))

    assert long.endswith("\n\n" + "x" * 10 + "\n... (the page is longer)")
    assert broken_off.endswith("x\n... (the page is longer)")


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "file:///etc/passwd", "http://localhost:6379/", "x"])
async def test_a_page_that_is_not_public_is_not_fetched(url: str) -> None:
    async def home(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    answer = await web_fetch_tool(egress=Egress(resolve=home)).execute({"url": url})

    assert answer.startswith("ERROR: ")
