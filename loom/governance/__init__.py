"""Budgets and retries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from governance.core.budget import BudgetConfig as BudgetConfig
    from governance.core.budget import NoBudget as NoBudget
    from governance.core.retry import RetryPolicy as RetryPolicy
    from governance.core.retry import classify_model_error as classify_model_error
    from governance.core.retry import compute_backoff as compute_backoff
    from governance.core.standard_budget import StandardBudget as StandardBudget

HOMES = {
    "BudgetConfig": "governance.core.budget",
    "NoBudget": "governance.core.budget",
    "RetryPolicy": "governance.core.retry",
    "StandardBudget": "governance.core.standard_budget",
    "classify_model_error": "governance.core.retry",
    "compute_backoff": "governance.core.retry",
}

__all__ = [
    "BudgetConfig",
    "NoBudget",
    "RetryPolicy",
    "StandardBudget",
    "classify_model_error",
    "compute_backoff",
]

__getattr__, __dir__ = door(__name__, HOMES)
