"""Which failures of a model are worth another try, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from governance.core.retry import RetryPolicy as RetryPolicy
    from governance.core.retry import classify_model_error as classify_model_error
    from governance.core.retry import compute_backoff as compute_backoff

HOMES = {
    "RetryPolicy": "governance.core.retry",
    "classify_model_error": "governance.core.retry",
    "compute_backoff": "governance.core.retry",
}

__all__ = [
    "RetryPolicy",
    "classify_model_error",
    "compute_backoff",
]

__getattr__, __dir__ = door(__name__, HOMES)
