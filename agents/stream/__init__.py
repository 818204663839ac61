"""How watchers hear of a run.

The channel layer carries nudges ("run X changed"), never payloads: who misses one reads the journal a moment later.
The text that a model is saying right now is kept in Redis for a few minutes, so that a watcher who joins in the
middle sees it whole.
"""

from agents.stream.following import PAGE, POLL_SECONDS, Notice, follow, follow_tenant, hear_tenant
from agents.stream.nudges import Deltas, Nudges, nudge, nudge_run, nudge_tenant

__all__ = [
    "PAGE",
    "POLL_SECONDS",
    "Deltas",
    "Notice",
    "Nudges",
    "follow",
    "follow_tenant",
    "hear_tenant",
    "nudge",
    "nudge_run",
    "nudge_tenant",
]
