"""A cube beside PFADD and INCRBY to keys named by hand: the same events, one server after the other of the same kind.

    PYTHONPATH=scripts target/venv/bin/python -m measure.cubes [--events N] [SERVER ...]

Events come as 14,000 an hour from 200,000 users with five dimensions of 2, 10, 50, 200 and 1,000 values, the frequent ones more
often. By hand means a PFADD and an INCRBY for the total and for each dimension's value in each of four tiers (hour, day, week, 30
days). Both are pipelined over one connection; told are events a second, time inside the server for each event, memory (of the
server, beyond what it has when it is empty), bytes of the database file, and for the cube the slowest ADDs and the time of some
questions.
"""

import argparse
import itertools
import os
import random
import socket
import sys
import time
from collections.abc import Iterable, Iterator

import redis

from local_server import Server

from .context import ROOT

CARDINALITIES = {"device": 2, "channel": 10, "country": 50, "campaign": 200, "category": 1000}
USERS = 200_000
AN_HOUR = 14_000
HOUR = 3_600_000
START = 1_763_942_400_000  # a midnight, UTC
BATCH = 2_000

Drawn = tuple[int, int, tuple[int, ...]]


def weights(count: int, exponent: float) -> list[float]:
    return list(itertools.accumulate((i + 1) ** -exponent for i in range(count)))


def draw(count: int) -> list[Drawn]:
    """Time, user, and the number of each dimension's value."""
    users = random.choices(range(USERS), cum_weights=weights(USERS, 0.8), k=count)
    values = [random.choices(range(n), cum_weights=weights(n, 1.0), k=count) for n in CARDINALITIES.values()]
    times = (START + i * HOUR // AN_HOUR for i in range(count))
    return list(zip(times, users, zip(*values)))


def encode(*words: object) -> bytes:
    texts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(text), text) for text in texts)


def by_hand(events: list[Drawn]) -> Iterator[bytes]:
    for at, user, values in events:
        hour = at // HOUR
        commands = []
        for tier, slice in (("1h", hour), ("1d", hour // 24), ("1w", hour // 168), ("30d", hour // 720)):
            keys = [f"shop:{tier}:{slice}"]
            keys += [f"shop:{tier}:{slice}:{name}:value-{value}" for name, value in zip(CARDINALITIES, values)]
            for key in keys:
                commands += [encode("PFADD", key, f"user:{user}"), encode("INCRBY", key + ":n", 1)]
        yield b"".join(commands)


def by_cube(events: list[Drawn]) -> Iterator[bytes]:
    for at, user, values in events:
        fields = [word for name, value in zip(CARDINALITIES, values) for word in (name, f"value-{value}")]
        yield encode("HLL.CUBE.ADD", "shop", at, f"user:{user}", *fields)


def by_cube_together(events: list[Drawn]) -> Iterator[bytes]:
    for start in range(0, len(events), 100):
        rows = events[start : start + 100]
        words = [word for at, user, values in rows for word in (at, f"user:{user}", *(f"value-{value}" for value in values))]
        yield encode("HLL.CUBE.MADD", "shop", "FIELDS", len(CARDINALITIES), *CARDINALITIES, "ROWS", *words)


def send(port: int, commands: Iterable[bytes], replies: int) -> float:
    """Seconds for all, each command with so many lines of replies."""
    batches = batched(list(commands))
    start = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for batch in batches:
            connection.sendall(b"".join(batch))
            left = len(batch) * replies
            while left > 0:
                left -= connection.recv(1 << 20).count(b"\n")
    return time.perf_counter() - start


def batched(items: list[bytes]) -> list[list[bytes]]:
    return [items[start : start + BATCH] for start in range(0, len(items), BATCH)]


def create(client: redis.Redis) -> None:
    words = [word for name, count in CARDINALITIES.items() for word in ("DIMENSION", name, "VALUES", count)]
    tiers = ["TIER", "1h", "48h", "TIER", "1d", "90d", "TIER", "1w", "53w", "TIER", "1mo", "36mo"]
    client.execute_command("HLL.CUBE.CREATE", "shop", *tiers, *words)


def measured(server: Server, commands: Iterable[bytes], count: int, replies: int) -> dict[str, float]:
    client = redis.Redis(port=server.port)
    client.config_resetstat()
    before = client.info("memory")["used_memory"]
    seconds = send(server.port, commands, replies)
    stats = client.info("commandstats")
    names = [name for name in stats if any(word in name.lower() for word in ("pfadd", "incrby", "hll.cube"))]
    slowest = [value for name, value in client.info("latencystats").items() if "hll.cube" in name.lower()]
    client.save()
    return {
        "events a second": count / seconds,
        "time in the server, µs an event": sum(stats[name]["usec"] for name in names) / count,
        "memory, MB": (client.info("memory")["used_memory"] - before) / 1e6,
        "database file, MB": os.path.getsize(os.path.join(client.config_get("dir")["dir"], client.config_get("dbfilename")["dbfilename"])) / 1e6,
        **({f"ADD, {name}, µs": value for name, value in slowest[0].items()} if slowest else {}),
    }


def questions(client: redis.Redis, at: int) -> Iterator[tuple[str, float]]:
    for question in (("COUNT", "shop", "LAST", "24h", "AT", at), ("COUNT", "shop", "LAST", "30d", "AT", at),
                     ("TOP", "shop", "category", 10, "LAST", "24h", "AT", at)):
        client.config_resetstat()
        for _ in range(50):
            client.execute_command(f"HLL.CUBE.{question[0]}", *question[1:])
        (stats,) = [value for name, value in client.info("commandstats").items() if "hll.cube" in name.lower()]
        yield " ".join(map(str, question[:1] + question[2:-2])), stats["usec_per_call"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="measure.cubes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", default=["redis-7.0"], help="names of scripts/servers (default: redis-7.0)")
    parser.add_argument("--events", type=int, default=200_000, help="how many (default: 200000)")
    parser.add_argument("--seed", type=int, default=1, help="of the events (default: 1)")
    options = parser.parse_args()
    module = str(ROOT / "target" / "release" / "libredis_hll.so")
    random.seed(options.seed)
    events = draw(options.events)
    for name in options.servers:
        binary = str(ROOT / "target" / "servers" / name)
        found: dict[str, dict[str, float]] = {}
        asked: list[tuple[str, float]] = []
        for way, commands, replies in (("by hand", by_hand, 48), ("ADD", by_cube, 1), ("MADD of 100", by_cube_together, 7)):
            with Server(binary, ROOT / "redis.conf", module) as server:
                client = redis.Redis(port=server.port)
                if commands is not by_hand:
                    create(client)
                found[way] = measured(server, commands(events), len(events), replies)
                if commands is by_cube:
                    asked = list(questions(client, events[-1][0]))
        print(f"\n{name}, {len(events):,} events\n\n| | " + " | ".join(found) + " |\n|---|" + "--:|" * len(found))
        for row in dict.fromkeys(row for column in found.values() for row in column):
            print(f"| {row} | " + " | ".join(f"{column[row]:,.2f}" if row in column else "" for column in found.values()) + " |")
        for what, micros in asked:
            print(f"| {what}, µs | | {micros:,.1f} | |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
