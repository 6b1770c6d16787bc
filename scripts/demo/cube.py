"""The same events in a cube: one HLL.CUBE.MADD takes what would be an HLL.ADD for each key and an INCRBY for each counter.
Beside it are columns of numbers, 20 to 60 bytes an event, from which every answer can be counted exactly."""

import re
import time
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy

from redis_hll import HLL, Dimension, Group, HLLError, Tier
from redis_hll.times import instant, millis

from .events import Event

KEY = "shop"
TIERS = (("5m", "3h"), ("1h", "48h"), ("1d", "90d"), ("1w", "53w"), ("1mo", "36mo"))  # a slice and how long it is kept
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

    def create(self, hll: HLL) -> None:
        """Makes the cube. Raises HLLError."""
        hll.cube(KEY).create(
            tiers=[Tier(slice_, kept) for slice_, kept in TIERS], precision=self.precision and min(self.precision, 16),
            dimensions=[Dimension(name, self.values if name in ("step", "device", "channel") else None) for name in self.dimensions],
            groups=[Group(tuple(group.split(",")), self.values) for group in self.groups], measures=self.measures, new=NEW_PRECISION)

    def values_of(self, event: Event) -> list[str | None]:
        """The event's values of the dimensions."""
        return [*((event.step,) if self.has[0] else ()), *((event.device,) if self.has[1] else ()), *event.others]


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

    def where(self, since: datetime | int, until: datetime | int, **values: str) -> Any:
        """Which events are of this time and have these values."""
        found = (self.when >= millis(since)) & (self.when < millis(until))
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


def key_value(value: str | None) -> bytes:
    """A value as it is sent. What is put together before the cube sees it must not be called as the cube calls what it puts
    together itself."""
    if value is None:
        return b""
    sent = value.encode("utf-8", "surrogateescape")
    return b"(rest)" if sent == b"(other)" else sent[:MOST_VALUE]


class Sent(dict[str | None, bytes]):
    """Values as they are sent; there are few of them, so they are remembered."""

    def __missing__(self, value: str | None) -> bytes:
        sent = self[value] = key_value(value)
        return sent


class Asked(HLL):
    """The client, which notes how many questions it asks and how long it waits for their answers."""

    asked = 0
    answering = 0.0

    def run(self, command: Any) -> Any:
        begin = time.perf_counter()
        try:
            return super().run(command)
        finally:
            self.answering += time.perf_counter() - begin
            self.asked += 1


class Cube:
    """The cube under KEY: loading it, asking it, and what is true."""

    def __init__(self, client: Any, shape: Shape) -> None:
        self._client = client
        while True:
            try:
                shape.create(HLL(client))
                break
            except HLLError as error:
                reserved = re.search(r"'(\w+)' is a word of questions", str(error))
                if reserved is None:
                    raise
                shape = shape.without(reserved[1])
        self.shape, self.facts = shape, Facts(shape)
        self._sent = Sent()
        self.late = 0
        self.questions = Asked(client)

    def load(self, events: Iterable[Event]) -> None:
        """Sends all events."""
        self.late = self._send(self._noted(event) for event in events)
        self.facts.finish()

    def add(self, events: Iterable[Event]) -> None:
        """Sends events of which nobody keeps what is true."""
        self._send(self._row(event, self._values(event)) for event in events)

    def _send(self, rows: Iterable[tuple[Any, ...]]) -> int:
        return HLL(self._client).cube(KEY).add_many(rows, fields=(*self.shape.dimensions, *self.shape.measures), late="drop").late

    def _values(self, event: Event) -> list[bytes]:
        return [self._sent[value] for value in self.shape.values_of(event)]

    def _noted(self, event: Event) -> tuple[Any, ...]:
        values = self._values(event)
        self.facts.note(event, values)
        return self._row(event, values)

    @staticmethod
    def _row(event: Event, values: Sequence[bytes]) -> tuple[Any, ...]:
        return (event.user, event.time or 0, *values, *(b"" if number is None else repr(number).encode() for number in event.sums))

    def loaded(self) -> tuple[int, float]:
        """How many commands the server has got for it, and how many seconds it was at them."""
        told = {name.lower(): about for name, about in self._client.info("commandstats").items()}
        about = told.get("cmdstat_hll.cube.madd", {"calls": 0, "usec": 0})
        return int(about["calls"]), float(about["usec"]) / 1e6

    @property
    def ask(self) -> Any:
        """The questions of the cube."""
        return self.questions.cube(KEY)

    @property
    def now(self) -> datetime:
        """When the last event was: questions are asked as of then."""
        return instant(int(self.facts.when.max()))
