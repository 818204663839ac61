"""What memory holds and gives back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, field_validator

from loom.ids import new_id
from loom.messages import FROZEN, ToolCall, utcnow

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_GAP = re.compile(r"[\s\-_]+")


def as_utc(moment: datetime) -> datetime:
    """The moment with its time zone. One without is taken for UTC, so that all moments compare."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


Moment = Annotated[datetime, AfterValidator(as_utc)]


def canonical_predicate(predicate: str) -> str:
    """The one spelling of a predicate: `worksAt`, `Works At` and `works-at` are all `works_at`."""
    return _GAP.sub("_", _HUMP.sub("_", predicate)).strip("_").lower()


class MemoryBlock(BaseModel):
    """A named piece of text that a user's every prompt contains."""

    model_config = FROZEN

    name: str
    content: str
    updated_at: Moment = Field(default_factory=utcnow)
    pinned_order: int = 0

    def format(self) -> str:
        return f"<{self.name}>\n{self.content}\n</{self.name}>"


class Episode(BaseModel):
    """One exchange: what was asked, what was answered, which tools were called."""

    model_config = FROZEN

    id: str = Field(default_factory=lambda: new_id("ep"))
    session_id: str
    user_id: str | None = None
    occurred_at: Moment = Field(default_factory=utcnow)
    input: str
    output: str
    tool_calls: list[ToolCall] = Field(default_factory=list)
    embedding: list[float] | None = None

    def format(self) -> str:
        return f"user: {self.input}\nassistant: {self.output}"


class EpisodeMatch(BaseModel):
    """An episode and how well it fits a query. The parts that a backend does not compute stay None."""

    model_config = FROZEN

    episode: Episode
    score: float
    vector_score: float | None = None
    bm25_score: float | None = None
    rerank_score: float | None = None


class Fact(BaseModel):
    """Subject, predicate, object, on two clocks.

    `valid_from` to `valid_until` is when it held in the world; `recorded_at` to `superseded_at` is how long Loom
    believed this row. `sources` are the ids of the episodes it was read from.
    """

    model_config = FROZEN

    id: str = Field(default_factory=lambda: new_id("fact"))
    user_id: str | None = None
    subject: str
    predicate: str
    object: str
    confidence: float = 1.0
    valid_from: Moment = Field(default_factory=utcnow)
    valid_until: Moment | None = None
    recorded_at: Moment = Field(default_factory=utcnow)
    superseded_at: Moment | None = None
    sources: list[str] = Field(default_factory=list)

    @field_validator("predicate")
    @classmethod
    def _canonical(cls, predicate: str) -> str:
        return canonical_predicate(predicate)

    def holds_at(self, moment: datetime) -> bool:
        """Whether it is true in the world at that moment."""
        return self.valid_from <= moment and (self.valid_until is None or moment < self.valid_until)

    def text(self) -> str:
        """The statement alone: what is searched and embedded."""
        return f"{self.subject} {self.predicate} {self.object}"

    def format(self) -> str:
        sure = "" if self.confidence >= 1 else f" [confidence {self.confidence:.2f}]"
        ended = "" if self.valid_until is None else f" (until {self.valid_until.isoformat()})"
        return f"{self.text()}{sure}{ended}"


class MemoryProfile(BaseModel):
    """What is known about one user, in short. At most ten sessions and ten facts, the newest first."""

    model_config = FROZEN

    user_id: str | None
    episode_count: int = 0
    fact_count: int = 0
    last_seen: Moment | None = None
    recent_sessions: list[str] = Field(default_factory=list)
    sample_facts: list[Fact] = Field(default_factory=list)


class MemoryExport(BaseModel):
    """Everything that is kept about one user, oldest first."""

    model_config = FROZEN

    user_id: str | None
    episodes: list[Episode] = Field(default_factory=list)
    facts: list[Fact] = Field(default_factory=list)
    blocks: list[MemoryBlock] = Field(default_factory=list)
    exported_at: Moment = Field(default_factory=utcnow)
