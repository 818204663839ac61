"""The JSON Schema of an answer, and the form of it that providers can hold a model to."""

import re
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

Schema = dict[str, Any]


def schema_of(output_schema: Any) -> Schema:
    """The JSON Schema of what the caller asked for: a Pydantic model, any other type, or a JSON Schema already."""
    return output_schema if isinstance(output_schema, dict) else _schema_of_type(output_schema)


def schema_name(output_schema: Any) -> str:
    """A name that providers accept: letters, digits, `_` and `-`, at most 64."""
    title = output_schema.get("title") if isinstance(output_schema, dict) else getattr(output_schema, "__name__", "")
    return re.sub(r"[^A-Za-z0-9_-]", "_", str(title or "answer"))[:64]


@lru_cache(maxsize=256)
def _schema_of_type(output_type: Any) -> Schema:
    return TypeAdapter(output_type).json_schema()
