"""An agent that looks things up in a PDF: load it, cut it, find what fits the question, and answer with the page.

    $ python examples/rag_pdf.py
    handbook.pdf: 3 pages, 3 chunks
    Two people have to agree (Travel handbook > Page 2).

Without a model it plays a script. `python examples/rag_pdf.py gpt-4o` asks a real one, and
`python examples/rag_pdf.py gpt-4o docling` reads the PDF with another parser: `unstructured`, `docling` or `pypdfium2`.
"""

import asyncio
import os
import sys
from pathlib import Path

from loom import Agent, HashEmbedder, Message, Role, ScriptedModel, ScriptedTurn, Tool, ToolCall, tool
from loom.loader import MarkdownChunker, load_pdf
from loom.vectorstore import InMemoryVectorStore

MODEL = os.environ.get("LOOM_MODEL")
HANDBOOK = Path(__file__).parent / "documents" / "handbook.pdf"


async def read(backend: str) -> InMemoryVectorStore:
    """The handbook in pieces, each of which knows its page."""
    document = load_pdf(HANDBOOK, backend=backend)
    chunks = MarkdownChunker(chunk_size=800, chunk_overlap=100).split(document.content, source=HANDBOOK.name)
    print(f"{HANDBOOK.name}: {document.metadata['page_count']} pages, {len(chunks)} chunks")
    return await InMemoryVectorStore.from_chunks(chunks, embedder=HashEmbedder())


def lookup(store: InMemoryVectorStore) -> Tool:
    @tool(effect="read")
    async def search_handbook(question: str) -> str:
        """Passages of the travel handbook that fit a question, each after the page where it stands."""
        found = await store.search_hybrid(question, k=2)
        return "\n\n".join(f"[{each.chunk.metadata['headers']}]\n{each.chunk.content}" for each in found)

    return search_handbook


def script(messages: list[Message]) -> ScriptedTurn:
    """Look it up, then answer with the page that came first."""
    if messages[-1].role is not Role.TOOL:
        return ScriptedTurn(tool_calls=[ToolCall(tool="search_handbook", args={"question": messages[-1].content})])
    page = messages[-1].content.partition("]")[0].strip("[")
    return ScriptedTurn(f"Two people have to agree ({page}).")


async def main(model: str | None = MODEL, backend: str = "pypdfium2") -> None:
    agent = Agent(
        "Answer from the handbook alone, and name the page.",
        model=model or ScriptedModel([script] * 2),
        tools=[lookup(await read(backend))],
    )
    result = await agent.run("Who approves expenses of 600 euros?")
    print(result.output)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
