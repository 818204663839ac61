"""How an answer is to sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from agents.core.tone import RESPONSE_TONES as RESPONSE_TONES
    from agents.core.tone import append_tone_directive as append_tone_directive
    from agents.core.tone import resolve_response_tone as resolve_response_tone

HOMES = {
    "RESPONSE_TONES": "agents.core.tone",
    "append_tone_directive": "agents.core.tone",
    "resolve_response_tone": "agents.core.tone",
}

__all__ = [
    "RESPONSE_TONES",
    "append_tone_directive",
    "resolve_response_tone",
]

__getattr__, __dir__ = door(__name__, HOMES)
