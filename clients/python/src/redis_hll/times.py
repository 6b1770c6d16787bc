"""Times, durations and ranges, as the commands want them and as answers give them.

A time is an instant: an aware `datetime`, a text in ISO 8601 with its offset, or a whole number of Unix milliseconds. A
time without a zone is refused, since nobody can tell which instant it is. A duration of days, weeks or months is one of
the calendar where it is written as the server writes it (`"1d"`, `"1mo"`); a `timedelta` is a number of milliseconds, so
`timedelta(days=1)` is 24 hours even when the clocks change.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Time = datetime | str | int
Duration = str | timedelta
PeriodName = Literal["today", "yesterday", "week", "lastweek", "month", "lastmonth", "quarter", "year"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def millis(time: Time) -> int:
    """Unix milliseconds of a time. Raises ValueError where it names no zone or is no ISO 8601."""
    if isinstance(time, bool):
        raise ValueError("a time is a datetime, a text or a number of Unix milliseconds, not a bool")
    if isinstance(time, int):
        return time
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time)
        except ValueError:
            raise ValueError(f"{time!r} is no time, write it like 2026-03-02T09:14:07+00:00") from None
    if time.tzinfo is None:
        raise ValueError(f"{time.isoformat()} names no zone, so it is no instant: give it a tzinfo, or an offset such as +00:00")
    return (time - EPOCH) // MILLISECOND


def duration(value: Duration) -> str:
    """A duration in the server's words: `1d` as it is, a timedelta in milliseconds."""
    if isinstance(value, timedelta):
        return f"{value // MILLISECOND}ms"
    return value


@lru_cache(maxsize=64)
def zone(name: str) -> tzinfo:
    """A zone by its IANA name; UTC where this machine has no such zone, so that the instant stays right."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def instant(milliseconds: int, where: tzinfo = UTC) -> datetime:
    """The aware datetime of Unix milliseconds."""
    return (EPOCH + milliseconds * MILLISECOND).astimezone(where)
