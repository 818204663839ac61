"""What some implementations need that only `scripts/bootstrap extras` installs."""

from importlib.util import find_spec

import pytest

chroma = pytest.mark.skipif(
    find_spec("chromadb") is None, reason="chromadb is not installed: run scripts/bootstrap extras"
)
NEEDS = {"chroma": chroma, "chroma with its facts": chroma, "chroma with vectors": chroma}
