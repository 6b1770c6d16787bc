"""Loading: every event goes to the server as a client would send it, and into exact sets beside it.

An event is a row for the cube (cube.py), and is added to the sketches of its period (visitors:<period>) and of everybody
(visitors:all); where there is no cube, to those of its step and device too. Elements are collected for each key and sent
as one HLL.ADD with many elements; several such commands travel in one pipeline. Nothing is deduplicated on the way: a
stream repeats itself, and that is the point.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import redis
from tqdm import tqdm

from .events import Event

if TYPE_CHECKING:
    from .cube import Cube

ELEMENTS_PER_COMMAND = 500
ELEMENTS_PER_PIPELINE = 20_000
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


class Loader:
    """Sends elements in batches. `seconds` is the time spent waiting for the server and the client library."""

    def __init__(self, client: redis.Redis) -> None:
        self._pipeline = client.pipeline(transaction=False)
        self._pending: dict[str, list[bytes]] = defaultdict(list)
        self._queued = 0
        self.elements = 0
        self.commands = 0
        self.seconds = 0.0

    def add(self, key: str, user: bytes) -> None:
        batch = self._pending[key]
        batch.append(user)
        if len(batch) == ELEMENTS_PER_COMMAND:
            self._queue(key, batch)
            self._pending[key] = []

    def _queue(self, key: str, batch: list[bytes]) -> None:
        self._pipeline.execute_command("HLL.ADD", key_bytes(key), *batch)
        self._queued += len(batch)
        self.elements += len(batch)
        self.commands += 1
        if self._queued >= ELEMENTS_PER_PIPELINE:
            self._send()

    def _send(self) -> None:
        begin = time.perf_counter()
        self._pipeline.execute()
        self.seconds += time.perf_counter() - begin
        self._queued = 0

    def finish(self) -> None:
        for key, batch in self._pending.items():
            if batch:
                self._queue(key, batch)
        self._pending.clear()
        self._send()


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


def load(client: redis.Redis, events: Iterable[Event], progress: Progress, position: Callable[[], int] | None = None,
         cube: "Cube | None" = None) -> tuple[Exact, Loader]:
    """Sends all events, to the cube too if there is one. `position` says how far the source is where that is not the
    number of events."""
    exact, loader = Exact(), Loader(client)
    where = position or (lambda: exact.events)
    try:
        for event in events:
            keys = exact.note(event)
            if cube is not None:
                cube.add(event)
                keys = keys[:2]  # steps and devices are columns of the cube
            for key in keys:
                loader.add(key, event.user)
            if exact.events % 5000 == 0:
                progress.at(where(), exact.events)
        loader.finish()
        if cube is not None and exact.events:
            cube.finish()
        progress.at(where(), exact.events)
    finally:
        progress.close()
    return exact, loader
