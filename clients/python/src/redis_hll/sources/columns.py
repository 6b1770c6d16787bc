"""Columns of a table as events: which column is the user, the time, a dimension or a measure, and how what stands there is read.

Times are read as they are commonly written, numbers as a cube takes them, and everything else is text. A record that cannot be
understood is a bad line of the table (files.py).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache
from itertools import islice, repeat
from typing import Any

from ..times import EPOCH, MILLISECOND, millis
from .files import MaxBad, Table, Tally, TooManyBad

MOST_AMOUNT = 1e15  # that a cube takes

# What a column is usually called, best first. Compared in lower case without separators.
USUAL: Mapping[str, tuple[str, ...]] = {
    "time": ("time", "timestamp", "ts", "datetime", "eventtime", "date", "createdat", "invoicedate", "day"),
    "user": ("user", "userid", "visitor", "visitorid", "customer", "customerid", "client", "clientid", "uid", "session", "sessionid",
             "ip", "host"),
    "step": ("step", "event", "eventtype", "eventname", "action", "type"),
    "device": ("device", "devicetype", "platform"),
    "channel": ("channel", "source", "utmsource", "campaign"),
    "page": ("page", "path", "url", "product", "productid", "country"),
}


def usual(what: str, known: Sequence[str]) -> str | None:
    """The column that is usually called so, if there is one."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(known)}
    return next((plain[name] for name in USUAL[what] if name in plain), None)


@dataclass(frozen=True)
class Columns:
    """Which column holds what. `dimensions` and `measures` are pairs of a name in the cube and a column; `time` may be missing, and
    then events have none. A time that names no zone is one of `zone`; `time_format` is of strptime, or `s` or `ms` for Unix time."""

    user: str
    time: str | None
    dimensions: tuple[tuple[str, str], ...] = ()
    measures: tuple[tuple[str, str], ...] = ()
    time_format: str | None = None
    zone: tzinfo = UTC

    @property
    def names(self) -> list[str]:
        """The columns that are read: the user, the time, the dimensions, the measures."""
        return [self.user, self.time or self.user, *(column for _, column in (*self.dimensions, *self.measures))]

    @property
    def fields(self) -> tuple[str, ...]:
        """The names in the cube."""
        return tuple(name for name, _ in (*self.dimensions, *self.measures))

    def row(self, record: Sequence[Any]) -> tuple[Any, ...] | None:
        """Values in the order of `names` as an element, Unix milliseconds or None, and a value for each of `fields`, as the bytes that
        are sent; None if there is no user. Raises ValueError with what is wrong."""
        user = record[0]
        user = user.strip() if type(user) is str else text_of(user)
        if not user:
            return None
        at = read_time(record[1], self.time_format, self.zone) if self.time else None
        if not self.measures:
            return (user.encode("utf-8", "surrogateescape"), at, *[_sent(value) for value in record[2:]])
        end = 2 + len(self.dimensions)
        return (user.encode("utf-8", "surrogateescape"), at, *[_sent(value) for value in record[2:end]],
                *[amount(value, column) for value, (_, column) in zip(record[end:], self.measures, strict=True)])

    def rows(self, records: list[Sequence[Any]]) -> list[tuple[Any, ...]] | None:
        """The same of many records, by columns, which takes half the time; None where they are not all plain text or not all good, and
        are to be taken one by one."""
        users, times, *values = zip(*records, strict=True)
        end = len(self.dimensions)
        try:
            elements = _elements(users)
            moments = _moments(times, self.time_format, self.zone) if self.time else [None] * len(records)
            encoded = [list(map(_encoded, column)) for column in values[:end]]
            amounts = [list(map(_number_of, column, repeat(name))) for column, (_, name) in zip(values[end:], self.measures, strict=True)]
        except (AttributeError, TypeError, ValueError):
            return None
        return list(zip(elements, moments, *encoded, *amounts, strict=True)) if all(elements) else None

    def __str__(self) -> str:
        parts = [f"time = {self.time}"] if self.time else []
        parts.append(f"user = {self.user}")
        said = [f"columns {', '.join(parts)}"]
        for what, pairs in (("dimensions", self.dimensions), ("measures", self.measures)):
            if pairs:
                said.append(f"{what} {', '.join(name if name == column else f'{name} = {column}' for name, column in pairs)}")
        return "; ".join(said)


BLOCK = 500  # records that are made rows together


def rows(table: Table, columns: Columns, max_bad: MaxBad) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The line of each event and its row. Raises TooManyBad."""
    records = table.records(columns.names)
    while block := list(islice(records, BLOCK)):
        made = columns.rows([record for _, record in block])
        found = list(zip([line for line, _ in block], made, strict=True)) if made is not None else list(_one_by_one(table.tally, columns, block))
        check(table, max_bad, final=False)
        table.tally.rows += len(found)
        yield from found
    check(table, max_bad, final=True)


def _one_by_one(tally: Tally, columns: Columns, block: list[tuple[int, Sequence[Any]]]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """The same of a block in which something is wrong, or unusual."""
    for line, record in block:
        try:
            row = columns.row(record)
        except ValueError as error:
            tally.reject(line, str(error))
            row = None
        else:
            if row is None:
                tally.no_user += 1
        if row is not None:
            yield line, row


def check(table: Table, max_bad: MaxBad, final: bool) -> None:
    """Raises TooManyBad where there are more bad lines than allowed."""
    tally = table.tally
    if tally.bad and not max_bad.allows(tally.bad, tally.lines, final):
        many = "" if tally.bad == 1 else f"; {tally.bad:,} of {tally.lines:,} lines are bad"
        raise TooManyBad(f"{table.name} {tally.examples[0]} (--max-bad {max_bad}){many}")


def text_of(value: Any) -> str:
    """A field as text. JSON's null and CSV's empty field are both the empty text."""
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, (int, float)):
        return str(value)
    raise ValueError(f"{value!r:.40} is not a single value")


def _elements(texts: Sequence[Any]) -> list[bytes]:
    try:
        return [text.strip().encode() for text in texts]
    except UnicodeEncodeError:
        return [text.strip().encode("utf-8", "surrogateescape") for text in texts]


@lru_cache(maxsize=100_000)
def _encoded(text: str) -> bytes:
    return text.strip().encode("utf-8", "surrogateescape")


def _sent(value: Any) -> bytes:
    """A value of a dimension as it is sent; there are few of them, so they are remembered."""
    return _encoded(value if type(value) is str else text_of(value))


NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def amount(value: Any, column: str) -> bytes:
    """A number to be summed, as it is written; nothing is no number and no mistake."""
    return _number_of(value if type(value) is str else text_of(value), column)


@lru_cache(maxsize=100_000)
def _number_of(text: str, column: str) -> bytes:
    text = text.strip()
    if text and not (NUMBER.fullmatch(text) and abs(float(text)) <= MOST_AMOUNT):
        raise ValueError(f"{column} is no number of at most 1e15: '{text[:40]}'")
    return text.encode()


def read_time(value: Any, time_format: str | None, zone: tzinfo) -> int:
    """Unix milliseconds of a time as a file has it. Raises ValueError."""
    if isinstance(value, datetime):
        return millis(value if value.tzinfo else value.replace(tzinfo=zone))
    return _read_text(text_of(value), time_format, zone)


@lru_cache(maxsize=100_000)
def _read_text(text: str, time_format: str | None, zone: tzinfo) -> int:
    text = text.strip()
    if not text:
        raise ValueError("no time")
    when = parse_time(text, time_format)
    moment = millis(when if when.tzinfo else when.replace(tzinfo=zone))
    if moment < 0:
        raise ValueError(f"time {text[:40]} is before 1970")
    return moment


def _moments(texts: Sequence[Any], time_format: str | None, zone: tzinfo) -> Sequence[int]:
    """The same of many texts. What nearly all files have, ISO 8601, is read without looking for anything else."""
    if time_format is None and {text[4:5] for text in texts} == {"-"}:
        times = map(datetime.fromisoformat, texts)
        found = [((time if time.tzinfo else time.replace(tzinfo=zone)) - EPOCH) // MILLISECOND for time in times]
        if min(found) >= 0:
            return found
    return [_read_text(text, time_format, zone) for text in texts]


def _unix(value: float) -> datetime:
    try:
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError, ValueError) as error:
        raise ValueError(f"time {value} is out of range") from error


def _number(text: str) -> datetime:
    """Unix time in seconds or milliseconds. Eight digits are left for the date that they are (20260302)."""
    if len(text) <= 8:
        raise ValueError("too short for Unix time")
    value = float(text)
    return _unix(value / 1000 if abs(value) > 1e11 else value)


# Tried in turn when no format is given; numbers first, as some of them would pass for a date without dashes.
# 03/04/2026 is not among them: nobody can tell which is the month.
TIME_PARSERS: tuple[Callable[[str], datetime], ...] = (
    _number,
    datetime.fromisoformat,
    lambda text: datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z"),
)


def parse_time(text: str, time_format: str | None = None) -> datetime:
    """A time as it is written, without a zone where it names none. Raises ValueError."""
    if time_format in ("s", "ms"):
        return _unix(float(text) / (1000 if time_format == "ms" else 1))
    if time_format:
        return datetime.strptime(text, time_format)
    for parse in TIME_PARSERS if text[4:5] != "-" else TIME_PARSERS[1:]:  # the usual form is tried first
        try:
            return parse(text)
        except ValueError:
            pass
    raise ValueError(f"cannot read the time '{text[:40]}' (--time-format says how)")
