"""The same events in a cube: one HLL.CUBE.MADD takes what would be an HLL.ADD for each key and an INCRBY for each counter.
Beside it are columns of numbers, 20 to 60 bytes an event, from which every answer can be counted exactly."""

import re
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import redis

from .answers import as_map
from .events import Event

KEY = "shop"
TIERS = ("5m", "3h", "1h", "48h", "1d", "90d", "1w", "53w", "1mo", "36mo")  # a slice and how long it is kept, in turn
# What HLL.CUBE.MADD counts at most: cells, of which a late row has one in each column of every tier and once more, and one
# that begins a newer slice as many as sixty others.
CELLS_PER_COMMAND, ROWS_PER_COMMAND, LATE, BEGINS_SLICE = 10_000, 500, len(TIERS) // 2 + 1, 60
FINEST = 300_000  # milliseconds of a slice
COMMANDS_PER_PIPELINE = 20
MOST_NAME, MOST_VALUE = 60, 1024  # bytes
NEW_PRECISION = 16


@dataclass(frozen=True)
class Shape:
    """What the cube is made of."""

    dimensions: tuple[str, ...]  # names in the cube, in the order of the values of an event
    measures: tuple[str, ...]
    has: tuple[bool, bool]  # whether steps and devices are among the dimensions: they come first then
    values: int  # of steps, devices and channels, and of their groups
    precision: int | None = None

    @classmethod
    def of(cls, others: Sequence[str], measures: Sequence[str], has: tuple[bool, bool], values: int, precision: int | None = None) -> "Shape":
        """`others` and `measures` are called whatever a file calls them; names in a cube are plain words, each there once."""
        names: list[str] = []
        for name in [*(name for name, there in zip(("step", "device"), has) if there), *others, *measures]:
            plain = re.sub(r"^(?=\d|$)", "_", re.sub(r"\W", "_", name, flags=re.ASCII)[:MOST_NAME])
            while plain in names:
                plain += "_"
            names.append(plain)
        count = len(names) - len(measures)
        return cls(tuple(names[:count]), tuple(names[count:]), has, values, precision)

    def without(self, word: str) -> "Shape":
        """The same with another name for what is called like a word of questions."""
        def rename(names: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(f"{name}_" if name == word else name for name in names)
        return Shape(rename(self.dimensions), rename(self.measures), self.has, self.values, self.precision)

    @property
    def groups(self) -> list[str]:
        return [f"step,{other}" for other in ("device", "channel") if {"step", other} <= {*self.dimensions}]

    def create(self) -> list[str]:
        """HLL.CUBE.CREATE in words."""
        words = ["HLL.CUBE.CREATE", KEY]
        for slice_, kept in zip(TIERS[::2], TIERS[1::2]):
            words += ["TIER", slice_, kept]
        if self.precision is not None:
            words += ["PRECISION", str(min(self.precision, 16))]
        for name in self.dimensions:
            words += ["DIMENSION", name, *(["VALUES", str(self.values)] if name in ("step", "device", "channel") else [])]
        for group in self.groups:
            words += ["GROUP", group, "VALUES", str(self.values)]
        for name in self.measures:
            words += ["MEASURE", name]
        return [*words, "NEW", str(NEW_PRECISION)]

    def values_of(self, event: Event) -> list[str | None]:
        """The event's values of the dimensions."""
        return [*((event.step,) if self.has[0] else ()), *((event.device,) if self.has[1] else ()), *event.others]

    @property
    def effort(self) -> int:
        """Of a command: rows that would take as long as it may."""
        return CELLS_PER_COMMAND // (1 + len(self.dimensions) + len(self.groups))


class Facts:
    """Every event as numbers: which user, when, which value of each dimension (0 is none), and the measures."""

    def __init__(self, shape: Shape) -> None:
        self._users: dict[bytes, int] = {}
        self.values: dict[str, dict[bytes, int]] = {name: {} for name in shape.dimensions}
        self._names = [(self.values[name], array("I")) for name in shape.dimensions]
        self._who, self._when = array("I"), array("q")
        self._sums = [array("d") for _ in shape.measures]
        self._shape = shape

    def note(self, event: Event, values: Sequence[bytes]) -> None:
        self._who.append(self._users.setdefault(event.user, len(self._users)))
        self._when.append(event.time or 0)
        for value, (known, column) in zip(values, self._names):
            column.append(known.setdefault(value, len(known) + 1) if value else 0)
        for number, sums in zip(event.sums, self._sums):
            sums.append(number or 0)

    def finish(self) -> None:
        """From here on nothing is added, and everything can be asked."""
        self.who, self.when = numpy.frombuffer(self._who, numpy.uint32), numpy.frombuffer(self._when, numpy.int64)
        self.columns = {name: numpy.frombuffer(column, numpy.uint32) for name, (_, column) in zip(self._shape.dimensions, self._names)}
        self.measures = {name: numpy.frombuffer(sums, numpy.float64) for name, sums in zip(self._shape.measures, self._sums)}
        self.first = numpy.zeros(len(self.who), bool)  # whether an event is the first of its user, as they came
        self.first[numpy.unique(self.who, return_index=True)[1]] = True

    def where(self, since: int, until: int, **values: str | bytes) -> Any:
        """Which events are of this time and have these values."""
        found = (self.when >= since) & (self.when < until)
        for name, value in values.items():
            found &= self.columns[name] == self.values[name].get(key_value(value), 0xFFFFFFFF)
        return found

    def users(self, events: Any) -> Any:
        """Which users have any of these events."""
        seen = numpy.zeros(len(self._users), bool)
        seen[self.who[events]] = True
        return seen

    def count(self, events: Any) -> int:
        return int(self.users(events).sum())


def key_value(value: str | bytes | None) -> bytes:
    """A value as it is sent. What is put together before the cube sees it must not be called as the cube calls what it puts
    together itself."""
    if value is None:
        return b""
    sent = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    return b"(rest)" if sent == b"(other)" else sent[:MOST_VALUE]


def word(text: bytes) -> bytes:
    """A word of a command in the protocol."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


class Cube:
    """The cube under KEY: loading it, asking it, and what is true."""

    def __init__(self, client: redis.Redis, shape: Shape) -> None:
        self._client = client
        while True:
            try:
                client.execute_command(*shape.create())
                break
            except redis.ResponseError as error:
                reserved = re.search(r"'(\w+)' is a word of questions", str(error))
                if reserved is None:
                    raise
                shape = shape.without(reserved[1])
        self.shape, self.facts = shape, Facts(shape)
        # Commands are put together here and not by the client library, which takes longer over a word than the server
        # does, and the next ones while the server counts the last: so its replies are read one pipeline later.
        self._connection = client.connection_pool.get_connection()
        fields = [*shape.dimensions, *shape.measures]
        head = ["HLL.CUBE.MADD", KEY, "LATE", "DROP", "FIELDS", str(len(fields)), *fields, "ROWS"]
        self._head, self._head_words, self._row_words = b"".join(word(one.encode()) for one in head), len(head), 2 + len(fields)
        self._words: dict[str | None, tuple[bytes, bytes]] = {}
        self._nothing = word(b"")
        self._rows: list[bytes] = []
        self._effort, self._newest = 0, -1
        self._queued: list[bytes] = []
        self._sent = 0
        self.late = self.commands = self.asked = 0
        self.answering = 0.0

    def add(self, event: Event) -> None:
        values = [self._words.get(value) or self._learn(value) for value in self.shape.values_of(event)]
        self.facts.note(event, [value for value, _ in values])
        slice_ = (event.time or 0) // FINEST
        effort = BEGINS_SLICE if slice_ > self._newest else LATE
        if self._effort + effort > self.shape.effort or len(self._rows) == ROWS_PER_COMMAND:
            self._queue()
        self._effort, self._newest = self._effort + effort, max(self._newest, slice_)
        self._rows.append(b"".join((word(b"%d" % (event.time or 0)), word(event.user), *(packed for _, packed in values),
                                    *(self._nothing if number is None else word(repr(number).encode()) for number in event.sums))))

    def _learn(self, value: str | None) -> tuple[bytes, bytes]:
        """A value as it is sent, and as a word of a command."""
        sent = key_value(value)
        self._words[value] = sent, word(sent)
        return self._words[value]

    def _queue(self) -> None:
        self._queued.append(b"".join((b"*%d\r\n" % (self._head_words + self._row_words * len(self._rows)), self._head, *self._rows)))
        self._rows, self._effort = [], 0
        self.commands += 1
        if len(self._queued) == COMMANDS_PER_PIPELINE:
            self._send()

    def _send(self) -> None:
        before, self._sent = self._sent, len(self._queued)
        self._connection.send_packed_command(self._queued)
        self._queued = []
        self._receive(before)

    def _receive(self, replies: int) -> None:
        self.late += sum(int(as_map(self._connection.read_response())["late"]) for _ in range(replies))

    def finish(self) -> None:
        if self._rows:
            self._queue()
        self._send()
        self._receive(self._sent)
        self._client.connection_pool.release(self._connection)
        self.facts.finish()

    @property
    def seconds(self) -> float:
        """How long the server was at it."""
        told = {name.lower(): about for name, about in self._client.info("commandstats").items()}
        return float(told["cmdstat_hll.cube.madd"]["usec"]) / 1e6

    @property
    def now(self) -> int:
        """When the last event was: questions are asked as of then."""
        return int(self.facts.when.max())

    def ask(self, command: str, *words: str | int | bytes) -> Mapping[str, Any]:
        begin = time.perf_counter()
        reply = self._client.execute_command(f"HLL.CUBE.{command}", KEY, *words)
        self.answering += time.perf_counter() - begin
        self.asked += 1
        return as_map(reply)

    def rows(self, command: str, *words: str | int | bytes) -> list[dict[str, Any]]:
        return [as_map(row) for row in self.ask(command, *words)["rows"]]
