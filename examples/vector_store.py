"""Texts found by what they are about: filters, results that differ, words and vectors together, and a file.

$ python examples/vector_store.py
nearest: 0.68 The bakery sent its invoice in May.
in the archive: The bakery sent an invoice in April.
two that differ: The bakery sent its invoice in May. / The ferry to Oslo leaves at nine.
by words alone: The ferry to Oslo leaves at nine.
from the file: 4 chunks
"""

import asyncio
import tempfile
from pathlib import Path

from loom import HashEmbedder
from loom.vectorstore import InMemoryVectorStore

TEXTS = {
    "The bakery sent its invoice in May.": "inbox",
    "The bakery sent its invoice in June, in May's envelope.": "inbox",
    "The bakery sent an invoice in April.": "archive",
    "The ferry to Oslo leaves at nine.": "inbox",
}


async def main() -> None:
    store = await InMemoryVectorStore.from_texts(
        list(TEXTS), embedder=HashEmbedder(), metadatas=[{"folder": folder} for folder in TEXTS.values()]
    )
    question = "the bakery's May invoice"
    (nearest,) = await store.search(question, k=1)
    print(f"nearest: {nearest.score:.2f} {nearest.chunk.content}")

    (archived,) = await store.search(question, k=1, filter={"folder": {"$in": ["archive", "attic"]}})
    print(f"in the archive: {archived.chunk.content}")

    varied = await store.search(question, k=2, diversity=0.8)
    print("two that differ:", " / ".join(result.chunk.content for result in varied))

    found = await store.search_hybrid("When is the Oslo ferry?", alpha=0)
    print("by words alone:", " / ".join(result.chunk.content for result in found))

    with tempfile.TemporaryDirectory() as folder:
        await store.save(Path(folder, "store.json"))
        again = await InMemoryVectorStore.load(Path(folder, "store.json"), embedder=HashEmbedder())
        print(f"from the file: {await again.count()} chunks")


if __name__ == "__main__":
    asyncio.run(main())
