"""Event files: CSV and TSV, JSON Lines, access logs in combined format (each plain or gzip-compressed), and Parquet.

Real files have bad lines. A line that cannot be understood is counted and described in the `Tally`, and does not stop the reading
unless there are too many; what is wrong with the whole file (it is missing, a column is not there, nobody can tell the format) is
an `InputError` with a text for the user.

Text is decoded as UTF-8 with surrogateescape and encoded back the same way, so two users whose names are different bytes stay
different, whatever their encoding. A file is read in order and never held in memory. What its columns are is said in columns.py.
"""

import csv
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import IO, Any, Literal

FormatName = Literal["csv", "jsonl", "combined", "parquet"]
HEAD_LINES = 200  # from which the format and the columns are told
HEAD_BYTES = 65_536  # by which a file is known again
EXAMPLES = 3  # bad lines that are described


class InputError(Exception):
    """The file as a whole cannot be used; the text says why and what would be right."""


class TooManyBad(InputError):
    """More lines than allowed could not be understood."""


@dataclass(frozen=True, slots=True)
class MaxBad:
    """How many bad lines there may be: so many, or such a share of the lines."""

    number: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> "MaxBad":
        """`10`, or `1%`. Raises ValueError."""
        if text.endswith("%"):
            share = float(text[:-1]) / 100
            if not 0 <= share <= 1:
                raise ValueError("a share is from 0% to 100%")
            return cls(share=share)
        number = int(text)
        if number < 0:
            raise ValueError("a number of lines is not negative")
        return cls(number=number)

    def allows(self, bad: int, lines: int, final: bool) -> bool:
        """Whether so many are allowed. A share is not asked for before a thousand lines have come, or the end."""
        if self.number is not None:
            return bad <= self.number
        return bad <= (self.share or 0) * lines or not (final or lines >= 1000)

    def __str__(self) -> str:
        return str(self.number) if self.number is not None else f"{100 * (self.share or 0):g}%"


@dataclass
class Tally:
    """What was met while reading."""

    lines: int = 0
    rows: int = 0
    bad: int = 0
    no_user: int = 0
    truncated: str | None = None
    first_bad: list[tuple[int, str]] = field(default_factory=list)

    def reject(self, line: int, reason: str, count: int = 1) -> None:
        """Lines that could not be understood, the last of them at `line`. What is wrong with a line is found in several places, so
        they do not come in order."""
        self.bad += count
        self.first_bad = sorted([*self.first_bad, (line, reason)])[:EXAMPLES]

    @property
    def examples(self) -> list[str]:
        """The first lines that could not be understood, and why."""
        return [f"line {line:,}: {reason}" for line, reason in self.first_bad]


class Table:
    """A file of records with named columns. `records(names)` goes through it; `tally` then says what was met and `position` how far
    the reading is, in bytes of the file. What can be read only once, a pipe, is copied to a temporary file first."""

    def __init__(self, path: Path, format: FormatName | Literal["auto"] = "auto", delimiter: str | None = None) -> None:
        self.path = path
        self.name = "standard input" if str(path) == "-" else str(path)
        self.tally = Tally()
        self._spooled = _spool(path) if is_pipe(path) else None
        if self._spooled is None and not path.is_file():
            raise InputError(f"there is no file {path}")
        self.size = os.fstat(self._spooled.fileno()).st_size if self._spooled else path.stat().st_size
        self._raw: IO[bytes] | None = None
        self._delimiter = delimiter
        self.format: FormatName
        if format == "parquet" or format == "auto" and self._begins(b"PAR1"):
            self.format = "parquet"
            self.columns = list(self._parquet_file().schema_arrow.names)
        else:
            self._head_of_text(format)

    # Opening

    def open(self) -> IO[bytes]:
        """The bytes of the file from their beginning."""
        if self._spooled is None:
            return self.path.open("rb")
        again = os.fdopen(os.dup(self._spooled.fileno()), "rb")
        again.seek(0)
        return again

    def _begins(self, mark: bytes) -> bool:
        with self.open() as raw:
            return raw.read(len(mark)) == mark

    def fingerprint(self) -> str:
        """By what the file is known again: a hash of its first 64 KiB. It may have grown since."""
        with self.open() as raw:
            return hashlib.sha256(raw.read(HEAD_BYTES)).hexdigest()[:16]

    def _lines(self) -> Iterator[str]:
        """The lines as text. A compressed file that breaks off ends here, and the tally says so."""
        self._raw = self.open()
        compressed = self._raw.read(2) == b"\x1f\x8b"
        self._raw.seek(0)
        with self._raw:
            stream: Any = gzip.GzipFile(fileobj=self._raw) if compressed else self._raw
            text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="\n")
            try:
                yield next(text, "").removeprefix("\ufeff")
                for line in text:  # not `yield from`, which would close it with this generator
                    yield line
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                self.tally.truncated = f"the compressed data is damaged or breaks off: {error}"
            finally:
                text.detach()

    @property
    def position(self) -> int:
        """Bytes of the file that have been read."""
        return self.size if self._raw is None or self._raw.closed else self._raw.tell()

    # Telling the format and the columns

    def _head_of_text(self, format: str) -> None:
        head = []
        for line in self._lines():
            head.append(line)
            if len(head) == HEAD_LINES:
                break
        if not any(line.strip() for line in head):
            raise InputError(f"{self.name} is empty" if not self.tally.truncated else f"{self.name}: {self.tally.truncated}")
        self.tally = Tally()
        self.format = _guess_format(head) if format == "auto" else format  # type: ignore[assignment]
        if self.format == "combined":
            self.columns = list(COMBINED_COLUMNS)
        elif self.format == "csv":
            self._delimiter = self._delimiter or _guess_delimiter(head[0])
            self.columns = next(csv.reader(head[:1], delimiter=self._delimiter), [])
        else:
            self.columns = _json_columns(head)
            if not self.columns:
                raise InputError(f"{self.name} has no JSON object in its first {len(head)} lines")

    def need(self, names: Sequence[str]) -> None:
        """Raises InputError where a column is missing."""
        for name in names:
            if name not in self.columns:
                raise InputError(f"{self.name} has no column '{name}'; it has: {', '.join(self.columns)}")

    # Reading

    def records(self, names: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        """The number of each line and its values of these columns, None where there is none."""
        self.need(names)
        self.tally = Tally()
        read = {"combined": self._combined, "csv": self._csv, "jsonl": self._jsonl, "parquet": self._parquet}[self.format]
        return read(list(names))

    def _csv(self, names: list[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        # A quoted field may go over several lines, so the lines are counted by the csv reader.
        # strict: a quotation mark that is never closed is an error at the end of the file, not a very long user.
        reader = csv.reader(self._lines(), delimiter=self._delimiter or ",", strict=True)
        places = [self.columns.index(name) for name in names]
        pick: Callable[[list[str]], Sequence[str]] = itemgetter(*places) if len(places) > 1 else lambda row: [row[places[0]]]
        width, before, tally = len(self.columns), 0, self.tally
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                count = reader.line_num - before
                before = reader.line_num
                tally.lines += count
                tally.reject(reader.line_num, f"{error} (a quotation mark that is not closed?)", count)
                continue
            first, before = before == 0, reader.line_num
            if first:
                continue  # the header
            tally.lines += 1
            if len(row) == width:
                yield reader.line_num, pick(row)
            elif row:
                tally.reject(reader.line_num, f"{len(row)} fields, the header has {width}")

    def _jsonl(self, names: list[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        for number, line in enumerate(self._lines(), 1):
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
            yield number, [_at(record, name) for name in names]

    def _combined(self, names: list[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        for number, line in enumerate(self._lines(), 1):
            self.tally.lines += 1
            if not line.strip():
                continue
            match = COMBINED.match(line)
            if not match:
                self.tally.reject(number, "not a line of the combined log format")
                continue
            record = _Derived(match.groupdict())
            yield number, [record[name] for name in names]

    def _parquet_file(self) -> Any:
        try:
            import pyarrow.parquet as parquet
        except ImportError:
            raise InputError(f"{self.name} is a Parquet file, which needs pyarrow: pip install redis-hll[parquet]") from None
        try:
            self._raw = self.open()
            return parquet.ParquetFile(self._raw)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.name}: {error}") from None

    def _parquet(self, names: list[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        number = 0
        for batch in self._parquet_file().iter_batches(batch_size=10_000, columns=list(dict.fromkeys(names))):
            columns = [batch.column(batch.schema.get_field_index(name)).to_pylist() for name in names]
            for record in zip(*columns, strict=True):
                number += 1
                self.tally.lines += 1
                yield number, record


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


# ---- formats

# Combined log format, as Apache and nginx write it; the older common format lacks referrer and agent. A quotation mark inside a
# quoted field is written \".
COMBINED = re.compile(
    r'(?P<host>\S+) (?P<ident>\S+) (?P<authuser>.+?) \[(?P<time>[^\]]+)\] "(?P<request>(?:[^"\\]|\\.)*)" '
    r'(?P<status>\d{3}|-) (?P<bytes>\d+|-)'
    r'(?: "(?P<referrer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)?"?)?')
COMBINED_COLUMNS = ("host", "ident", "authuser", "time", "request", "status", "bytes", "referrer", "agent",
                    "method", "path", "section", "device")


class _Derived(dict[str, Any]):
    """A log line; what follows from its parts is made when it is asked for."""

    def __missing__(self, name: str) -> str:
        if name == "device":
            return _device_of(self["agent"])
        parts = self["request"].split(" ")
        method, path = (parts[0], parts[1].split("?", 1)[0]) if len(parts) >= 2 else ("", "")
        return {"method": method, "path": path, "section": "/" + path.lstrip("/").split("/", 1)[0] if path else ""}[name]


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


def _guess_format(head: list[str]) -> FormatName:
    lines = [line for line in head if line.strip()]
    if sum(bool(COMBINED.match(line)) for line in lines) * 2 > len(lines):
        return "combined"
    if lines[0].lstrip().startswith("{"):
        return "jsonl"
    if any(character in lines[0] for character in ",;\t|"):
        return "csv"
    raise InputError("the file looks neither like an access log, nor like CSV with a header, nor like JSON Lines, nor like Parquet; "
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
            names.update(dict.fromkeys(_flat_names(record)))
    return list(names)


def _flat_names(record: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Nested objects become columns with dotted names: {"user": {"id": 7}} has the column user.id."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _flat_names(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def _at(record: dict[str, Any], name: str) -> Any:
    """The value of a column whose name may be dotted."""
    if name in record:
        return record[name]
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value
