"""Saving and loading 100,000 keys of mixed sizes: the file's bytes, and the time of SAVE and of a restart.

Each side has a server process of its own, of the same program and both with the module loaded, as a file can only be
measured whole. The sizes of the keys are log-uniform from 1 to 20,000 elements: as many of 1 to 10 as of 1,000 to
10,000. Of every distinct key there are 50 copies; both sides compress every key by itself, so that copies cost what
others would.
"""

import random
import re
import time

from local_server import Server

from .compare import OURS, PF, Measure, Results, Side, Table, at_most, of_runs, of_values, order
from .context import Context
from .wire import Connection, Elements, adds, command, exchange, pieces

KEYS = 100_000
COPIES = 50
LARGEST = 20_000
REPETITIONS = 4  # an even number: each side goes first equally often
TABLES = (
    Table("rdb", "saving and loading 100,000 keys of mixed sizes", (
        Measure("rdb-bytes", "bytes of the RDB file, millions", at_most(0.5), digits=1),
        Measure("rdb-save", "SAVE, seconds", at_most(1.0), digits=2),
        Measure("rdb-load", "loading at start, seconds", at_most(1.0), digits=2),
    )),
)


def fill(context: Context, side: Side, server: Server, keys: int) -> None:
    rng = random.Random(context.seed)
    distinct = keys // COPIES
    with Connection(server.port) as connection:
        for i in context.progress(range(distinct), f"persistence, filling {side.name}"):
            elements = Elements(f"{context.seed}:{i}", round(LARGEST ** rng.random()))
            exchange([connection], adds(side.add, f"{i:04}:00", elements, min(elements.count, 1_000), 10))
        copies = [command("COPY", f"{i:04}:00", f"{i:04}:{n:02}") for n in range(1, COPIES) for i in range(distinct)]
        exchange([connection], pieces(copies, 200))


def save(server: Server) -> float:
    with server.client() as client:
        start = time.perf_counter()
        client.save()
        return time.perf_counter() - start


def load(server: Server, keys: int) -> float:
    """Restarts the server and takes its own word for how long loading took."""
    server.restart()
    with server.client() as client:
        if client.dbsize() != keys:
            raise RuntimeError(f"{client.dbsize()} keys came back instead of {keys}")
    lines = re.findall(r"DB loaded from disk: ([0-9.]+) seconds", server.log.read_text(errors="replace"))
    return float(lines[-1])


def measure(context: Context) -> Results:
    keys = 2_000 if context.quick else KEYS
    saved: dict[Side, list[float]] = {PF: [], OURS: []}
    loaded: dict[Side, list[float]] = {PF: [], OURS: []}
    with context.start() as first, context.start() as second:
        servers = {PF: first, OURS: second}
        for side, server in servers.items():
            fill(context, side, server, keys)
        for number in context.progress(range(2 if context.quick else REPETITIONS), "persistence, saving and loading"):
            for side in order(number):
                saved[side].append(save(servers[side]))
            for side in order(number):
                loaded[side].append(load(servers[side], keys))
        bytes_of = {side: (server.directory / "dump.rdb").stat().st_size for side, server in servers.items()}
    return {
        "rdb-bytes": of_values(bytes_of[PF] / 1e6, bytes_of[OURS] / 1e6),
        "rdb-save": of_runs(saved[PF], saved[OURS]),
        "rdb-load": of_runs(loaded[PF], loaded[OURS]),
    }
