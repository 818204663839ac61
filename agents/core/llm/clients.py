"""What the clients of the providers have in common: they must not repeat requests, and their errors become ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from governance.core.retry import classify_model_error
from loom.errors import ModelError, TransientModelError

_GARBLED = (ValueError, TypeError, AttributeError, KeyError, RecursionError)


@contextmanager
def as_model_errors(model: str, provider: str) -> Iterator[None]:
    """Turn what a client raises into our errors; an answer that it stumbles over may be better the next time."""
    try:
        yield
    except ModelError:
        raise
    except Exception as exc:
        error = classify_model_error(exc)
        if error is None and isinstance(exc, _GARBLED):
            error = TransientModelError(f"{model} sent an answer that cannot be read: {exc}", provider=provider)
        if error is None:
            raise
        raise error from exc


def without_retries(client: Any, package: str) -> Any:
    """A client of the package with its own retries off, since two layers would multiply; any other as it is."""
    is_theirs = type(client).__module__.partition(".")[0] == package
    return client.with_options(max_retries=0) if is_theirs else client
