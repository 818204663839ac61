"""When schedules fire, also on the days when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core.cron import MOST_BACKFILLED, Cron, Missed
from loom.errors import Invalid

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def local(times: list[datetime], zone: str = BERLIN) -> list[str]:
    return [time.astimezone(ZoneInfo(zone)).isoformat() for time in times]


def test_a_night_job_fires_once_right_after_the_hour_that_is_left_out() -> None:
    times = Cron("30 2 * * *", BERLIN).after(at("2026-03-28T12:00"), 3)

    assert local(times) == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00", "2026-03-31T02:30:00+02:00"]


def test_a_night_job_fires_once_in_the_first_of_the_two_equal_hours() -> None:
    cron = Cron("30 2 * * *", BERLIN)

    first = cron.after(at("2026-10-24T12:00"))
    second = cron.after(first[0])

    assert local(first) == ["2026-10-25T02:30:00+02:00"]
    assert local(second) == ["2026-10-26T02:30:00+01:00"]


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_what_fires_every_half_hour_goes_by_the_hours_that_pass(day: str) -> None:
    times = Cron("*/30 * * * *", BERLIN).after(at(day), 20)

    assert {later - earlier for earlier, later in pairwise(times)} == {timedelta(minutes=30)}


def test_the_zone_decides_when_it_is_nine_o_clock() -> None:
    assert Cron("0 9 * * *", "Asia/Kolkata").after(at("2026-01-01")) == [at("2026-01-01T03:30")]


LINES = st.sampled_from(
    [
        "30 2 * * *",
        "*/30 * * * *",
        "0 */3 * * *",
        "5 1-3 * * *",
        "15 2 * * 0",
        "0 0 * * *",
        "0 1,2,3 * * 0",
        "0 9 1 * *",
    ]
)
ZONES = st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kolkata", "UTC"])
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))


@given(LINES, ZONES, MOMENTS)
def test_going_from_time_to_time_is_the_same_as_looking_ahead(line: str, zone: str, moment: datetime) -> None:
    cron = Cron(line, zone)
    step, steps = moment, []

    for _ in range(12):
        [step] = cron.after(step)
        steps.append(step)

    assert steps == cron.after(moment, 12)


@settings(deadline=None)
@given(LINES, ZONES, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=14)))
def test_what_is_due_is_what_was_to_come(line: str, zone: str, moment: datetime, down: timedelta) -> None:
    cron, now = Cron(line, zone), moment + down
    [since] = cron.after(moment)
    expected = [time for time in cron.after(moment, 700) if time <= now]

    assert cron.due(since, now, Missed.ALL) == expected[-MOST_BACKFILLED:]
    assert cron.due(since, now, Missed.ONCE) == expected[-1:]
    assert cron.due(since, now, Missed.SKIP) == [t for t in expected[-1:] if now - t <= timedelta(minutes=1)]


@pytest.mark.parametrize(
    ("missed", "fired"),
    [(Missed.SKIP, []), (Missed.ONCE, ["12:00"]), (Missed.ALL, ["10:00", "11:00", "12:00"])],
)
def test_after_a_downtime_the_policy_says_what_is_made_up_for(missed: Missed, fired: list[str]) -> None:
    due = Cron("0 * * * *").due(at("2026-05-01T10:00"), at("2026-05-01T12:30"), missed)

    assert [time.strftime("%H:%M") for time in due] == fired


@pytest.mark.parametrize("missed", Missed)
def test_a_time_at_which_somebody_looked_in_time_was_not_missed(missed: Missed) -> None:
    since = at("2026-05-01T10:00")

    assert Cron("0 * * * *").due(since, since + timedelta(seconds=4), missed) == [since]


def test_a_year_of_missed_minutes_is_made_up_for_as_far_as_the_cap() -> None:
    now = at("2026-05-01T10:00:30")

    due = Cron("* * * * *").due(now - timedelta(days=365), now, Missed.ALL)

    assert (len(due), due[-1], due[0]) == (100, at("2026-05-01T10:00"), at("2026-05-01T08:21"))


@pytest.mark.parametrize(
    ("line", "zone", "pointer", "names"),
    [
        ("0 0 31 2 *", "UTC", "/cron", "never fires|makes no sense"),
        ("0 0 30 2 *", "UTC", "/cron", "never fires|makes no sense"),
        ("* * */20 * 1L", "UTC", "/cron", "never fires"),
        ("", "UTC", "/cron", "five fields"),
        ("@daily", "UTC", "/cron", "five fields"),
        ("* * * * * *", "UTC", "/cron", "five fields"),
        ("60 * * * *", "UTC", "/cron", "bad minute"),
        ("* 24 * * *", "UTC", "/cron", "bad hour"),
        ("* * * 13 *", "UTC", "/cron", "bad month"),
        ("* * * * mon#9", "UTC", "/cron", "bad day-of-week"),
        ("*/0 * * * *", "UTC", "/cron", "bad minute"),
        ("٣ * * * *", "UTC", "/cron", "bad minute"),
        ("* * * * *", "Europe/Atlantis", "/time_zone", "Atlantis"),
        ("* * * * *", "", "/time_zone", "''"),
        ("* * * * *", "../../etc/passwd", "/time_zone", "passwd"),
        ("* * * * *", "localtime", "/time_zone", "localtime"),
        ("* * * * *", "Europe", "/time_zone", "Europe"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(line: str, zone: str, pointer: str, names: str) -> None:
    with pytest.raises(Invalid, match=names) as refused:
        Cron(line, zone)

    assert refused.value.facts["pointer"] == pointer


@given(st.text(max_size=40), st.text(max_size=20))
def test_no_text_does_anything_but_fit_or_be_refused(line: str, zone: str) -> None:
    for given_line, given_zone in ((line, "UTC"), ("* * * * *", zone)):
        try:
            made: Any = Cron(given_line, given_zone)
        except Invalid:
            continue
        assert made.after(at("2026-01-01"))
