"""A store in a JSON file: `{"version": 1, "dimensions": d, "rows": [{"id", "content", "metadata", "vector"}]}`."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from memory.core.loaders.base import Chunk
from memory.core.vector_stores.ranking import Floats
from memory.core.vector_stores.rows import Row

VERSION = 1


def write(path: Path, rows: Sequence[Row], vectors: Floats, dimensions: int) -> None:
    written = [
        {"id": row_id, "content": chunk.content, "metadata": _plain(row_id, chunk), "vector": vector.tolist()}
        for (row_id, chunk), vector in zip(rows, vectors, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            json.dump({"version": VERSION, "dimensions": dimensions, "rows": written}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def read(path: Path, dimensions: int) -> tuple[list[Row], list[list[float]]]:
    saved = json.loads(path.read_text(encoding="utf-8"))
    version = saved.get("version") if isinstance(saved, dict) else None
    if version != VERSION:
        raise ValueError(f"{path} is a vector store of version {version!r}; this Loom reads version {VERSION}")
    if saved["dimensions"] != dimensions:
        raise ValueError(f"{path} holds vectors of {saved['dimensions']} dimensions; the embedder makes {dimensions}")
    rows = [(row["id"], Chunk(row["content"], row["metadata"])) for row in saved["rows"]]
    return rows, [row["vector"] for row in saved["rows"]]


def _plain(row_id: str, chunk: Chunk) -> dict[str, object]:
    try:
        json.dumps(chunk.metadata)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the metadata of chunk {row_id!r} cannot be saved as JSON: {error}") from error
    return chunk.metadata
