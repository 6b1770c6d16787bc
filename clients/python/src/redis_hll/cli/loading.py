"""`redis-hll load` and `redis-hll consume`: events from a file or a stream into a cube, or into sketches."""

import argparse
import hashlib
import re
import signal
import socket
import string
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..commands import word
from ..errors import BatchError, HLLError, KeyMissing
from ..replies import text
from ..shells import HLL
from ..sources.columns import Columns, rows, usual
from ..sources.files import InputError, MaxBad, Table, TooManyBad
from ..sources.loading import CubeLoading
from ..sources.streams import Consumer
from ..times import instant
from .output import plain

if TYPE_CHECKING:
    from rich.progress import Progress

DRY_ROWS = 1_000
LINE_SECONDS = 5.0  # between two lines of progress where there is no terminal


def zone(name: str) -> tzinfo:
    """An argument that is a time zone."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise argparse.ArgumentTypeError(f"'{name}' is no time zone; they are called like Europe/Berlin") from None


def max_bad(text: str) -> MaxBad:
    """An argument that is a number of lines or a share of them."""
    try:
        return MaxBad.parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number of lines nor a share such as 1%") from None


def _pairs(items: list[str] | None) -> list[tuple[str, str]]:
    """`device,country=geo`: names in the cube and the columns they are of. Without a name it is the column's, as a plain word."""
    found = []
    for part in (part for item in items or [] for part in item.split(",")):
        name, given, column = part.partition("=")
        found.append((name, column) if given else (re.sub(r"\W", "_", name, flags=re.ASCII), name))
    return found


class Bar:
    """Progress: a bar on a terminal, a line every few seconds elsewhere. `total` is in bytes of the file."""

    def __init__(self, total: int) -> None:
        self._total, self._begin, self._last, self._first = max(total, 1), time.monotonic(), time.monotonic(), 0
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
            self._bar = Progress(TextColumn("loading"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rows]}"),
                                 TimeRemainingColumn(), TextColumn("left"), console=Console(stderr=True))
            self._task = self._bar.add_task("loading", total=self._total, rows="")
            self._bar.start()

    def at(self, position: int, done: int) -> None:
        """So far in the file, and so many rows."""
        now = time.monotonic()
        rate = done / max(now - self._begin, 1e-9)
        text = f"{done:,} rows, {rate:,.0f} a second"
        if self._bar is not None:
            self._bar.update(self._task, completed=min(position, self._total), rows=text)
        elif now - self._last >= LINE_SECONDS:
            self._last = now
            print(f"loading {min(position / self._total, 1):4.0%}  {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """The end of it."""
        if self._bar is not None:
            self._bar.stop()


class Interruption:
    """SIGINT as a question that is asked between flushes: an exception might come up where it is lost, such as the end of an object.
    A second one ends the program at once."""

    def __init__(self) -> None:
        self.has_come = False

    def __enter__(self) -> "Interruption":
        self._before = signal.signal(signal.SIGINT, self._come)
        return self

    def _come(self, number: int, frame: Any) -> None:
        self.has_come = True
        signal.signal(signal.SIGINT, self._before)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)


# ---- load


def add_load(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `load`."""
    parser = commands.add_parser("load", parents=[common], help="a file into a cube or into sketches",
                                 description="Loads a file of events: CSV or TSV with a header, JSON Lines, an access log in combined format, "
                                             "each plain or .gz, or Parquet. A load that was interrupted goes on where it was: each event "
                                             "counts once.")
    parser.add_argument("file", type=Path, metavar="FILE", help="- is standard input")
    parser.add_argument("--cube", metavar="KEY", help="the cube that the events go to")
    parser.add_argument("--create", action="store_true", help="make the cube if there is none, with these dimensions and measures")
    parser.add_argument("--key", action="append", metavar="TEMPLATE",
                        help="or sketches: visitors:{day}, step:{step}; {hour}, {day}, {week}, {month} or a column. Several may be given")
    _add_columns(parser)
    parser.add_argument("--format", choices=("auto", "csv", "jsonl", "combined", "parquet"), default="auto")
    parser.add_argument("--delimiter", metavar="C", help="of CSV, if it is not the most frequent of , ; tab |")
    parser.add_argument("--max-bad", type=max_bad, default=MaxBad(share=0.01), metavar="N",
                        help="stop at more bad lines: 10, or a share such as 1%% (the default)")
    parser.add_argument("--dry-run", action="store_true", help="read the first 1,000 rows, say what they are, and send nothing")
    parser.add_argument("--again", action="store_true", help="load the file once more, even if it was loaded before")
    parser.set_defaults(run=load)


def _add_columns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", metavar="COLUMN", help="who it was (default: the column that is usually called so)")
    parser.add_argument("--time", metavar="COLUMN", help="when it happened")
    parser.add_argument("--dimension", action="append", metavar="NAME[=COLUMN],...",
                        help="dimensions of the cube (default: those it has that are columns)")
    parser.add_argument("--measure", action="append", metavar="NAME[=COLUMN],...", help="measures of the cube")
    parser.add_argument("--time-format", metavar="FORMAT", help="of strptime, or s or ms for Unix time")
    parser.add_argument("--timezone", type=zone, default=UTC, metavar="ZONE", help="of times that name none (default: UTC)")
    parser.add_argument("--late", choices=("drop", "error"), default="drop",
                        help="events older than all that the cube keeps are left out (the default), or an error")


def _columns(arguments: argparse.Namespace, table: Table, extra: list[tuple[str, str]]) -> Columns:
    user = arguments.user or usual("user", table.columns)
    at = arguments.time or usual("time", table.columns)
    if user is None or at is None:
        what = "user" if user is None else "time"
        raise InputError(f"{table.name}: which column is the {what}? Say it with --{what}; there are: {', '.join(table.columns)}")
    columns = Columns(user, at, tuple(_pairs(arguments.dimension) + extra), tuple(_pairs(arguments.measure)), arguments.time_format,
                      arguments.timezone)
    table.need(columns.names)
    return columns


def _of_cube(hll: HLL, key: str, columns: Columns, known: list[str]) -> Columns:
    """With the dimensions and measures of the cube that are called like columns, where none were named."""
    info = hll.cube(key).info()
    plain_names = {re.sub(r"\W", "_", name, flags=re.ASCII): name for name in known if name not in (columns.user, columns.time)}

    def found(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        return tuple((name, plain_names[name]) for name in names if name in plain_names)
    if columns.dimensions or columns.measures:
        return columns
    return replace(columns, dimensions=found(info.dimensions), measures=found(info.measures))


def load(arguments: argparse.Namespace, hll: HLL) -> int:
    """Runs `load`."""
    if bool(arguments.cube) == bool(arguments.key):
        raise InputError("where do the events go? Give --cube KEY, or --key TEMPLATE for sketches")
    table = Table(arguments.file, arguments.format, arguments.delimiter)
    templates = [Template(given, arguments.timezone) for given in arguments.key or []]
    named = dict.fromkeys(name for template in templates for name in template.columns)
    columns = _columns(arguments, table, [(name, name) for name in named])
    if arguments.cube and not (arguments.dry_run and (columns.dimensions or columns.measures)):
        if arguments.create and not arguments.dry_run:
            _create(hll, arguments.cube, columns)
        try:
            columns = _of_cube(hll, arguments.cube, columns, table.columns)
        except KeyMissing:
            raise InputError(f"there is no cube {arguments.cube}; --create makes one with the dimensions that are named") from None
    if arguments.dry_run:
        return _dry_run(table, columns, arguments.max_bad)
    print(f"{table.format}, {columns}", file=sys.stderr)
    bar = Bar(table.size)
    with Interruption() as interruption:
        try:
            if arguments.cube:
                return _load_cube(arguments, hll, table, columns, bar, interruption)
            return _load_sketches(hll, table, columns, templates, arguments.max_bad, bar, interruption)
        finally:
            bar.close()


def _create(hll: HLL, key: str, columns: Columns) -> None:
    try:
        hll.cube(key).info()
    except KeyMissing:
        hll.cube(key).create(dimensions=[name for name, _ in columns.dimensions], measures=[name for name, _ in columns.measures], new=14,
                             timezone=str(columns.zone))


def _dry_run(table: Table, columns: Columns, allowed: MaxBad) -> int:
    print(f"{table.format}, {columns}")
    first, number = None, 0
    for _, row in rows(table, columns, allowed):
        if first is None:
            first = row
            values = " ".join(f"{name}={plain(text(value))}" for name, value in zip(columns.fields, row[2:], strict=True) if value)
            print(f"first row: {instant(row[1], columns.zone).isoformat()} {plain(text(row[0]))} {values}".rstrip())
        number += 1
        if number == DRY_ROWS:
            break
    print(f"{number:,} rows read, {table.tally.bad:,} bad; nothing sent")
    for example in table.tally.examples:
        print(f"  {plain(example)}")
    return 0


def _load_cube(arguments: argparse.Namespace, hll: HLL, table: Table, columns: Columns, bar: Bar, interruption: Interruption) -> int:
    allowed = arguments.max_bad

    def bad_row(line: int, error: HLLError) -> bool:
        table.tally.reject(line, re.sub(r"^(ERR )?HLL: row \d+: ", "", str(error)))
        return bool(allowed.allows(table.tally.bad, table.tally.lines, final=False))
    mapping = hashlib.sha256(repr((columns, table.format)).encode()).hexdigest()[:8]
    name = f"{table.fingerprint()}{mapping}"
    loading = CubeLoading(hll, arguments.cube, columns.fields, name, arguments.late, bad_row, arguments.again)
    if loading.start:
        print(f"{loading.start:,} rows of this file are loaded already; what follows is added (--again loads all of them once more)",
              file=sys.stderr)
    try:
        for done in loading.load(rows(table, columns, allowed)):
            bar.at(table.position, done)
            if interruption.has_come:
                bar.close()
                print(f"stopped at row {done:,}; the same command goes on from there", file=sys.stderr)
                return 130
    except BatchError as error:
        if not allowed.allows(table.tally.bad, table.tally.lines, final=False):
            raise TooManyBad(f"{table.name} {table.tally.examples[0]} (--max-bad {allowed})") from None
        cause = error.__cause__ or error
        raise HLLError(f"{cause}\nstopped at row {loading.done:,}; the same command goes on from there") from None
    bar.close()
    total = loading.total
    bad = f"{table.tally.bad:,} bad line{'s' if table.tally.bad != 1 else ''}"
    print(f"{total.counted:,} events counted, {total.duplicate:,} known already, {total.late:,} too late, {bad}"
          + (f", {table.tally.no_user:,} without a user" if table.tally.no_user else ""))
    _examples(table)
    return 0


def _examples(table: Table) -> None:
    for example in table.tally.examples:
        print(f"  {plain(example)}", file=sys.stderr)
    if table.tally.truncated:
        print(f"WARNING: {table.name}: {table.tally.truncated}", file=sys.stderr)


class Template:
    """The name of a key with the parts of an event in it."""

    TIMES = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}

    def __init__(self, text: str, where: tzinfo) -> None:
        try:
            self._parts = [(word(literal), name) for literal, name, *_ in string.Formatter().parse(text)]
        except ValueError as error:
            raise InputError(f"--key {text}: {error}") from None
        self._where = where
        self.columns = [name for _, name in self._parts if name and name not in self.TIMES]
        self._time = lru_cache(maxsize=10_000)(self._time_part)

    def _time_part(self, name: str, quarter: int) -> bytes:
        # Zones are whole quarters of an hour away from each other, so all times within one have the same hour.
        return instant(quarter * 900_000, self._where).strftime(self.TIMES[name]).encode()

    def key(self, at: int, values: dict[str, bytes]) -> bytes | None:
        """The key of an event; None where a column that it names is empty."""
        found = b""
        for literal, name in self._parts:
            found += literal
            if name:
                part = self._time(name, at // 900_000) if name in self.TIMES else values[name]
                if not part:
                    return None
                found += part
        return found


def _load_sketches(hll: HLL, table: Table, columns: Columns, templates: list[Template], allowed: MaxBad, bar: Bar,
                   interruption: Interruption) -> int:
    def pairs() -> Iterator[tuple[bytes, bytes]]:
        for number, (_, row) in enumerate(rows(table, columns, allowed), 1):
            values = dict(zip(columns.fields, row[2:], strict=True)) if columns.fields else {}
            for template in templates:
                key = template.key(row[1], values)
                if key is not None:
                    yield key, row[0]
            if number % 5000 == 0:
                bar.at(table.position, number)
                if interruption.has_come:
                    return
    sent = hll.add_many_to(pairs())
    bar.close()
    if interruption.has_come:
        print("stopped; what was sent counts once however often it is sent, so start it again", file=sys.stderr)
        return 130
    print(f"{table.tally.rows:,} rows, {sent.elements:,} elements sent, {table.tally.bad:,} bad lines")
    _examples(table)
    return 0


# ---- consume


def add_consume(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `consume`."""
    parser = commands.add_parser("consume", parents=[common], help="a Redis Stream into a cube",
                                 description="Reads a stream as a consumer of a group and counts its entries in a cube, each once, however "
                                             "often this is killed. Fields of entries are columns.")
    parser.add_argument("stream", metavar="STREAM")
    parser.add_argument("--group", required=True, metavar="NAME", help="of consumers; made if there is none")
    parser.add_argument("--consumer", default=socket.gethostname(), metavar="NAME",
                        help="this one (default: the name of the machine); two at a time need two names")
    parser.add_argument("--cube", required=True, metavar="KEY")
    _add_columns(parser)
    parser.add_argument("--from", dest="start", default="0", metavar="ID", help="where a new group begins: 0 (the default), $, or an entry")
    parser.add_argument("--count", type=int, default=500, metavar="N", help="entries of a batch, up to 3,000")
    parser.add_argument("--takeover", type=float, metavar="SECONDS", help="take the entries of consumers that were not heard for so long")
    parser.add_argument("--once", action="store_true", help="end when the stream has no more, instead of waiting")
    parser.set_defaults(run=consume)


def consume(arguments: argparse.Namespace, hll: HLL) -> int:
    """Runs `consume`: ends after the batch in hand on SIGTERM and SIGINT."""
    info = hll.cube(arguments.cube).info()
    dimensions = _pairs(arguments.dimension) or [(name, name) for name in info.dimensions]
    measures = _pairs(arguments.measure) or [(name, name) for name in info.measures]
    columns = Columns(arguments.user or "user", arguments.time, tuple(dimensions), tuple(measures), arguments.time_format, arguments.timezone)
    try:
        consumer = Consumer(hll, arguments.stream, arguments.group, arguments.consumer, arguments.cube, columns, count=arguments.count,
                            late=arguments.late, bad=lambda entry, reason: print(f"entry {entry}: {plain(reason)}", file=sys.stderr))
    except ValueError as error:
        raise InputError(str(error)) from None
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: stopping.append(got))
    consumer.begin(arguments.start)
    last = time.monotonic()
    while not stopping:
        read = consumer.step()
        now = time.monotonic()
        if arguments.takeover is not None and not read:
            read = consumer.take_over(round(1000 * arguments.takeover))
        if now - last >= LINE_SECONDS:
            last = now
            _say(consumer, sys.stderr)
        if arguments.once and not read:
            break
    _say(consumer, sys.stdout)
    return 0


def _say(consumer: Consumer, file: Any) -> None:
    found = consumer.consumed
    print(f"{found.entries:,} entries: {found.counted.counted:,} counted, {found.counted.duplicate:,} known already, "
          f"{found.counted.late:,} too late, {found.bad:,} bad", file=file, flush=True)

