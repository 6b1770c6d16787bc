"""What a long run of ADDs sends to a replica and writes to the append-only file, in bytes per element added.

A real replica is attached and, in the end, must count what its primary counts. The elements are drawn from a million
users, so that after a while most are known: those change nothing, and what is sent for them is waste. In the Zipf run
some users come thousands of times and many never, as in most logs.
"""

import itertools
import random
import time
from collections.abc import Callable

import redis
from local_server import Server

from .compare import OURS, PF, Measure, Results, Side, Table, of_values
from .context import Context
from .wire import Connection, Elements, add_chunks, exchange

USERS = 1_000_000
DRAWN = 2_000_000
DRAWN_BY_ONES = 500_000
QUICK_SHARE = 50     # --quick draws so many times fewer, of so many times fewer
ZIPF = 1.1

TABLES = (
    Table("replication", "replication, bytes per element", (
        Measure("uniform-replica", "to a replica, 1,000 elements to an ADD, users equally often", digits=2),
        Measure("uniform-aof", "into the append-only file, the same", digits=2),
        Measure("zipf-replica", "to a replica, 1,000 elements to an ADD, some users far more often", digits=2),
        Measure("ones-replica", "to a replica, one element to an ADD, users equally often", digits=2),
    )),
)

# The file is written, and nothing else is sent to the replica.
PRIMARY = {"appendonly": "yes", "appendfsync": "no", "auto-aof-rewrite-percentage": "0",
           "repl-ping-replica-period": "3600", "repl-diskless-sync-delay": "0"}


def attach(context: Context, primary: Server) -> Server:
    return context.start({"replicaof": f"127.0.0.1 {primary.port}"})


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited a minute for {what}")
        time.sleep(0.02)


def sent(primary: redis.Redis) -> tuple[int, int]:
    """Bytes in the replication stream, and in the append-only file."""
    info = primary.info("replication") | primary.info("persistence")
    return int(info["master_repl_offset"]), int(info["aof_current_size"])


def draw(context: Context, users: list[bytes], count: int, zipf: bool) -> list[bytes]:
    rng = random.Random(context.seed)
    if not zipf:
        return rng.choices(users, k=count)
    weights = list(itertools.accumulate((rank ** -ZIPF for rank in range(1, len(users) + 1))))
    return rng.choices(users, cum_weights=weights, k=count)


def measure(context: Context) -> Results:
    share = QUICK_SHARE if context.quick else 1
    encoded = Elements(context.seed, USERS // share)
    users = [encoded.slice(i, i + 1) for i in range(encoded.count)]
    runs = (("uniform", DRAWN // share, 1_000, False), ("zipf", DRAWN // share, 1_000, True),
            ("ones", DRAWN_BY_ONES // share, 1, False))
    results: Results = {}
    with context.start(PRIMARY) as first, attach(context, first) as second, \
            first.client() as primary, second.client() as replica, Connection(first.port) as connection:
        wait_for(lambda: replica.info("replication")["master_link_status"] == "up", "the replica")
        wait_for(lambda: primary.info("persistence")["aof_rewrite_in_progress"] == 0, "the append-only file")
        for name, count, each, zipf in context.progress(runs, "replication"):
            drawn = draw(context, users, count, zipf)
            bytes_per_element = {}
            for side in (PF, OURS):
                key = side.key(name)
                before = sent(primary)
                exchange([connection], add_chunks(side.add, key, drawn, each))
                after = sent(primary)
                bytes_per_element[side] = [(now - then) / count for now, then in zip(after, before, strict=True)]
                wait_for(lambda end=after[0]: replica.info("replication")["slave_repl_offset"] >= end,
                         "the replica to catch up")
                if primary.execute_command(side.count, key) != replica.execute_command(side.count, key):
                    raise RuntimeError(f"{side.name}: the replica counts something else")
            results[f"{name}-replica"] = of_values(bytes_per_element[PF][0], bytes_per_element[OURS][0])
            if name == "uniform":
                results["uniform-aof"] = of_values(bytes_per_element[PF][1], bytes_per_element[OURS][1])
    return results
