"""How long another client waits while a long answer is being made: its longest PING, for every kind of answer.

    PYTHONPATH=scripts target/venv/bin/python -m measure.waits [--module PATH ...] [--rounds N] [SERVER ...]

A client sends PING after PING on a connection of its own, from a process of its own; another one asks, some rounds long. Told
are the median and the largest of the rounds' longest PINGs, and the median of the time that the answer took. What else the
machine does counts too: the first line, in which nobody asks, tells how much that is. With several modules their figures stand
side by side. The servers are those of scripts/servers.
"""

import argparse
import multiprocessing
import os
import socket
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event

import redis

from local_server import Server

from .context import ROOT

Question = tuple[str, ...]

# Long enough for the largest table here, on a slow machine.
PATIENCE_SECONDS = 300


def pings(port: int, stop: Event, longest: "multiprocessing.Queue[float]", pause: float = 0.0) -> None:
    """Pings until it is told to stop, and tells the longest. In pauses of so many seconds others have the processors."""
    worst = 0.0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        longest.put(0.0)  # ready
        while not stop.is_set():
            start = time.perf_counter()
            connection.sendall(b"PING\r\n")
            connection.recv(64)
            worst = max(worst, time.perf_counter() - start)
            if pause:
                time.sleep(pause)
    longest.put(worst)


def add(client: redis.Redis, key: str, numbers: range, precision: int) -> None:
    client.execute_command("HLL.CREATE", key, "PRECISION", precision)
    for start in range(0, len(numbers), 5_000):
        client.execute_command("HLL.ADD", key, *numbers[start : start + 5_000])


def numbered(name: str, count: int) -> list[str]:
    return [f"{name}{i}" for i in range(count)]


def load(client: redis.Redis) -> None:
    """Keys of each kind, that overlap by a half with their neighbours."""
    for name, precision, size, count in (("s18-", 18, 65_000, 128), ("s16-", 16, 16_000, 128), ("s13-", 13, 2_000, 128),
                                         ("d18-", 18, 200_000, 16), ("d14-", 14, 50_000, 16)):
        for i in range(count):
            begin = i * size // 2
            add(client, f"{name}{i}", range(begin, begin + size), precision)
    for i in range(16, 128):
        for name in ("d18-", "d14-"):
            client.copy(f"{name}{i % 16}", f"{name}{i}")
    add(client, "d4", range(1_000), 4)
    client.pfadd("pf0", *range(50_000))
    for i in range(1, 128):
        client.copy("pf0", f"pf{i}")


def questions() -> Iterator[tuple[str, Question]]:
    yield "nothing", ("PING",)
    for name, what in (("s13-", "sparse, p = 13, 2,000 elements"), ("s16-", "sparse, p = 16, 16,000 elements"),
                       ("s18-", "sparse, p = 18, 65,000 elements"), ("d14-", "dense, p = 14"), ("d18-", "dense, p = 18"),
                       ("pf", "PF keys")):
        keys = numbered(name, 128)
        yield f"RETENTION 64 × 64 ({what})", ("HLL.RETENTION", "COHORTS", "64", *keys[:64], "PERIODS", "64", *keys[64:])
        yield f"OVERLAP 64 ({what})", ("HLL.OVERLAP", "64", *keys[:64])
        yield f"SEGMENT ANY 64 NONE 64 ({what})", ("HLL.SEGMENT", "ANY", "64", *keys[:64], "NONE", "64", *keys[64:])
        yield f"INTERSECT 8 ({what})", ("HLL.INTERSECT", "8", *keys[:8])
        yield f"FUNNEL 8 ({what})", ("HLL.FUNNEL", "8", *keys[:8])
        yield f"COUNT of 128 ({what})", ("HLL.COUNT", *keys)
    yield "OVERLAP of one dense p = 4 and twelve sparse p = 18", ("HLL.OVERLAP", "13", "d4", *numbered("s18-", 12))
    yield "INTERSECT of the same, eight", ("HLL.INTERSECT", "8", "d4", *numbered("s18-", 7))
    yield "CAMPAIGN (dense, p = 18)", ("HLL.CAMPAIGN", *numbered("d18-", 3))


def watched(port: int, ask: Callable[[], object], seconds: float = 0.0) -> tuple[float, list[float]]:
    """The longest PING of another client while this is asked, again and again for so long, and how long each answer took; seconds."""
    stop, longest = multiprocessing.Event(), multiprocessing.Queue()
    pinging = multiprocessing.Process(target=pings, args=(port, stop, longest))
    pinging.start()
    longest.get()
    took: list[float] = []
    try:
        end = time.perf_counter() + seconds
        while not took or time.perf_counter() < end:
            start = time.perf_counter()
            ask()
            took.append(time.perf_counter() - start)
        time.sleep(0.02)
    finally:
        stop.set()
        worst = longest.get()
        pinging.join()
    return worst, took


def ask(server: Server, client: redis.Redis, question: Question) -> tuple[float, float]:
    """The longest PING of another client meanwhile, and how long it took; seconds."""
    worst, (took,) = watched(server.port, lambda: client.execute_command(*question))
    return worst, took


def main() -> int:
    parser = argparse.ArgumentParser(prog="measure.waits", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", default=["redis-7.0"], help="names of scripts/servers (default: redis-7.0)")
    parser.add_argument("--module", action="append", help="a module to measure (default: target/release)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each question is asked (default: 3)")
    options = parser.parse_args()
    modules = options.module or [str(ROOT / "target" / "release" / "libredis_hll.so")]
    for name in options.servers:
        columns: list[list[tuple[float, float, float]]] = []
        for module in map(os.path.abspath, modules):
            binary = str(ROOT / "target" / "servers" / name)
            with Server(binary, ROOT / "redis.conf", module) as server:
                client = redis.Redis(port=server.port, socket_timeout=PATIENCE_SECONDS)
                load(client)
                column = []
                for what, question in questions():
                    taken = [ask(server, client, question) for _ in range(options.rounds)]
                    worst = [worst for worst, _ in taken]
                    column.append((statistics.median(worst), max(worst), statistics.median(took for _, took in taken)))
                    print(f"      {name}, {what}: " + ", ".join(f"{figure * 1e3:.1f}" for figure in column[-1]), file=sys.stderr)
                columns.append(column)
        heads = " longest PING, median, ms | largest | answer, ms |" * len(modules)
        print(f"\n{name}\n\n| question |{heads}\n|---|{'--:|--:|--:|' * len(modules)}")
        for row, (what, _) in enumerate(questions()):
            cells = "".join("".join(f" {figure * 1e3:,.1f} |" for figure in column[row]) for column in columns)
            print(f"| {what} |{cells}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
