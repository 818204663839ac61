"""How a finished text is cut when it is streamed."""

import re

_WORD = re.compile(r"\s*\S+|\s+\Z")


def words(text: str) -> list[str]:
    """The text in words, each with the space before it; joined, they are the text again."""
    return _WORD.findall(text)
