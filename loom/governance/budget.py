"""Limits on tokens, money and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from governance.core.budget import Budget as Budget
    from governance.core.budget import BudgetConfig as BudgetConfig
    from governance.core.budget import BudgetStatus as BudgetStatus
    from governance.core.budget import NoBudget as NoBudget
    from governance.core.standard_budget import StandardBudget as StandardBudget

HOMES = {
    "Budget": "governance.core.budget",
    "BudgetConfig": "governance.core.budget",
    "BudgetStatus": "governance.core.budget",
    "NoBudget": "governance.core.budget",
    "StandardBudget": "governance.core.standard_budget",
}

__all__ = [
    "Budget",
    "BudgetConfig",
    "BudgetStatus",
    "NoBudget",
    "StandardBudget",
]

__getattr__, __dir__ = door(__name__, HOMES)
