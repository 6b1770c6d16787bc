"""What a board costs: processor time of the board and of the server, with many viewers while many events come in.

    target/venv-client/bin/python clients/python/board_bench.py --module target/release/libredis_hll.so
    ... --events 1000000 --seconds 30        a shorter one

Starts a server of its own and sends it a cube of `--events` events of thirty days and 200,000 users. Then the board runs as
its users start it, `--viewers` streams look at all of its panels, and another process sends `--rate` events a second. For
`--seconds` these are measured:

* the board: processor time of its process, as a part of one core;
* the server: what INFO commandstats says that the commands took that the board sends (and nobody else here does), and the processor
  time of the module's worker threads, each as a part of one core;
* how soon an event shows: from ADD to the viewer, first with nothing else going on, then under load.

With --write the figures go into docs/board.md. They depend on the machine, and on what else runs there.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import redis  # noqa: E402 (the path comes first)
import servers  # noqa: E402

from redis_hll import HLL  # noqa: E402

DAYS, USERS, PAGES = 30, 200_000, 1000
STEPS = ["landing"] * 5 + ["product_view"] * 11 + ["add_to_cart"] * 2 + ["checkout", "purchase"]
DEVICES, CHANNELS = ["mobile"] * 6 + ["desktop"] * 3 + ["tablet"], ["search"] * 4 + ["direct"] * 3 + ["social", "newsletter", "affiliate"]
COUNTRIES = ["DE"] * 10 + [f"C{n}" for n in range(30)]
FIELDS = ("step", "device", "channel", "country", "page", "revenue")
ROWS = 500
PANELS = "now,today,7d,30d,series,figures,newcomers,list.page,list.country,list.device,list.channel,campaign,funnel,retention,state"
TICKS = os.sysconf("SC_CLK_TCK")
COLUMNS = 9  # of the cube: the total, five dimensions, two groups, and one to spare


def word(text: str) -> bytes:
    """A word of a command in the protocol."""
    data = text.encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)


class Maker:
    """Commands of rows, made of words that are ready."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._users = [word(f"visitor-{n:07d}") for n in range(USERS)]
        self._pages = [word(f"/page/{n}") for n in range(PAGES)]
        self._rest = [b"".join(map(word, (step, device, channel, country)))
                      for step, device, channel, country in ((self._random.choice(STEPS), self._random.choice(DEVICES), self._random.choice(CHANNELS),
                                                               self._random.choice(COUNTRIES)) for _ in range(5000))]
        self._revenue = [word("")] * 19 + [word("49.9")]

    def row(self, at: bytes) -> bytes:
        rng = self._random
        return b"".join((at, self._users[int(rng.random() * USERS)], self._rest[int(rng.random() * 5000)],
                         self._pages[int(rng.random() ** 3 * PAGES)], self._revenue[int(rng.random() * 20)]))

    def command(self, rows: list[bytes]) -> bytes:
        head = ["HLL.CUBE.MADD", "shop", "LATE", "DROP", "FIELDS", str(len(FIELDS)), *FIELDS, "ROWS"]
        return b"".join((b"*%d\r\n" % (len(head) + len(rows) * (2 + len(FIELDS))), *map(word, head), *rows))


class Wire:
    """A connection that sends commands of rows and counts their replies."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.settimeout(60)
        self._tail = b""

    def send(self, commands: list[bytes]) -> None:
        self._socket.sendall(b"".join(commands))
        left = len(commands)
        while left:
            data = self._tail + self._socket.recv(1 << 16)
            if b"-ERR" in data or b"-OOM" in data:
                raise SystemExit(f"the server said {data[:300]!r}")
            found = len(re.findall(rb"late\r\n:\d+\r\n", data))
            left -= found
            self._tail = data[data.rfind(b"late\r\n:"):] if not found else data[data.rfind(b"\r\n") + 2:]


def load(port: int, events: int) -> None:
    """A cube of so many events up to now, in the order of their times."""
    HLL(redis.Redis(port=port)).cube("shop").create(
        tiers=[("5m", "3h"), ("1h", "48h"), ("1d", "90d"), ("1w", "53w"), ("1mo", "36mo")], dimensions=FIELDS[:5], groups=["step,device", "step,channel"],
        measures=["revenue"], new=14, timezone="Europe/Berlin")
    maker, wire, now = Maker(1), Wire(port), time.time() * 1000
    step = DAYS * 86_400_000 / events
    # A row that begins a slice counts as sixty others, and a command may count ten thousand cells.
    rows = max(1, min(ROWS, int(10_000 / COLUMNS / (1 + 60 * min(1.0, step / 300_000)))))
    pending: list[bytes] = []
    for first in range(0, events, rows):
        pending.append(maker.command([maker.row(word(str(int(now - (events - n) * step)))) for n in range(first, min(first + rows, events))]))
        if len(pending) == 20 or first + rows >= events:
            wire.send(pending)
            pending = []
        if first % (rows * 2000) == 0:
            print(f"\r  {first:,} of {events:,} events", end="", file=sys.stderr, flush=True)
    print(f"\r  {events:,} events{' ' * 20}", file=sys.stderr)


def feed(port: int, rate: int) -> None:
    """Sends so many events a second until it is killed, and says each second how many there were."""
    maker, wire, size = Maker(2), Wire(port), max(1, min(ROWS, rate // 20))
    commands = [maker.command([maker.row(word("*")) for _ in range(size)]) for _ in range(200)]
    begin, sent, number = time.monotonic(), 0, 0
    while True:
        if (ahead := sent / rate - (time.monotonic() - begin)) > 0:
            time.sleep(ahead)
        wire.send([commands[number % len(commands)]])
        number, sent = number + 1, sent + size


def processor_seconds(pid: int, threads: str = "") -> float:
    """What a process has taken of processors, or of it the threads that are called so."""
    if not threads:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    total = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().startswith(threads):
            fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def asked(client: redis.Redis) -> tuple[int, float]:
    """How many commands the board has sent, and the seconds they took."""
    found = [about for name, about in client.info("commandstats").items() if name.lower().startswith("cmdstat_hll.") and not name.lower().endswith(("add", "create"))]
    return sum(about["calls"] for about in found), sum(about["usec"] for about in found) / 1e6


class Viewers(threading.Thread):
    """Streams that look at everything; what they read is counted, and of the first one the newest answers are kept."""

    def __init__(self, address: tuple[str, int], number: int) -> None:
        super().__init__(daemon=True)
        self.address, self.number, self.bytes, self.events = address, number, 0, 0
        self.unique: dict[str, float] = {}
        self.changed = threading.Condition()

    def run(self) -> None:
        asyncio.run(self._all())

    async def _all(self) -> None:
        await asyncio.gather(*(self._one(n) for n in range(self.number)))

    async def _one(self, number: int) -> None:
        reader, writer = await asyncio.open_connection(*self.address, limit=1 << 24)
        writer.write(f"GET /api/shop/stream?panels={PANELS} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                self.bytes += len(line)
                self.events += line.startswith(b"event: panel")
                if number == 0 and line.startswith(b"data: ") and b'"panel":"now"' in line:
                    answer = json.loads(line[6:])["answer"]
                    with self.changed:
                        self.unique["now"] = answer["events"]
                        self.changed.notify_all()

    def settle(self) -> None:
        """Waits until all first answers have come: nothing for twelve seconds, two minutes at most."""
        for _ in range(10):
            before = self.events
            time.sleep(12)
            if self.events == before:
                return

    def shows(self, events: float, seconds: float = 20) -> float:
        """Seconds until visitors now are of so many events, or more."""
        begin = time.monotonic()
        with self.changed:
            if not self.changed.wait_for(lambda: self.unique.get("now", -1) >= events, seconds):
                raise SystemExit("an event never showed")
        return time.monotonic() - begin


def showing(viewers: Viewers, client: redis.Redis, times: int) -> list[float]:
    """Seconds until an event shows, one after the other at odd moments."""
    found = []
    for number in range(times):
        time.sleep(0.3 + random.random())
        client.execute_command("HLL.CUBE.ADD", "shop", "*", f"somebody-{number}", "step", "landing")
        events = HLL(client).cube("shop").query(last="5m", metrics=["events"])[0].events or 0
        found.append(viewers.shows(events))
    return found


def measure(server: "servers.Server", client: redis.Redis, board: int, viewers: Viewers, seconds: float) -> dict[str, float]:
    """Shares of one core, and numbers a second."""
    def now() -> tuple[float, ...]:
        calls, took = asked(client)
        return (time.monotonic(), processor_seconds(board), took, processor_seconds(server.process.pid, "hll-worker"), calls, viewers.bytes, viewers.events,
                processor_seconds(server.process.pid), HLL(client).cube("shop").query(metrics=["events"])[0].events or 0)
    before = now()
    time.sleep(seconds)
    after = now()
    passed, *found = (b - a for a, b in zip(before, after, strict=True))
    names = ("board", "commands", "workers", "calls", "bytes", "answers", "server", "events")
    return dict(zip(names, (value / passed for value in found), strict=True))


def report(rows: list[tuple[str, dict[str, float]]], options: argparse.Namespace, name: str, shown: dict[str, list[float]]) -> str:
    head = "| | " + " | ".join(title for title, _ in rows) + " |\n|---|" + "--:|" * len(rows)
    lines = [head]
    for title, key, form in (("events that came in, a second", "events", "{:,.0f}"), ("processor of the board, of one core", "board", "{:.1%}"),
                             ("its commands in the server, of one core", "commands", "{:.1%}"), ("of that the module's other threads", "workers", "{:.1%}"),
                             ("all of the server, of one core", "server", "{:.1%}"), ("commands of the board, a second", "calls", "{:,.1f}"),
                             ("answers sent to a viewer, a second", "answers", "{:,.1f}")):
        lines.append(f"| {title} | " + " | ".join(form.format(found[key] / (options.viewers if key == "answers" else 1)) for _, found in rows) + " |")
    lines.append("| an event shows after, median, s | " + " | ".join(f"{statistics.median(shown[title]):.2f}" for title, _ in rows) + " |")
    lines.append("| after at most, s | " + " | ".join(f"{max(shown[title]):.2f}" for title, _ in rows) + " |")
    return "\n".join(lines) + (f"\n\n{options.events:,} events in the cube, {options.viewers} viewers, each row over {options.seconds:g} seconds; server "
                               f"{name}, Python {platform.python_version()}, {os.cpu_count()} cores.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", default=ROOT / "target/release/libredis_hll.so", type=Path)
    parser.add_argument("--server", default=ROOT / "target/servers/redis-8.2", type=Path)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--rate", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--write", action="store_true", help="put the table into docs/board.md")
    parser.add_argument("--feed", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.feed:
        feed(options.feed, options.rate)
    server = servers.Server(options.server.name, str(options.server), str(options.module.resolve())).start()
    processes: list[subprocess.Popen[str]] = []
    try:
        client = redis.Redis(port=server.port)
        load(server.port, options.events)
        board = subprocess.Popen([sys.executable, "-m", "redis_hll.cli.main", "board", "--url", f"redis://127.0.0.1:{server.port}", "--cube", "shop",
                                  "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True, preexec_fn=servers._die_with_parent)
        processes.append(board)
        assert board.stdout is not None
        found = re.search(r"http://([\d.]+):(\d+)", board.stdout.readline())
        assert found, "the board did not start"
        viewers = Viewers((found[1], int(found[2])), options.viewers)
        viewers.start()
        viewers.shows(0)
        viewers.settle()
        quiet = measure(server, client, board.pid, viewers, options.seconds / 2)
        shown = {"nothing comes in": showing(viewers, client, 10)}
        processes.append(subprocess.Popen([sys.executable, __file__, "--feed", str(server.port), "--rate", str(options.rate)], text=True,
                                          preexec_fn=servers._die_with_parent))
        time.sleep(15)
        busy = measure(server, client, board.pid, viewers, options.seconds)
        title = f"{options.rate:,} events a second"
        shown[title] = showing(viewers, client, 10)
        text = report([("nothing comes in", quiet), (title, busy)], options, options.server.name, shown)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)
        server.remove()
    print(text)
    if options.write:
        page = ROOT / "docs" / "board.md"
        changed, number = re.subn(r"(<!-- bench -->\n).*?(<!-- end -->)", lambda mark: f"{mark[1]}{text}\n{mark[2]}", page.read_text(encoding="utf-8"), flags=re.S)
        if number != 1:
            raise SystemExit(f"{page} has no place for the table")
        page.write_text(changed, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
