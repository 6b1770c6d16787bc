"""Readers of event files: an access log, a CSV file, or JSON Lines, each plain or gzip-compressed.

Real files have bad lines. A line that cannot be understood is counted, with a few examples kept for the report, and
does not stop the reading. What is wrong with the whole file (it is missing, the named column is not there, the format
cannot be told) is an InputError with a text for the user.

Text is decoded as UTF-8 with surrogateescape and encoded back the same way, so that two users whose names are
different bytes stay different, whatever their encoding.

A file is read twice where it has steps or devices: first to count how often each of their values occurs, then to load.
Each value that is kept has a sketch and an exact set of its own, so only the most frequent ones are, and those that
were asked for by name; the rest is counted together. Neither reading holds the file in memory (see Frequent). What
cannot be read twice, a pipe, is copied to a temporary file before.
"""

import csv
import gzip
import json
import math
import os
import re
import shutil
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from .events import Event

EXAMPLES = 3  # bad lines that are shown
OTHER = "(other)"
MOST_AHEAD = 364 * 86_400_000  # milliseconds that a time may be ahead of the clock here
MOST_AMOUNT = 1e15  # that a cube takes
MOST_VALUES = 100  # of the steps, and of the devices, that get a sketch of their own


class InputError(Exception):
    """The file as a whole cannot be used; the text says why and what would be right."""


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


@dataclass
class Tally:
    """What was met while reading."""

    lines: int = 0
    events: int = 0
    bad: int = 0
    no_user: int = 0
    folded: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    truncated: str | None = None

    def reject(self, number: int, reason: str, count: int = 1) -> None:
        self.bad += count
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"line {number:,}: {reason}")


# What a column is usually called, best first. Compared in lower case without separators.
USUAL = {
    "time": ("time", "timestamp", "ts", "datetime", "eventtime", "date", "createdat", "invoicedate", "day"),
    "user": ("user", "userid", "visitor", "visitorid", "customer", "customerid", "client", "clientid", "uid", "session",
             "sessionid", "ip", "host"),
    "step": ("step", "event", "eventtype", "eventname", "action", "type"),
    "device": ("device", "devicetype", "platform"),
    "channel": ("channel", "source", "utmsource", "campaign"),
}
USUAL_DIMENSIONS = ("page", "path", "url", "product", "productid", "country")  # the first of them, where none is named


class Frequent:
    """How often values occur, in bounded memory.

    Exact while there are fewer than `capacity` different ones. When there are as many, the counts of all are lowered by
    the middle one of them, and those that fall to nothing are forgotten (Misra and Gries, in batches). So a count is
    never too high, and too low by at most 2 / `capacity` of everything that was counted: what is frequent stays.
    """

    def __init__(self, capacity: int = 200_000) -> None:
        self.capacity = capacity  # 200,000 values of some 20 characters are about 25 MB
        self.counts: Counter[str] = Counter()

    def add(self, value: str) -> None:
        self.counts[value] += 1
        if len(self.counts) >= self.capacity:
            middle = sorted(self.counts.values())[len(self.counts) // 2]
            self.counts = Counter({value: count - middle for value, count in self.counts.items() if count > middle})

    def most(self, number: int) -> list[str]:
        """The most frequent first; of equally frequent ones those that were met first."""
        return [value for value, _ in self.counts.most_common(number)]


def is_pipe(path: Path) -> bool:
    """Whether it can be read only once: standard input (-), a named pipe, a process substitution."""
    return str(path) == "-" or (path.exists() and not path.is_file() and not path.is_dir())


def _spool(path: Path) -> IO[bytes]:
    """A copy of a pipe, in a file that has no name and is gone with this process."""
    copy: IO[bytes] = tempfile.TemporaryFile(prefix="redis-hll-")
    if str(path) == "-":
        shutil.copyfileobj(sys.stdin.buffer, copy)
    else:
        with path.open("rb") as pipe:
            shutil.copyfileobj(pipe, copy)
    copy.flush()
    return copy


class Source:
    """A file of events. Iterate over it once; `tally` then says what was met, `position` how far the reading is.

    `steps` are values of the step column that are kept however rare they are; of the others, and of devices, the
    `max_values` most frequent.
    """

    def __init__(self, path: Path, format: str = "auto", columns: Columns | None = None, per: str = "day",
                 delimiter: str | None = None, max_values: int = MOST_VALUES, steps: Iterable[str] = ()) -> None:
        self.path, self.per, self.delimiter = path, per, delimiter
        self.name = "standard input" if str(path) == "-" else str(path)  # for the user
        self.columns = columns or Columns()
        self.tally = Tally()
        self._named: dict[str, list[str]] = {"step": list(dict.fromkeys(steps)), "device": []}
        self._max_values = max_values
        self._kept: dict[str, set[str]] | None = None  # known after the first reading
        self._spooled = _spool(path) if is_pipe(path) else None
        if self._spooled is None and not path.is_file():
            raise InputError(f"there is no file {path}")
        self.size = os.fstat(self._spooled.fileno()).st_size if self._spooled else path.stat().st_size
        self._raw: IO[bytes] | None = None
        first = self._head()
        self.format = _guess_format(first) if format == "auto" else format
        self._prepare(first)

    # Opening

    def _bytes(self) -> IO[bytes]:
        if self._spooled is None:
            return self.path.open("rb")
        again = os.fdopen(os.dup(self._spooled.fileno()), "rb")
        again.seek(0)
        return again

    def _open(self) -> Iterator[str]:
        """The lines of the file as text. A compressed file that breaks off ends here, and the tally says so."""
        self._raw = self._bytes()
        compressed = self._raw.read(2) == b"\x1f\x8b"
        self._raw.seek(0)
        with self._raw:
            stream: Any = gzip.GzipFile(fileobj=self._raw) if compressed else self._raw
            try:
                for number, line in enumerate(stream):
                    if number == 0:
                        line = line.removeprefix(b"\xef\xbb\xbf")  # a byte order mark
                    yield line.decode("utf-8", "surrogateescape")
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                self.tally.truncated = f"the compressed data is damaged or breaks off: {error}"

    def _head(self, count: int = 200) -> list[str]:
        lines = []
        for line in self._open():
            lines.append(line)
            if len(lines) == count:
                break
        if not any(line.strip() for line in lines):
            raise InputError(f"{self.name} is empty" if not self.tally.truncated else
                             f"{self.name}: {self.tally.truncated}")
        self.tally = Tally()
        return lines

    @property
    def position(self) -> int:
        """Bytes of the file that have been read."""
        return self.size if self._raw is None or self._raw.closed else self._raw.tell()

    # Finding the columns

    def _prepare(self, head: list[str]) -> None:
        columns = self.columns
        if self.format == "combined":
            known = list(COMBINED_COLUMNS)
            columns.time, columns.user = columns.time or "time", columns.user or "host"
            columns.step, columns.device = columns.step or "section", columns.device or "device"
            columns.dimensions = columns.dimensions or ["path"]
        elif self.format == "csv":
            self.delimiter = self.delimiter or _guess_delimiter(head[0])
            known = next(csv.reader(head[:1], delimiter=self.delimiter), [])
            self._header = known
        else:
            known = _json_columns(head)
            if not known:
                raise InputError(f"{self.name} has no JSON object in its first {len(head)} lines")
        single = {what: getattr(columns, what) for what in (*USUAL, "day")}
        several = [("dimension", name) for name in columns.dimensions] + [("measure", name) for name in columns.measures]
        for what, named in [*single.items(), *several]:
            if named is not None and named not in known:
                raise InputError(f"{self.name} has no column '{named}' (--{what}); it has: {', '.join(known)}")
        taken = {*single.values(), *columns.dimensions, *columns.measures}
        for what, names in USUAL.items():
            if getattr(columns, what) is None and not (what == "time" and columns.day):
                found = _usual(names, [name for name in known if name not in taken])
                setattr(columns, what, found)
                taken.add(found)
        if not columns.dimensions:
            found = _usual(USUAL_DIMENSIONS, [name for name in known if name not in taken])
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
            self.tally = Tally()
        self._kept = {}
        for what, counted in found.items():
            named = self._named[what]
            others = [value for value in counted.most(self._max_values + len(named)) if value not in named]
            self._kept[what] = {*named, *others[:self._max_values]}

    def _kept_as(self, what: str, value: str | None) -> str | None:
        if value is None or self._kept is None or value in self._kept[what]:
            return value
        self.tally.folded[what] += 1
        return OTHER

    def _events(self) -> Iterator[Event]:
        """Every event of the file with its step and device as they are written."""
        records = {"combined": self._combined, "csv": self._csv, "jsonl": self._jsonl}[self.format]
        columns, tally = self.columns, self.tally
        others = [*([columns.channel] if columns.channel else []), *columns.dimensions]
        for number, record in records():
            try:
                user = _text(record.get(columns.user or ""))
                if not user:
                    tally.no_user += 1
                    continue
                period, moment = self._period(record)
                step = _text(record.get(columns.step)) or None if columns.step else None
                device = _text(record.get(columns.device)) or None if columns.device else None
                values = tuple(_text(record.get(name)) or None for name in others)
                sums = tuple(_amount(_text(record.get(name)), name) for name in columns.measures)
            except ValueError as error:
                tally.reject(number, str(error))
                continue
            tally.events += 1
            yield Event(period, user.encode("utf-8", "surrogateescape"), step, device, moment, values, sums)

    def _period(self, record: dict[str, Any]) -> tuple[str, int | None]:
        if self.columns.day:
            day = _text(record.get(self.columns.day))
            if not day:
                raise ValueError(f"no {self.columns.day}")
            return day, None
        return _period_of(_text(record.get(self.columns.time)), self.columns.time_format, self.per)

    def _combined(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, line in enumerate(self._open(), 1):
            self.tally.lines += 1
            if not line.strip():
                continue
            match = COMBINED.match(line)
            if not match:
                self.tally.reject(number, "not a line of the combined log format")
                continue
            record = match.groupdict()
            method, path = _split_request(record["request"])
            record["method"], record["path"] = method, path
            record["section"] = _section(path)
            record["device"] = _device_of(record["agent"])
            yield number, record

    def _csv(self) -> Iterator[tuple[int, dict[str, Any]]]:
        # A quoted field may go over several lines, so the lines are counted by the csv reader.
        # strict: a quotation mark that is never closed is an error at the end of the file, not a very long user.
        reader = csv.reader((line.replace("\0", "") for line in self._open()), delimiter=self.delimiter or ",", strict=True)
        width, before = len(self._header), 0
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                count = reader.line_num - before
                before = reader.line_num
                self.tally.lines += count
                self.tally.reject(reader.line_num, f"{error} (a quotation mark that is not closed?)", count)
                continue
            first, before = before == 0, reader.line_num
            if first:
                continue  # the header
            self.tally.lines += 1
            if not row:
                continue
            if len(row) != width:
                self.tally.reject(reader.line_num, f"{len(row)} fields, the header has {width}")
                continue
            yield reader.line_num, dict(zip(self._header, row))

    def _jsonl(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, line in enumerate(self._open(), 1):
            self.tally.lines += 1
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                self.tally.reject(number, f"not JSON: {error}")
                continue
            if not isinstance(record, dict):
                self.tally.reject(number, "not a JSON object")
                continue
            yield number, _flat(record)


# Combined log format, as Apache and nginx write it; the older common format lacks referrer and agent. A quotation mark
# inside a quoted field is written \".
COMBINED = re.compile(
    r'(?P<host>\S+) (?P<ident>\S+) (?P<authuser>.+?) \[(?P<time>[^\]]+)\] "(?P<request>(?:[^"\\]|\\.)*)" '
    r'(?P<status>\d{3}|-) (?P<bytes>\d+|-)'
    r'(?: "(?P<referrer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)?"?)?')
COMBINED_COLUMNS = ("host", "ident", "authuser", "time", "request", "status", "bytes", "referrer", "agent",
                    "method", "path", "section", "device")


def _split_request(request: str) -> tuple[str, str]:
    parts = request.split(" ")
    return (parts[0], parts[1].split("?", 1)[0]) if len(parts) >= 2 else ("", "")


def _section(path: str) -> str:
    """The first part of a path, which on most sites says what kind of page it is."""
    return "/" + path.lstrip("/").split("/", 1)[0] if path else ""


@lru_cache(maxsize=20_000)
def _device_of(agent: str | None) -> str:
    """A rough guess from the user agent; good enough to have groups that overlap."""
    text = (agent or "").lower()
    if not text or text == "-":
        return "unknown"
    if any(word in text for word in ("bot", "crawl", "spider", "slurp", "feed", "curl", "wget", "python", "java/")):
        return "robot"
    if "ipad" in text or "tablet" in text or ("android" in text and "mobile" not in text):
        return "tablet"
    if any(word in text for word in ("mobile", "iphone", "ipod", "android", "opera mini")):
        return "mobile"
    return "desktop"


def _guess_format(head: list[str]) -> str:
    lines = [line for line in head if line.strip()]
    if sum(bool(COMBINED.match(line)) for line in lines) * 2 > len(lines):
        return "combined"
    if lines[0].lstrip().startswith("{"):
        return "jsonl"
    if any(character in lines[0] for character in ",;\t|"):
        return "csv"
    raise InputError("the file looks neither like an access log, nor like CSV with a header, nor like JSON Lines; "
                     "say what it is with --format")


def _guess_delimiter(header: str) -> str:
    return max(",;\t|", key=header.count)


def _json_columns(head: list[str]) -> list[str]:
    names: dict[str, None] = {}
    for line in head:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            names.update(dict.fromkeys(_flat(record)))
    return list(names)


def _flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested objects become columns with dotted names: {"user": {"id": 7}} has the column user.id."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[prefix + name] = value
    return flat


def _usual(names: tuple[str, ...], known: list[str]) -> str | None:
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(known)}
    return next((plain[name] for name in names if name in plain), None)


def _text(value: Any) -> str:
    """A field as text. JSON's null and CSV's empty field are both the empty text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (int, float)):
        return str(value).lower() if isinstance(value, bool) else str(value)
    raise ValueError(f"{value!r:.40} is not a single value")


def _amount(text: str, name: str) -> float | None:
    """A number to be summed; nothing is no number and no mistake."""
    if not text:
        return None
    value = float(text) if re.fullmatch(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?", text) else math.nan
    if not abs(value) <= MOST_AMOUNT:
        raise ValueError(f"{name} is no number: '{text[:40]}'")
    return value


@lru_cache(maxsize=100_000)
def _period_of(text: str, time_format: str | None, per: str) -> tuple[str, int]:
    """The day, hour, week or month of a time, on the clock on which it was written, and its Unix milliseconds (a time that
    names no zone is taken to be UTC)."""
    if not text:
        raise ValueError("no time")
    when = _parse_time(text, time_format)
    moment = round((when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp() * 1000)
    if not 0 <= moment <= time.time() * 1000 + MOST_AHEAD:
        raise ValueError(f"time {text[:40]} is before 1970 or far ahead")
    if per == "hour":
        return when.strftime("%Y-%m-%dT%H"), moment
    if per == "week":
        year, week, _ = when.isocalendar()
        return f"{year}-W{week:02d}", moment
    return when.strftime("%Y-%m" if per == "month" else "%Y-%m-%d"), moment


def _unix(value: float) -> datetime:
    try:
        return datetime.fromtimestamp(value, timezone.utc)
    except (OverflowError, OSError) as error:
        raise ValueError(f"time {value} is out of range") from error


def _number(text: str) -> datetime:
    """Unix time in seconds or milliseconds. Eight digits are left for the date that they are (20260302)."""
    if len(text) <= 8:
        raise ValueError("too short for Unix time")
    value = float(text)
    return _unix(value / 1000 if abs(value) > 1e11 else value)


# Tried in turn when no --time-format is given; numbers first, as some of them would pass for a date without dashes.
# 03/04/2026 is not among them: nobody can tell which is the month.
TIME_PARSERS: tuple[Callable[[str], datetime], ...] = (
    _number,
    lambda text: datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text),
    lambda text: datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z"),
)


def _parse_time(text: str, time_format: str | None) -> datetime:
    if time_format in ("s", "ms"):
        return _unix(float(text) / (1000 if time_format == "ms" else 1))
    if time_format:
        return datetime.strptime(text, time_format)
    for parse in TIME_PARSERS:
        try:
            return parse(text)
        except ValueError:
            pass
    raise ValueError(f"cannot read the time '{text[:40]}' (--time-format says how)")
