"""Sending many: cut into commands of a good size, and what becomes of those that the server refuses. No I/O here.

The policy is what was measured: 1,000 elements or 64 KiB a command of HLL.ADD, 200 rows or 64 KiB one of HLL.CUBE.MADD, and
16 commands a flush, which is waited for before the next one is made, so that no more than one flush is in memory and a slow
server slows the sender down. Nothing waits longer than a second for more to come with it, counted when the next one comes.

An `Exchange` is a conversation with a server: it yields commands, is sent what came of each (a value or an error), and returns
its result. Clients that wait and clients that are awaited carry on the same conversation.
"""

import io
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

from .commands import Command, Text, Value, changed, cube, word, words
from .errors import BatchError, HLLError, TooManyCells
from .results import Counted
from .times import Time, millis

T = TypeVar("T")
R = TypeVar("R")
Exchange = Generator[list[Command[Any]], list[Any], R]

ELEMENTS = 1_000  # a command
ROWS = 200
BYTES = 65_536
COMMANDS = 16  # a flush
SECONDS = 1.0  # that the oldest of a flush waits for others


class Event(NamedTuple):
    """An event of a cube: who, when (None is the server's clock), and the values of dimensions and measures."""

    element: Value
    at: Time | None = None
    fields: Mapping[str, Value | None] = {}


def lines(source: Any) -> Any:
    """A file's lines without their ends; anything else as it is."""
    if isinstance(source, io.TextIOBase):
        return (line.rstrip("\r\n") for line in source)
    if isinstance(source, (io.RawIOBase, io.BufferedIOBase)):
        return (line.rstrip(b"\r\n") for line in source)
    return source


def chunks(items: Iterable[T], size: int, clock: Callable[[], float] = time.monotonic) -> Iterator[list[T]]:
    """The items in lists of `size`; shorter ones where the next item comes a second after the first of the list."""
    if isinstance(items, (list, tuple)):
        for start in range(0, len(items), size):
            yield list(items[start:start + size])
        return
    chunk: list[T] = []
    end = 0.0
    for item in items:
        if not chunk:
            end = clock() + SECONDS
        chunk.append(item)
        if len(chunk) == size or clock() >= end:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def async_chunks(items: Iterable[T] | AsyncIterable[T], size: int,
                       clock: Callable[[], float] = time.monotonic) -> AsyncIterator[list[T]]:
    """The same of items that may have to be awaited."""
    if isinstance(items, Iterable):
        for chunk in chunks(items, size, clock):
            yield chunk
        return
    chunk = []
    end = 0.0
    async for item in items:
        if not chunk:
            end = clock() + SECONDS
        chunk.append(item)
        if len(chunk) == size or clock() >= end:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def cut(items: Sequence[bytes], most: int = ELEMENTS) -> Iterator[Sequence[bytes]]:
    """The items in pieces of at most so many, and of at most BYTES unless a single one is longer."""
    start = 0
    while start < len(items):
        part = items[start:start + most]
        if len(b"".join(part)) > BYTES:
            part = part[:max(1, sum(size <= BYTES for size in accumulate(map(len, part))))]
        yield part
        start += len(part)


@dataclass(slots=True)
class Progress:
    """How much has been taken."""

    sent: int = 0
    commands: int = 0


def add_elements(pairs: Iterable[tuple[bytes, Sequence[bytes]]], progress: Progress) -> Exchange[None]:
    """A flush: elements for keys. Raises BatchError; what is sent twice counts once, so all of it may simply be sent again."""
    made: list[Command[Any]] = []
    sizes = []
    for key, elements in pairs:
        for piece in cut(elements):
            made.append(Command("HLL.ADD", (key, *piece), changed, key, writes=True))
            sizes.append(len(piece))
    first = progress.sent
    try:
        results = yield made
    except Exception as error:
        raise BatchError(f"after {progress.sent:,} elements: {error}", progress.sent, first, first + sum(sizes) - 1) from error
    for size, result in zip(sizes, results, strict=True):
        if isinstance(result, Exception):
            raise BatchError(f"elements {first:,} to {first + size - 1:,}: {result}", progress.sent, first, first + size - 1) from result
        first += size
        progress.sent += size
        progress.commands += 1


# ---- rows of a cube


@dataclass(slots=True)
class Piece:
    """Rows of one HLL.CUBE.MADD: those numbered `first` to `last`, of which `numbers` are left. The words of each are a timestamp,
    the element, and a value for each of the fields; `words` has them all."""

    first: int
    last: int
    numbers: Sequence[int]
    words: list[bytes]
    fields: tuple[str, ...]

    def split(self, rows: int) -> tuple["Piece", "Piece"]:
        """The first `rows` that are left, and the others."""
        middle, end = self.numbers[rows], rows * (2 + len(self.fields))
        return (Piece(self.first, middle - 1, self.numbers[:rows], self.words[:end], self.fields),
                Piece(middle, self.last, self.numbers[rows:], self.words[end:], self.fields))

    def without(self, row: int) -> "Piece":
        """The same without one of its rows, from 0 on."""
        width = 2 + len(self.fields)
        return Piece(self.first, self.last, [*self.numbers[:row], *self.numbers[row + 1:]],
                     self.words[:row * width] + self.words[(row + 1) * width:], self.fields)


def when(at: Time | None) -> bytes:
    """The word of a time."""
    return b"*" if at is None else b"%d" % (at if type(at) is int else millis(at))


def whens(times: Sequence[Time | None]) -> list[bytes]:
    """The words of many."""
    return list(map(b"%d".__mod__ if set(map(type, times)) == {int} else when, times))


def row_words(times: Sequence[Time | None], elements: Sequence[bytes], columns: Sequence[Sequence[bytes]]) -> list[bytes]:
    """The words of rows, one row after the other."""
    width = 2 + len(columns)
    found = [b""] * (width * len(elements))
    for place, column in enumerate((whens(times), elements, *columns)):
        found[place::width] = column
    return found


def pack(events: Sequence[Any], fields: Sequence[str] | None) -> tuple[tuple[str, ...], list[bytes]]:
    """The fields and the words of rows. With `fields`, a row is (element, at, value, value, ...) in their order; otherwise it is
    an Event, and the fields are those that occur."""
    if fields is None:
        found = [event if isinstance(event, Event) else Event(*event) for event in events]
        fields = list(dict.fromkeys(name for event in found for name in event.fields))
        events = [(event.element, event.at, *[event.fields.get(name) for name in fields]) for event in found]
    # By columns: values of one kind are made words much faster.
    elements, times, *columns = zip(*events, strict=True)
    if len(columns) != len(fields):
        raise ValueError(f"a row has {2 + len(columns)} values; with these fields it is an element, a time and {len(fields)} values")
    return tuple(fields), row_words(times, words(elements), [words(column) for column in columns])


@dataclass(slots=True)
class RowSender:
    """Cuts rows into commands and sees them through.

    A command counts all of its rows or none. One that would be counted in more cells than a command may is cut where the server
    says, which depends on how many slices the rows begin; `size`, the rows of a command, goes down then and up again later.
    """

    key: bytes
    producer: bytes
    new_id: Callable[[Piece], bytes]
    late: cube.Late = "error"
    size: int = ROWS
    total: Counted = field(default_factory=Counted)
    commands: int = 0

    def pieces(self, fields: tuple[str, ...], words: list[bytes], first: int) -> list[Piece]:
        """The words of rows that are numbered from `first` on, cut into commands."""
        made: list[Piece] = []
        width, start = 2 + len(fields), 0
        while start < len(words):
            part = words[start:start + self.size * width]
            if len(b"".join(part)) > BYTES:
                sizes = accumulate(len(b"".join(part[at:at + width])) for at in range(0, len(part), width))
                part = part[:width * max(1, sum(size <= BYTES for size in sizes))]
            begin, end = first + start // width, first + (start + len(part)) // width
            made.append(Piece(begin, end - 1, range(begin, end), part, fields))
            start += len(part)
        return made

    def command(self, piece: Piece) -> Command[Counted]:
        return cube.madd(self.key, piece.fields, piece.words, producer=self.producer.decode(), id=self.new_id(piece), late=self.late)

    def noted(self, piece: Piece, middle: int) -> list[Command[Any]]:
        """Commands to be carried out before a piece is sent in two, the second from the row numbered `middle` on: none, where the ids
        of a piece are not used again."""
        return []

    def leaves_out(self, piece: Piece, row: int, error: HLLError) -> bool:
        """Whether a row that the server refuses is left out, and all others are counted. It is not."""
        return False

    def deliver(self, pieces: Iterable[Piece]) -> Exchange[None]:
        """A flush. Raises BatchError when a command was refused, or when the server could not be reached."""
        waiting = list(pieces)
        whole = True
        while waiting:
            made = [self.command(piece) for piece in waiting]
            first, last = waiting[0].first, waiting[-1].last
            try:
                results = yield list(made)
            except Exception as error:
                raise BatchError(f"rows {first:,} to {last:,}: {error}", self.total.counted, first, last) from error
            again: list[Piece] = []
            refused: tuple[Piece, Exception] | None = None
            for piece, result in zip(waiting, results, strict=True):
                self.commands += 1
                if isinstance(result, Counted):
                    self.total += result
                elif isinstance(result, TooManyCells) and result.row and len(piece.numbers) > 1:
                    whole = False
                    rows = max(1, min(result.row, len(piece.numbers)) - 1)
                    self.size = rows
                    notes = self.noted(piece, piece.numbers[rows])
                    if notes:
                        for answer in (yield notes):
                            if isinstance(answer, Exception):
                                raise BatchError(f"rows {piece.first:,} to {piece.last:,}: {answer}", self.total.counted, piece.first,
                                                 piece.last) from answer
                    again += piece.split(rows)
                elif isinstance(result, HLLError) and result.row and self.leaves_out(piece, result.row - 1, result):
                    left = piece.without(result.row - 1)
                    again += [left] if left.numbers else []
                elif isinstance(result, Exception):
                    refused = refused or (piece, result)
            if refused:
                piece, cause = refused
                raise BatchError(f"rows {piece.first:,} to {piece.last:,}: {cause}", self.total.counted, piece.first, piece.last) from cause
            waiting = again
        if whole:
            self.size = min(ROWS, 2 * self.size)


def group(pairs: Iterable[tuple[Text, Value]]) -> dict[bytes, list[bytes]]:
    """Elements by their keys."""
    found: dict[bytes, list[bytes]] = {}
    for key, element in pairs:
        found.setdefault(word(key), []).append(word(element))
    return found
