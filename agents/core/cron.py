"""When a schedule fires: a cron line, read in a time zone as Debian's cron reads it.

On the day when clocks go forward, what would fire in the hour that is left out fires right after it; on the day when
they go back, what would fire in the hour that comes twice fires in its first one. Lines that fire every hour or more
often go by the hours that really pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from itertools import islice, takewhile
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from loom.errors import Invalid

MOST_BACKFILLED = 100
# What is later than this was missed: nobody looked in between.
PUNCTUAL = timedelta(minutes=1)


class Missed(StrEnum):
    """What becomes of fire times at which nothing could fire, because nothing ran."""

    SKIP = "skip"  # they are over
    ONCE = "once"  # the last of them is made up for
    ALL = "all"  # each of them is made up for, the last hundred at most


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron line of five fields in an IANA time zone. Times go in aware and come out in UTC.

    Raises Invalid for a line that is none or never fires, and for an unknown zone.
    """

    line: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        if self.zone not in _zones():
            raise Invalid(
                f"unknown time zone {self.zone!r}; take a name like 'Europe/Berlin' or 'UTC'", pointer="/time_zone"
            )
        if len(self.line.split()) != 5:
            raise Invalid(
                f"the cron line {self.line!r} is not of five fields: minute, hour, day, month, weekday", pointer="/cron"
            )
        try:
            next(self._after(datetime.now(UTC)))
        except CronSimError as error:
            raise Invalid(
                f"the cron line {self.line!r} makes no sense: {str(error).lower()}", pointer="/cron"
            ) from error
        except StopIteration as error:
            raise Invalid(f"the cron line {self.line!r} never fires", pointer="/cron") from error

    def after(self, moment: datetime, count: int = 1) -> list[datetime]:
        """The next times, soonest first: so many, or fewer where there are no more in fifty years."""
        return list(islice(self._after(moment), count))

    def due(self, since: datetime, now: datetime, missed: Missed) -> list[datetime]:
        """At which times from `since` to `now` something is to fire now, oldest first."""
        most = MOST_BACKFILLED if missed is Missed.ALL else 1
        times = deque(takewhile(lambda time: time <= now, self._after(self._shortly_before(since, now, most))), most)
        earliest = now - PUNCTUAL if missed is Missed.SKIP else since
        return [time for time in times if time >= max(since, earliest)]

    def _shortly_before(self, since: datetime, now: datetime, most: int) -> datetime:
        """From where to count forward, so that a year of minutes is not counted.

        Counting backward alone is not enough: on days when clocks change it differs from counting forward.
        """
        before = CronSim(self.line, now.astimezone(ZoneInfo(self.zone)), reverse=True)
        oldest = deque(islice(before, most), 1)
        start = since - timedelta(microseconds=1)
        return max(start, oldest[0].astimezone(UTC) - timedelta(days=2)) if oldest else start

    def _after(self, moment: datetime) -> Iterator[datetime]:
        return (time.astimezone(UTC) for time in CronSim(self.line, moment.astimezone(ZoneInfo(self.zone))))


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime", "Factory"}  # which depend on the machine, or mean nothing
