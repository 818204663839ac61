"""How an answer should sound."""

from __future__ import annotations

RESPONSE_TONES = {
    "casual": "Write as you would to a friend: relaxed, short sentences, contractions, no jargon.",
    "professional": "Write as you would to a colleague you respect: polite, clear, to the point, no slang.",
    "technical": "Write for engineers: exact terms, concrete values and units, code where it says more than words.",
    "legal": "Write as counsel would: precise and neutral, terms defined, duties and exceptions apart.",
    "finance": "Write for people who decide about money: figures with currency and period, risks named.",
    "executive": "Write for somebody with one minute: the conclusion first, three points at most, what to decide.",
    "academic": "Write as in a paper: formal and hedged where evidence is thin, claims apart from interpretation.",
}


def resolve_response_tone(spec: str | None) -> str | None:
    """The directive of a preset, by its name in any case; any other text is a directive itself. Blank is none."""
    if spec is None or not spec.strip():
        return None
    return RESPONSE_TONES.get(spec.strip().lower(), spec.strip())


def append_tone_directive(instructions: str, directive: str | None) -> str:
    """The instructions with the directive at their end, where models heed it most."""
    if not directive:
        return instructions
    return f"{instructions}\n\n---\nResponse style: {directive}"
