"""What a run comes to."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field

from loom.messages import Usage


class RunResult(BaseModel):
    """The answer of a run and what it took.

    A budget, a turn cap or an exhausted hook is not an error: `interrupted` is set and `interruption_reason` says
    which.
    """

    session_id: str
    output: str
    parsed: Any | None = None
    turns: int
    tokens_in: int = 0
    cached_tokens_in: int = 0
    cache_write_tokens: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    started_at: datetime
    finished_at: datetime
    interrupted: bool = False
    interruption_reason: str | None = None
    cited_slugs: list[str] = Field(default_factory=list)

    @property
    def value(self) -> Any:
        """The typed answer where there is one, else the text."""
        return self.output if self.parsed is None else self.parsed

    @property
    def usage(self) -> Usage:
        return Usage(
            input_tokens=self.tokens_in,
            cached_input_tokens=self.cached_tokens_in,
            cache_write_tokens=self.cache_write_tokens,
            output_tokens=self.tokens_out,
            cost_usd=self.cost_usd,
        )

    @property
    def total_tokens(self) -> int:
        return self.tokens_in + self.cached_tokens_in + self.cache_write_tokens + self.tokens_out

    @property
    def duration(self) -> timedelta:
        return self.finished_at - self.started_at
