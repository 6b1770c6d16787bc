"""Loading: every event goes to the server as a client would send it, and into exact sets beside it.

An event is a row for the cube (cube.py), and is added to the sketches of its period (visitors:<period>) and of everybody
(visitors:all); where there is no cube, to those of its step and device too. The Python client (redis_hll) makes commands
with many rows and elements of them. Nothing is deduplicated on the way: a stream repeats itself, and that is the point.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from tqdm import tqdm

from redis_hll import HLL

from .events import Event

if TYPE_CHECKING:
    from .cube import Cube

ELEMENTS_TOGETHER = 48_000  # that are sorted by their keys and sent
LINE_SECONDS = 3  # between two lines of progress where there is no terminal


def visitors_key(period: str) -> str:
    return f"visitors:{period}"


ALL_KEY = "visitors:all"


def step_key(step: str) -> str:
    return f"step:{step}"


def device_key(device: str) -> str:
    return f"device:{device}"


def key_bytes(key: str) -> bytes:
    """A key as it is sent: names from files are bytes that need not be UTF-8."""
    return key.encode("utf-8", "surrogateescape")


class Exact:
    """Who was really there: a set of users for each key, and the names in the order in which they turned up."""

    def __init__(self) -> None:
        self.users: dict[str, set[bytes]] = defaultdict(set)
        self.periods: dict[str, None] = {}
        self.steps: dict[str, None] = {}
        self.devices: dict[str, None] = {}
        self.events = 0

    def keys_of(self, event: Event) -> list[str]:
        """The keys that the event counts for."""
        keys = [visitors_key(event.period), ALL_KEY]
        if event.step is not None:
            keys.append(step_key(event.step))
        if event.device is not None:
            keys.append(device_key(event.device))
        return keys

    def note(self, event: Event) -> list[str]:
        self.events += 1
        self.periods[event.period] = None
        if event.step is not None:
            self.steps[event.step] = None
        if event.device is not None:
            self.devices[event.device] = None
        keys = self.keys_of(event)
        for key in keys:
            self.users[key].add(event.user)
        return keys


class Sketches:
    """Adds users to sketches, many at a time. `seconds` is the time spent in the client and waiting for the server."""

    def __init__(self, hll: HLL) -> None:
        self._hll = hll
        self._pending: list[tuple[bytes, bytes]] = []
        self._names: dict[str, bytes] = {}
        self.elements = self.commands = 0
        self.seconds = 0.0

    def add(self, key: str, user: bytes) -> None:
        self._pending.append((self._names.get(key) or self._names.setdefault(key, key_bytes(key)), user))
        if len(self._pending) == ELEMENTS_TOGETHER:
            self.finish()

    def finish(self) -> None:
        """Sends what is waiting."""
        sent = self._hll.add_many_to(self._pending)
        self._pending = []
        self.elements, self.commands, self.seconds = self.elements + sent.elements, self.commands + sent.commands, self.seconds + sent.seconds


class Progress:
    """A bar on a terminal, a line every few seconds elsewhere. `total` is in events, or in bytes of the file."""

    def __init__(self, total: int) -> None:
        self._total = max(total, 1)
        self._begin = self._last = time.monotonic()
        self._bar = tqdm(total=self._total, desc="      loading", bar_format="{desc} {percentage:3.0f}%|{bar}| {unit}",
                         unit="", dynamic_ncols=True) if sys.stderr.isatty() else None

    def at(self, position: int, events: int) -> None:
        now = time.monotonic()
        rate = events / max(now - self._begin, 1e-9)
        if self._bar is not None:
            self._bar.unit = f"{events:,} events, {rate:,.0f} a second"
            self._bar.update(min(position, self._total) - self._bar.n)
        elif now - self._last >= LINE_SECONDS:
            self._last = now
            print(f"      {min(position / self._total, 1):4.0%}  {events:,} events, {rate:,.0f} a second", flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def load(hll: HLL, events: Iterable[Event], progress: Progress, position: Callable[[], int] | None = None,
         cube: "Cube | None" = None) -> tuple[Exact, Sketches]:
    """Sends all events, to the cube too if there is one. `position` says how far the source is where that is not the
    number of events."""
    exact, sketches = Exact(), Sketches(hll)
    where = position or (lambda: exact.events)

    def noted() -> Iterator[Event]:
        for event in events:
            keys = exact.note(event)
            if cube is not None:
                keys = keys[:2]  # steps and devices are columns of the cube
            for key in keys:
                sketches.add(key, event.user)
            if exact.events % 5000 == 0:
                progress.at(where(), exact.events)
            yield event
    try:
        if cube is not None:
            cube.load(noted())
        else:
            for _ in noted():
                pass
        sketches.finish()
        progress.at(where(), exact.events)
    finally:
        progress.close()
    return exact, sketches
