"""A model that is asked again when it fails for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.llm.retrying import RetryingModel as RetryingModel

HOMES = {
    "RetryingModel": "agents.core.llm.retrying",
}

__all__ = [
    "RetryingModel",
]

__getattr__, __dir__ = door(__name__, HOMES)
