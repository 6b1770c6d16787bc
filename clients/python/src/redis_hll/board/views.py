"""Views: what a viewer looks at, as a range of time, a filter and whether it is compared; and the words of the address for it.

A view is a value: two viewers who chose the same look at the same view, and share its answers. There are only as many different ones
as addresses can say, all of which are checked here; nothing of an address is passed on as words of a command.
"""

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal

from ..commands.cube import Condition, Not
from ..times import EPOCH, MILLISECOND, zone

RangeName = Literal["today", "7d", "30d", "90d"]
MOST_DAYS = 1100
MOST_DIMENSIONS, MOST_VALUES, MOST_BYTES = 4, 20, 1024
UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000, "mo": 30 * 86_400_000,
         "q": 91 * 86_400_000, "y": 365 * 86_400_000}
"""Milliseconds of the server's units; those of the calendar are about so long."""


class ViewError(ValueError):
    """An address asks for something that there is not; the text says what would be right."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition: the dimension has one of these values, or with `none` some other value."""

    dimension: str
    values: tuple[str, ...]
    none: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """A range (`days` are the first and the last one where it is none of the named ones), the filters by dimension, and whether
    figures stand beside those of the time before."""

    range: RangeName | None = "30d"
    days: tuple[date, date] | None = None
    filters: tuple[Filter, ...] = ()
    compare: bool = True

    def __str__(self) -> str:
        """The view as addresses say it, the same text for the same view."""
        words = [f"range={self.range}" if self.range else f"from={self.days[0]} to={self.days[1]}" if self.days else ""]
        words += [f"where={item.dimension}{'!' if item.none else ''}:{value}" for item in self.filters for value in item.values]
        return " ".join([*filter(None, words), f"compare={'previous' if self.compare else 'off'}"])

    def without(self, dimension: str) -> "View":
        """Without the filter on a dimension."""
        return replace(self, filters=tuple(item for item in self.filters if item.dimension != dimension))

    @property
    def where(self) -> dict[str, Condition]:
        """The filters as methods of a cube take them."""
        return {item.dimension: Not(*item.values) if item.none else item.values[0] if len(item.values) == 1 else list(item.values)
                for item in self.filters}

    def stretch(self, zone_name: str) -> dict[str, Any]:
        """The range as methods of a cube take it."""
        if self.days is not None:
            return {"between": (midnight(self.days[0], zone_name), midnight(self.days[1] + timedelta(days=1), zone_name))}
        return {"period": "today"} if self.range == "today" else {"last": self.range}

    def span(self, zone_name: str, now: int) -> tuple[int, int]:
        """About from when to when the range is, in Unix milliseconds."""
        if self.days is not None:
            return midnight(self.days[0], zone_name), midnight(self.days[1] + timedelta(days=1), zone_name)
        if self.range == "today":
            return midnight(local(now, zone_name).date(), zone_name), now
        return now - milliseconds(self.range or "30d"), now


def local(time: int, zone_name: str) -> datetime:
    """Unix milliseconds in a zone."""
    return (EPOCH + time * MILLISECOND).astimezone(zone(zone_name))


def midnight(day: date, zone_name: str) -> int:
    """When a day begins."""
    return (datetime(day.year, day.month, day.day, tzinfo=zone(zone_name)) - EPOCH) // MILLISECOND


def milliseconds(duration: str) -> int:
    """About how long one of the server's durations is: `5m`, `48h`, `1mo`."""
    found = re.fullmatch(r"(\d+)([a-z]+)", duration)
    if not found or found[2] not in UNITS:
        raise ValueError(f"{duration!r} is no duration")
    return int(found[1]) * UNITS[found[2]]


def bucket_end(begin: datetime, unit: str) -> datetime:
    """Where a bucket ends that begins there."""
    found = re.fullmatch(r"(\d+)([a-z]+)", unit)
    if not found:
        raise ValueError(f"{unit!r} is no duration")
    number, kind = int(found[1]), found[2]
    if kind in ("d", "w"):
        # The clock of the wall: a day may have 23 or 25 hours.
        return (begin.replace(tzinfo=None) + timedelta(days=number * (7 if kind == "w" else 1))).replace(tzinfo=begin.tzinfo)
    if kind in ("mo", "q", "y"):
        months = begin.month - 1 + number * {"mo": 1, "q": 3, "y": 12}[kind]
        return begin.replace(year=begin.year + months // 12, month=months % 12 + 1)
    return (begin.astimezone(EPOCH.tzinfo) + milliseconds(unit) * MILLISECOND).astimezone(begin.tzinfo)


def parse_where(texts: list[str]) -> tuple[Filter, ...]:
    """The filters of `device:mobile`, `page!:/`, in the order of their dimensions. Raises ViewError."""
    found: dict[str, tuple[bool, list[str]]] = {}
    for text in texts:
        match = re.fullmatch(r"(\w{1,64})(!?):(.+)", text, re.S | re.A)
        if not match:
            raise ViewError(f"where={text[:80]!r} is no condition; write where=dimension:value, or where=dimension!:value for all others")
        dimension, none, value = match[1], match[2] == "!", match[3]
        if len(value.encode("utf-8", "replace")) > MOST_BYTES:
            raise ViewError(f"a value of {dimension} is longer than {MOST_BYTES} bytes")
        before = found.setdefault(dimension, (none, []))
        if before[0] != none:
            raise ViewError(f"{dimension} has conditions with : and with !:, give one kind of them")
        if value not in before[1]:
            before[1].append(value)
    if len(found) > MOST_DIMENSIONS:
        raise ViewError(f"at most {MOST_DIMENSIONS} dimensions can be filtered by, there are {len(found)}")
    if sum(len(values) for _, values in found.values()) > MOST_VALUES:
        raise ViewError(f"at most {MOST_VALUES} values can be filtered by")
    return tuple(Filter(dimension, tuple(sorted(values)), none) for dimension, (none, values) in sorted(found.items()))


def parse(range_name: RangeName | None, first: date | None, last: date | None, where: list[str], compare: bool) -> View:
    """The view of the parts of an address. Raises ViewError."""
    filters = parse_where(where)
    if first is None and last is None:
        return View(range_name or "30d", None, filters, compare)
    if range_name is not None:
        raise ViewError("give either range, or from and to")
    if first is None or last is None:
        raise ViewError("from and to belong together: give both, as days like 2026-03-02")
    if first > last:
        raise ViewError(f"from {first} is after to {last}, give the earlier day first")
    if (last - first).days >= MOST_DAYS:
        raise ViewError(f"from {first} to {last} is more than {MOST_DAYS} days")
    if first.year < 1970 or last.year > 9000:
        raise ViewError("from and to are days since 1970")
    return View(None, (first, last), filters, compare)


def cuts(slice_: str, unit: str) -> bool:
    """Whether buckets of this length are made of whole slices of that one."""
    if slice_ == unit:
        return True
    short, long = milliseconds(slice_), milliseconds(unit)
    if short >= UNITS["d"]:
        # Days make up weeks and months; weeks make up neither; months make up quarters and years.
        return slice_ == "1d" and unit.lstrip("0123456789") in ("d", "w", "mo", "q", "y") or slice_ == "1mo" and unit in ("1q", "1y")
    return UNITS["d"] % short == 0 if long >= UNITS["d"] else long % short == 0


def bucket_of(view: View, tiers: list[tuple[str, str]], zone_name: str, now: int) -> str:
    """The length of the buckets of a chart: an hour up to two days, a day up to four months, then weeks and months, as far as the tiers
    (slice, retention) can cut them and keep them that long."""
    begin, end = view.span(zone_name, now)
    days = (end - begin) / UNITS["d"]
    wanted = ["1h", "1d", "1w", "1mo"] if days <= 2 else ["1d", "1w", "1mo"] if days <= 125 else ["1w", "1mo"] if days <= 750 else ["1mo"]
    for unit in wanted:
        if any(cuts(slice_, unit) and now - begin <= milliseconds(kept) + milliseconds(unit) for slice_, kept in tiers):
            return unit
    # Nothing of it is kept whole; what there is comes in the longest slices.
    return max((slice_ for slice_, _ in tiers), key=milliseconds)
