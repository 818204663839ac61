"""Texts as vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from memory.core.embedders import CohereEmbedder as CohereEmbedder
    from memory.core.embedders import HashEmbedder as HashEmbedder
    from memory.core.embedders import OpenAIEmbedder as OpenAIEmbedder
    from memory.core.embedders import VoyageEmbedder as VoyageEmbedder
    from memory.core.protocol import Embedder as Embedder

HOMES = {
    "CohereEmbedder": "memory.core.embedders",
    "Embedder": "memory.core.protocol",
    "HashEmbedder": "memory.core.embedders",
    "OpenAIEmbedder": "memory.core.embedders",
    "VoyageEmbedder": "memory.core.embedders",
}

__all__ = [
    "CohereEmbedder",
    "Embedder",
    "HashEmbedder",
    "OpenAIEmbedder",
    "VoyageEmbedder",
]

__getattr__, __dir__ = door(__name__, HOMES)
