"""Boards as their users have them: the program, started with its arguments, and clients of its addresses and streams."""

import contextlib
import json
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import httpx

from servers import _die_with_parent, wait_for

SECONDS = 20


class Board:
    """`redis-hll board` with these arguments; a context manager."""

    def __init__(self, url, *arguments, environment=None):
        self.line = [sys.executable, "-m", "redis_hll.cli.main", "board", "--url", url, "--listen", "127.0.0.1:0", *map(str, arguments)]
        self.environment = {**os.environ, **(environment or {})}
        self.streams = []

    def __enter__(self):
        self.process = subprocess.Popen(self.line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=self.environment, preexec_fn=_die_with_parent)
        first = self.process.stdout.readline()
        found = re.search(r"http://\S+", first)
        assert found, f"it said {first!r} and {self.process.stderr.read() if self.process.poll() is not None else ''}"
        self.said, self.address = first, found[0]
        self.client = httpx.Client(base_url=self.address, timeout=SECONDS)
        return self

    def __exit__(self, *_):
        for stream in self.streams:
            stream.close()
        self.client.close()
        self.process.terminate()
        self.errors = self.process.communicate(timeout=SECONDS)[1]

    def get(self, path, status=200, **options):
        """A document."""
        answer = self.client.get(path, **options)
        assert answer.status_code == status, answer.text
        return answer.json()

    def panel(self, name, dataset="shop", status=200, **parameters):
        return self.get(f"/api/{dataset}/{name}", status, params=parameters)

    def answer(self, name, **parameters):
        found = self.panel(name, **parameters)
        assert found["problem"] is None, found["problem"]
        return found["answer"]

    def stream(self, panels, dataset="shop", **parameters):
        found = Stream(self.address, f"/api/{dataset}/stream", {"panels": panels, **parameters})
        self.streams.append(found)
        return found


class Stream:
    """A viewer: events come in by a thread, and are waited for here."""

    def __init__(self, address, path, parameters, headers=None):
        self._client = httpx.Client(base_url=address, timeout=httpx.Timeout(SECONDS, read=60))
        self._events = queue.Queue()
        self.bytes, self._socket = 0, None
        self._thread = threading.Thread(target=self._read, args=(path, parameters, headers), daemon=True)
        self._thread.start()

    def _read(self, path, parameters, headers):
        with contextlib.suppress(httpx.HTTPError, RuntimeError, OSError, AttributeError):
            with self._client.stream("GET", path, params=parameters, headers=headers) as response:
                self.status, self.headers, kind = response.status_code, response.headers, None
                self._socket = response.extensions["network_stream"].get_extra_info("socket")
                for line in response.iter_lines():
                    self.bytes += len(line) + 1
                    if line.startswith("event: "):
                        kind = line.removeprefix("event: ")
                    elif line.startswith("data: "):
                        self._events.put((kind, json.loads(line.removeprefix("data: "))))
        self._events.put(("end", None))

    def next(self, seconds=SECONDS):
        """The next event: its kind and its document. Raises queue.Empty."""
        return self._events.get(timeout=seconds)

    def until(self, condition, seconds=SECONDS):
        """The document of the first event for which this holds."""
        end = time.monotonic() + seconds
        while True:
            kind, document = self.next(max(0.01, end - time.monotonic()))
            if condition(kind, document):
                return document
            assert kind != "end", "the stream has ended"

    def panel(self, name, condition=lambda answer: True):
        """The next answer of a panel for which this holds."""
        return self.until(lambda kind, document: kind == "panel" and document["panel"] == name and document["answer"] is not None
                          and condition(document["answer"]))

    def quiet(self, seconds):
        """All that comes within this time."""
        found, end = [], time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                found.append(self.next(left))
        return found

    def close(self):
        """Goes away, as a closed tab does."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(SECONDS)
        self._client.close()


def away_from_border(seconds):
    """Waits until no slice of five minutes has ended shortly before, or ends within so many seconds: visitors now would be others, and the
    board looks again until ten seconds after it."""
    slice_, after = 300, 12
    since = time.time() % slice_
    if since < after:
        time.sleep(after - since)
    elif slice_ - since < seconds:
        time.sleep(slice_ - since + after)


def calls(server, command):
    """How often the server has been given a command."""
    told = {name.lower(): about for name, about in server.info(section="commandstats").items()}
    found = re.search(r"calls=(\d+)", told.get(f"cmdstat_{command.lower()}", ""))
    return int(found[1]) if found else 0


def fill(hll, key="shop", users=300, days=20, now=None, zone="Europe/Berlin"):
    """A shop with events of some days up to now: five steps, three devices, two channels, four pages, money."""
    now = now or datetime.now(UTC)
    cube = hll.cube(key)
    cube.create(tiers=[("5m", "3h"), ("1h", "48h"), ("1d", "90d"), ("1w", "53w"), ("1mo", "36mo")], dimensions=["step", "device", "channel", "page"],
                groups=["step,device", "step,channel", "device,channel"], measures=["cost", "revenue"], new=14, timezone=zone)
    steps = ("landing", "product_view", "add_to_cart", "checkout", "purchase")
    rows = []
    for day in range(days, -1, -1):
        for number in range(users if day else users // 3):
            at = now - timedelta(days=day, minutes=1 + number % 240 if day else number % 4, seconds=1)
            user = f"u{(number * 7 + day * 31) % (users * 2)}"
            device, channel = ("mobile", "desktop", "tablet")[number % 5 % 3], ("search", "social")[number % 3 % 2]
            for place in range(1 + (number % 16).bit_length()):
                rows.append((user, at, steps[place], device, channel, f"/{number % 4}", 0.25 if place == 0 else None, 19.5 if place == 4 else None))
    cube.add_many(rows, fields=["step", "device", "channel", "page", "cost", "revenue"])
    return cube


__all__ = ["Board", "Stream", "away_from_border", "calls", "fill", "wait_for"]
