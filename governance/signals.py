"""What this room announces. The listeners write in the same transaction: all of it commits, or nothing does."""

from __future__ import annotations

from django.dispatch import Signal

# A question is answered for good. `approval` is its row; `said` is what the journal of its run keeps of the answer.
approval_decided = Signal()
