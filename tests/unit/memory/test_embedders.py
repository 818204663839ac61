import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from loom.errors import ConfigError, LoomError, Unavailable
from memory.core.embedders import CohereEmbedder, HashEmbedder, OpenAIEmbedder, VoyageEmbedder


async def test_a_hash_vector_has_unit_length_and_is_the_same_in_every_process() -> None:
    vector = await HashEmbedder().embed("tea")

    assert len(vector) == 384
    assert sum(part * part for part in vector) == pytest.approx(1)
    assert vector[:2] == pytest.approx([-0.02636028, -0.02559564], abs=1e-6)
    assert HashEmbedder().name == "hash-embedder-384"


async def test_a_batch_is_embedded_like_its_texts() -> None:
    embedder = HashEmbedder(8)

    assert await embedder.embed_batch(["a", "b"]) == [await embedder.embed("a"), await embedder.embed("b")]
    assert await embedder.embed_batch([]) == []


def test_vectors_without_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 0, not 0"):
        HashEmbedder(0)


class FakeOpenAI:
    """The part of the client that is used; answers out of order, as the API may."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.embeddings = self

    async def create(self, **request: Any) -> Any:
        self.requests.append(request)
        data = [SimpleNamespace(index=i, embedding=[float(len(text))]) for i, text in enumerate(request["input"])]
        return SimpleNamespace(data=data[::-1])


async def test_openai_vectors_come_back_in_the_order_of_the_texts() -> None:
    client = FakeOpenAI()
    embedder = OpenAIEmbedder(client=client)

    assert await embedder.embed_batch(["a", "bb", "ccc"]) == [[1.0], [2.0], [3.0]]
    assert client.requests == [{"model": "text-embedding-3-small", "input": ["a", "bb", "ccc"]}]


async def test_an_empty_batch_makes_no_request_and_a_long_one_several() -> None:
    client = FakeOpenAI()
    embedder = OpenAIEmbedder(client=client)

    assert await embedder.embed_batch([]) == []
    assert client.requests == []
    assert len(await embedder.embed_batch(["x"] * 5000)) == 5000
    assert [len(request["input"]) for request in client.requests] == [2048, 2048, 904]


async def test_openai_vectors_can_be_shortened() -> None:
    client = FakeOpenAI()
    embedder = OpenAIEmbedder("text-embedding-3-large", dimensions=256, client=client)
    await embedder.embed("a")

    assert embedder.dimensions == 256
    assert client.requests[0]["dimensions"] == 256


def test_known_models_know_their_size_and_unknown_ones_are_refused() -> None:
    client = object()

    assert OpenAIEmbedder("text-embedding-3-large", client=client).dimensions == 3072
    assert VoyageEmbedder("voyage-3-lite", client=client).dimensions == 512
    assert CohereEmbedder("embed-english-light-v3.0", client=client).dimensions == 384
    with pytest.raises(ConfigError, match="give dimensions="):
        OpenAIEmbedder("my-own", client=client)
    with pytest.raises(ConfigError, match="voyage-3-large"):
        VoyageEmbedder("voyage-0", client=client)


async def test_a_brought_client_of_voyage_and_cohere_is_used() -> None:
    class Client:
        async def embed(self, *texts: Any, **more: Any) -> Any:
            self.request = (texts, more)
            return SimpleNamespace(embeddings=[[1.0, 2.0]])

    voyage, cohere = Client(), Client()

    assert await VoyageEmbedder(client=voyage, input_type="query").embed("tea") == [1.0, 2.0]
    assert await CohereEmbedder(client=cohere).embed("tea") == [1.0, 2.0]
    assert voyage.request == ((["tea"],), {"model": "voyage-3", "input_type": "query"})
    assert cohere.request[1]["texts"] == ["tea"]


@pytest.mark.parametrize(("make", "extra"), [(VoyageEmbedder, "voyage"), (CohereEmbedder, "cohere")])
def test_a_missing_client_says_what_to_install(make: Any, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memory.core.extras.find_spec", lambda name: None)

    with pytest.raises(ImportError, match=rf"pip install 'loom\[{extra}\]'") as caught:
        make()
    assert isinstance(caught.value, LoomError)


@contextmanager
def server(status: int, body: dict[str, Any]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args: Any) -> None:
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/v1"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


async def embed_once(url: str, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    embedder = OpenAIEmbedder(api_key="test")
    try:
        return await embedder.embed("tea")
    finally:
        await embedder._connect().close()


async def test_the_real_client_reads_what_a_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1.5]}], "model": "m"}
    with server(200, body) as url:
        assert await embed_once(url, monkeypatch) == [0.5, 1.5]


def test_an_embedder_serves_one_event_loop_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1.5]}], "model": "m"}
    with server(200, body) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        embedder = OpenAIEmbedder(api_key="test")

        async def embed_and_close() -> list[float]:
            vector = await embedder.embed("tea")
            await embedder._connect().close()
            return vector

        assert [anyio.run(embed_and_close) for _ in range(2)] == [[0.5, 1.5]] * 2


async def test_a_service_that_refuses_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        server(401, {"error": {"message": "bad key"}}) as url,
        pytest.raises(Unavailable, match="text-embedding-3-small failed"),
    ):
        await embed_once(url, monkeypatch)


async def test_a_missing_key_is_a_matter_of_configuration() -> None:
    with pytest.raises(ConfigError, match="set OPENAI_API_KEY or give api_key="):
        await OpenAIEmbedder().embed("tea")


async def test_hash_vectors_are_near_as_far_as_texts_share_words() -> None:
    embedder = HashEmbedder()
    bakery, paid, ferry, turned = await embedder.embed_batch(
        ["The bakery sent an invoice", "paid the bakery's invoice", "a ferry left", "an invoice sent the bakery"]
    )

    def near(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert near(bakery, paid) > 0.4 > 0.2 > near(bakery, ferry)
    assert 0.7 < near(bakery, turned) < 0.9


async def test_a_hash_vector_has_unit_length_even_when_its_words_cancel_each_other_out() -> None:
    for text in ["", "the of", *(" ".join(f"word{n}" for n in range(count)) for count in range(1, 40))]:
        assert sum(part * part for part in await HashEmbedder(1).embed(text)) == pytest.approx(1)
