"""What one key takes in memory and in a DUMP, and how far its count is from the truth, by the number of its elements.

MEMORY USAGE is the server's figure for PF and the module's own for its keys. So the growth of used_memory, which the
allocator counts and neither side can embellish, stands beside it. Keys grow as they do in use, by one element at a time
up to 10,000, so that what is allocated in advance shows.
"""

import math
import time

import redis
from local_server import Server

from .compare import OURS, PF, Aim, Measure, Results, Side, Table, at_most, of_values
from .context import Context
from .wire import Connection, Elements, adds, exchange

SIZES = (1, 10, 30, 100, 300, 1_000, 1_500, 3_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES = (1, 100, 1_000, 3_000)
BY_ONES = 10_000          # up to so many elements a key grows by single ones, beyond by thousands
GROWTH_SIZES = tuple(n for n in SIZES if n <= 100_000)
GROWTH_ELEMENTS = 1_000_000   # elements in all the keys that used_memory is divided by ...
GROWTH_KEYS = (100, 10_000)   # ... of which there are at least and at most so many
SETS = ((10_000, 100), (100_000, 30), (1_000_000, 5))   # up to n elements, so many sets for the error of the count


def _usage_aim(n: int) -> Aim:
    if n <= 10:
        return Aim("more", 32)
    return at_most(1.6) if n < 1_500 else at_most(0.65) if n < 10_000 else at_most(0.62)


def _elements(n: int) -> str:
    return f"{n:,}"


USAGE = Table("memory-usage", "MEMORY USAGE, bytes, by number of elements",
              tuple(Measure(f"usage-{n}", _elements(n), _usage_aim(n)) for n in SIZES), "lines")
GROWTH = Table("memory-growth", "used_memory per key, bytes, by number of elements",
               tuple(Measure(f"growth-{n}", _elements(n), _usage_aim(n)) for n in GROWTH_SIZES), "lines")
DUMP = Table("dump", "DUMP, bytes, by number of elements",
             tuple(Measure(f"dump-{n}", _elements(n), at_most(0.45) if n >= 100_000 else None)
                   for n in SIZES if n >= 100), "lines")
ERROR = Table("error", "error of the count, %, by number of elements",
              tuple(Measure(f"error-{n}", _elements(n), digits=2) for n in SIZES), None)
TABLES = (USAGE, GROWTH, DUMP, ERROR)


def fill(connection: Connection, side: Side, key: str, elements: Elements) -> None:
    each = 1 if elements.count <= BY_ONES else 1_000
    exchange([connection], adds(side.add, key, elements, each, max(1_000 // each, 10)))


def measure(context: Context) -> Results:
    results: Results = {}
    sizes = QUICK_SIZES if context.quick else SIZES
    with context.start() as server, server.client() as client:
        for n in context.progress(sizes, "memory, bytes and counts by number of elements"):
            with Connection(server.port) as connection:
                results |= _one_size(context, connection, client, n)
    for n in context.progress([n for n in GROWTH_SIZES if n in sizes], "memory, growth of used_memory"):
        results[f"growth-{n}"] = of_values(_growth(context, PF, n), _growth(context, OURS, n))
    return results


def warm_up(server: Server, client: redis.Redis, side: Side) -> None:
    """What the first commands and the first connection take once and for all is not a key's."""
    with Connection(server.port) as connection:
        fill(connection, side, "warm", Elements("warm", 100))
        client.execute_command(side.count, "warm")
        client.delete("warm")
    wait_alone(client)


def wait_alone(client: redis.Redis) -> None:
    """Until the server has noticed that other connections are closed, and has freed their buffers."""
    while client.info("clients")["connected_clients"] > 1:
        time.sleep(0.01)


def _one_size(context: Context, connection: Connection, client: redis.Redis, n: int) -> Results:
    """Bytes of the first of several sets of n elements, and the root of the mean square error of the counts of all."""
    sets = next(count for limit, count in SETS if n <= limit)
    if context.quick:
        sets = 5
    squares = {PF: 0.0, OURS: 0.0}
    results: Results = {}
    for number in range(sets):
        elements = Elements(f"{context.seed}:{n}:{number}", n)
        for side in (PF, OURS):
            key = side.key("set")
            fill(connection, side, key, elements)
            squares[side] += (int(client.execute_command(side.count, key)) / n - 1) ** 2
        if number == 0:
            results[f"usage-{n}"] = of_values(*(client.memory_usage(side.key("set")) for side in (PF, OURS)))
            results[f"dump-{n}"] = of_values(*(len(client.dump(side.key("set"))) for side in (PF, OURS)))
        client.delete(PF.key("set"), OURS.key("set"))
    results[f"error-{n}"] = of_values(*(100 * math.sqrt(squares[side] / sets) for side in (PF, OURS)))
    return results


def _growth(context: Context, side: Side, n: int) -> float:
    """Growth of used_memory per key of n elements, in a server of its own that holds nothing else.

    It includes the key's name and its places in the tables of keys, as MEMORY USAGE does but for the latter.
    """
    keys = min(max(GROWTH_ELEMENTS // n, GROWTH_KEYS[0]), 100 if context.quick else GROWTH_KEYS[1])
    elements = Elements(f"{context.seed}:growth", n)
    with context.start() as server, server.client() as client:
        warm_up(server, client, side)
        before = int(client.info("memory")["used_memory"])
        with Connection(server.port) as connection:
            for i in range(keys):
                fill(connection, side, side.key(f"{i:06}"), elements)
        wait_alone(client)
        return (int(client.info("memory")["used_memory"]) - before) / keys
