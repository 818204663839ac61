"""Memory in Chroma, a vector database."""

from __future__ import annotations

from memory.core.backends import Options
from memory.core.backends.chroma.memory import DEFAULT_COLLECTION, ChromaMemory
from memory.core.backends.chroma.place import Chroma


def build(options: Options) -> ChromaMemory:
    """The memory of the spec `chroma:<directory>`; without a directory it is gone with this process.

    Raises MissingPackage without chromadb.
    """
    chroma = Chroma.ephemeral() if options.location is None else Chroma.local(options.location)
    name = options.namespace or DEFAULT_COLLECTION
    return ChromaMemory.on(chroma, embedder=options.embedder, collection_name=name, with_facts=options.with_facts)
