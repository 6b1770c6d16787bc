"""A file's events as the demonstration shows them: the readers are those of the Python client (redis_hll.sources), and here is said
which columns are the steps, the devices and the channel, and for which day or month an event counts.

A file is read twice where it has steps or devices: first to count how often each of their values occurs, then to load. Each value
that is kept has a sketch and an exact set of its own, so only the most frequent ones are, and those that were asked for by name;
the rest is counted together. Neither reading holds the file in memory. What cannot be read twice, a pipe, is copied to a temporary
file before.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

from redis_hll.sources.columns import amount, parse_time, text_of, usual
from redis_hll.sources.files import InputError, Table, Tally
from redis_hll.sources.ranking import Frequent
from redis_hll.times import millis

from .events import Event

OTHER = "(other)"
MOST_AHEAD = 364 * 86_400_000  # milliseconds that a time may be ahead of the clock here
MOST_VALUES = 100  # of the steps, and of the devices, that get a sketch of their own


@dataclass
class Columns:
    """Which column holds what; None: find it by its usual names, or do without."""

    time: str | None = None
    user: str | None = None
    step: str | None = None
    device: str | None = None
    day: str | None = None
    time_format: str | None = None  # of strptime, or "s" or "ms" for Unix time
    channel: str | None = None
    dimensions: list[str] = field(default_factory=list)  # more of them
    measures: list[str] = field(default_factory=list)  # numbers that are summed


class Source:
    """A file of events. Iterate over it once; `tally` then says what was met, `position` how far the reading is.

    `steps` are values of the step column that are kept however rare they are; of the others, and of devices, the
    `max_values` most frequent. `folded` are the events whose step or device is not kept.
    """

    def __init__(self, path: Path, format: Any = "auto", columns: Columns | None = None, per: str = "day",
                 delimiter: str | None = None, max_values: int = MOST_VALUES, steps: Iterable[str] = ()) -> None:
        self.table = Table(path, format, delimiter)
        self.columns, self.per = columns or Columns(), per
        self.folded: Counter[str] = Counter()
        self._named: dict[str, list[str]] = {"step": list(dict.fromkeys(steps)), "device": []}
        self._max_values = max_values
        self._kept: dict[str, set[str]] | None = None  # known after the first reading
        self._prepare()

    @property
    def name(self) -> str:
        """The file's, for the user."""
        return self.table.name

    @property
    def format(self) -> str:
        return self.table.format

    @property
    def tally(self) -> Tally:
        return self.table.tally

    @property
    def size(self) -> int:
        return self.table.size

    @property
    def position(self) -> int:
        """Bytes of the file that have been read."""
        return self.table.position

    # Finding the columns

    def _prepare(self) -> None:
        columns, known = self.columns, self.table.columns
        if self.format == "combined":
            columns.time, columns.user = columns.time or "time", columns.user or "host"
            columns.step, columns.device = columns.step or "section", columns.device or "device"
            columns.dimensions = columns.dimensions or ["path"]
        wanted = ("time", "user", "step", "device", "channel")
        single = {what: getattr(columns, what) for what in (*wanted, "day")}
        several = [("dimension", name) for name in columns.dimensions] + [("measure", name) for name in columns.measures]
        for what, named in [*single.items(), *several]:
            if named is not None and named not in known:
                raise InputError(f"{self.name} has no column '{named}' (--{what}); it has: {', '.join(known)}")
        taken = {*single.values(), *columns.dimensions, *columns.measures}
        for what in wanted:
            if getattr(columns, what) is None and not (what == "time" and columns.day):
                found = usual(what, [name for name in known if name not in taken])
                setattr(columns, what, found)
                taken.add(found)
        if not columns.dimensions:
            found = usual("page", [name for name in known if name not in taken])
            columns.dimensions = [found] if found else []
        for what in ("time", "user"):
            if getattr(columns, what) is None and not (what == "time" and columns.day):
                raise InputError(f"{self.name}: which column is the {what}? Say it with --{what}; there are: "
                                 f"{', '.join(known)}")

    def describe(self) -> str:
        used = [f"{what} = {getattr(self.columns, what)}" for what in ("time", "day", "user", "step", "device", "channel")
                if getattr(self.columns, what)]
        used += [f"dimension = {name}" for name in self.columns.dimensions] + [f"measure = {name}" for name in self.columns.measures]
        return f"{self.format}, columns {', '.join(used)}"

    @property
    def other_dimensions(self) -> tuple[str, ...]:
        """What Event.others are values of."""
        return (*(("channel",) if self.columns.channel else ()), *self.columns.dimensions)

    @property
    def measures(self) -> tuple[str, ...]:
        """What Event.sums are values of."""
        return tuple(self.columns.measures)

    # Reading

    def __iter__(self) -> Iterator[Event]:
        if self._kept is None:
            self.rank()
        for event in self._events():
            yield event._replace(step=self._kept_as("step", event.step), device=self._kept_as("device", event.device))

    @property
    def has_values(self) -> bool:
        """Whether there is a column of steps or of devices, so that the values to keep have to be found first."""
        return bool(self.columns.step or self.columns.device)

    def rank(self, progress: Callable[[int, int], None] = lambda position, events: None) -> None:
        """The first reading: which steps and devices are kept. `progress` is told the position and the events so far."""
        found = {"step": Frequent(), "device": Frequent()}
        if self.has_values:
            for number, event in enumerate(self._events(), 1):
                if event.step is not None:
                    found["step"].add(event.step)
                if event.device is not None:
                    found["device"].add(event.device)
                if number % 5000 == 0:
                    progress(self.position, number)
        self._kept = {what: counted.kept(self._max_values, self._named[what]) for what, counted in found.items()}

    def _kept_as(self, what: str, value: str | None) -> str | None:
        if value is None or self._kept is None or value in self._kept[what]:
            return value
        self.folded[what] += 1
        return OTHER

    def _events(self) -> Iterator[Event]:
        """Every event of the file with its step and device as they are written."""
        columns = self.columns
        named = [columns.step, columns.device, *([columns.channel] if columns.channel else []), *columns.dimensions]
        user_column, time_column = columns.user or "", columns.day or columns.time or ""
        records = self.table.records([user_column, time_column, *(name or user_column for name in named), *columns.measures])
        tally, end = self.table.tally, 2 + len(named)
        for number, record in records:
            try:
                user = text_of(record[0])
                if not user:
                    tally.no_user += 1
                    continue
                period, moment = self._period(text_of(record[1]))
                step, device, *others = [text_of(value) or None if name else None for name, value in zip(named, record[2:end])]
                sums = tuple(_number(value, name) for name, value in zip(columns.measures, record[end:]))
            except ValueError as error:
                tally.reject(number, str(error))
                continue
            tally.rows += 1
            yield Event(period, user.encode("utf-8", "surrogateescape"), step, device, moment, tuple(others), sums)

    def _period(self, text: str) -> tuple[str, int | None]:
        if self.columns.day:
            if not text:
                raise ValueError(f"no {self.columns.day}")
            return text, None
        return _period_of(text, self.columns.time_format, self.per)


def _number(value: Any, name: str) -> float | None:
    sent = amount(value, name)
    return float(sent) if sent else None


@lru_cache(maxsize=100_000)
def _period_of(text: str, time_format: str | None, per: str) -> tuple[str, int]:
    """The day, hour, week or month of a time, on the clock on which it was written, and its Unix milliseconds (a time that
    names no zone is taken to be UTC)."""
    if not text:
        raise ValueError("no time")
    when = parse_time(text, time_format)
    moment = millis(when if when.tzinfo else when.replace(tzinfo=timezone.utc))
    if not 0 <= moment <= time.time() * 1000 + MOST_AHEAD:
        raise ValueError(f"time {text[:40]} is before 1970 or far ahead")
    if per == "hour":
        return when.strftime("%Y-%m-%dT%H"), moment
    if per == "week":
        year, week, _ = when.isocalendar()
        return f"{year}-W{week:02d}", moment
    return when.strftime("%Y-%m" if per == "month" else "%Y-%m-%d"), moment
