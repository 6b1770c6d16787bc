#!/usr/bin/env python3
"""A cube with more events than one node can take, as several cubes in any slots of a cluster.

Which part an event goes to is chosen by a hash of its *user*, so that every user is in one part with all of their events. Users of
different parts are different people: users, events, sums, and what is made of users one by one (funnels, retention) of the whole are
the sums over the parts. The errors of the parts are independent, so their squares add.

    hot_cube.py --port 7000

writes made-up events into four parts, asks them, shows what comes, and deletes them. Needs the package redis.
"""

import argparse
import math
import random
import zlib

import redis

PARTS = 4


class Name(str):
    """A command's name. redis-py 8 splits names at their dots to look up how a cluster answers, and raises where there are two of
    them; this one has no more than two parts. (The package redis-hll takes care of that by itself.)"""

    def lower(self):
        return Name(super().lower())

    def split(self, sep=None, maxsplit=-1):
        return super().split(sep, 1 if sep == "." else maxsplit)


def part_of(user, parts=PARTS):
    """The part that a user is in, for good: it must never change, and neither may the number of parts."""
    return zlib.crc32(str(user).encode()) % parts


def key(name, part):
    """The cube of a part. The number decides about the slot; parts spread over the nodes by themselves."""
    return f"{name}:{part}"


def create(client, name, *dimensions, parts=PARTS):
    for part in range(parts):
        client.execute_command(Name("HLL.CUBE.CREATE"), key(name, part), *dimensions)


def add(client, name, at, user, *values, parts=PARTS):
    client.execute_command(Name("HLL.CUBE.ADD"), key(name, part_of(user, parts)), at, user, *values)


def fields(reply):
    """A map of RESP3 or the flat list of RESP2, as a dict with text for names."""
    pairs = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2])
    return {name.decode() if isinstance(name, bytes) else name: value for name, value in pairs}


def ask(client, command, name, *question, parts=PARTS):
    """The same question to every part; their answers."""
    return [fields(client.execute_command(Name(command), key(name, part), *question)) for part in range(parts)]


def added(figures, name="unique"):
    """A figure of several parts, with its interval: (estimate, lower, upper). Half widths are added as squares."""
    estimate = sum(float(part[name]) for part in figures)
    below = math.sqrt(sum((float(part[name]) - float(part[f"{name}_lower"])) ** 2 for part in figures))
    above = math.sqrt(sum((float(part[f"{name}_upper"]) - float(part[name])) ** 2 for part in figures))
    return estimate, estimate - below, estimate + above


def by_value(client, name, dimension, *time, parts=PARTS):
    """For each value of a dimension: users with their interval, and events."""
    rows = {}
    for answer in ask(client, "HLL.CUBE.QUERY", name, *time, "BY", dimension, "METRICS", 2, "unique", "events", parts=parts):
        for row in map(fields, answer["rows"]):
            rows.setdefault(row[dimension], []).append(row)
    return {value: (added(some), sum(float(row["events"]) for row in some)) for value, some in rows.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7000, help="of any node")
    parser.add_argument("--users", type=int, default=2000)
    options = parser.parse_args()
    rng, name = random.Random(7), "hot:events"
    with redis.RedisCluster(host=options.host, port=options.port) as client:
        create(client, name, "DIMENSION", "country", "VALUES", 250)
        try:
            for number in range(options.users):
                for _ in range(rng.randrange(1, 4)):
                    add(client, name, "*", f"user:{number}", "country", rng.choice(["DE", "FR", "IT"]))
            (users, lower, upper) = added(ask(client, "HLL.CUBE.COUNT", name))
            print(f"{users:.0f} users ({lower:.0f} to {upper:.0f}), exactly {options.users}")
            for country, ((users, lower, upper), events) in sorted(by_value(client, name, "country", "LAST", "1d").items()):
                print(f"{country.decode()}: {users:.0f} users ({lower:.0f} to {upper:.0f}), {events:.0f} events")
        finally:
            for part in range(PARTS):
                client.delete(key(name, part))


if __name__ == "__main__":
    main()
