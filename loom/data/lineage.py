"""Certified values and their policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loom.doors import door

if TYPE_CHECKING:
    from governance.core.certified import FreshnessPolicy as FreshnessPolicy
    from governance.core.certified import LineagePolicy as LineagePolicy
    from governance.core.certified import check_freshness as check_freshness
    from governance.core.certified import check_lineage as check_lineage
    from governance.core.certified import require_freshness as require_freshness
    from governance.core.certified import require_lineage as require_lineage

HOMES = {
    "FreshnessPolicy": "governance.core.certified",
    "LineagePolicy": "governance.core.certified",
    "check_freshness": "governance.core.certified",
    "check_lineage": "governance.core.certified",
    "require_freshness": "governance.core.certified",
    "require_lineage": "governance.core.certified",
}

__all__ = [
    "FreshnessPolicy",
    "LineagePolicy",
    "check_freshness",
    "check_lineage",
    "require_freshness",
    "require_lineage",
]

__getattr__, __dir__ = door(__name__, HOMES)
