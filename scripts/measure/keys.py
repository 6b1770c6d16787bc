"""What very many small keys take: up to a million of 1 to 100 elements each.

Resident memory is what the machine must have, with the allocator's waste in it, so each side is measured in a process
of its own, in which nothing was ever freed. Keys grow side by side, ten elements at a time, a thousand keys in turn, as
they would in use: what a key outgrows lies between other keys, and is used again or not.
"""

import random
from pathlib import Path

from .compare import OURS, PF, Aim, Measure, Results, Side, Table, at_most, of_values
from .context import Context
from .memory import fill
from .wire import Connection, Elements, add_head, command, exchange, pieces

COUNTS = (10_000, 100_000, 1_000_000)
QUICK_COUNTS = (10_000,)
MILLION_ON = ("redis-8.2",)   # elsewhere the largest number is left out, as filling takes half a minute a side
LARGEST = 100
STEP = 10
TURN = 1_000

TABLES = (
    Table("keys", "many keys of 1 to 100 elements, bytes per key", (
        *(Measure(f"resident-{count}", f"{count:,} keys, resident memory", at_most(1.25)) for count in COUNTS),
        *(Measure(f"used-{count}", f"{count:,} keys, used_memory") for count in COUNTS),
        Measure("resident-trend", "resident memory per key, most keys to fewest", Aim("itself", 1.05), digits=2),
    )),
)


def turn(rng: random.Random, side: Side, first: int, seed: int) -> list[bytes]:
    """The commands that make the next thousand keys."""
    sizes = [rng.randint(1, LARGEST) for _ in range(TURN)]
    elements = Elements(f"{seed}:{first}", sum(sizes))
    heads = [[add_head(side.add, f"user:{first + i:07}", n) for n in range(STEP + 1)] for i in range(TURN)]
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    return [
        heads[i][min(STEP, sizes[i] - at)] + elements.slice(starts[i] + at, starts[i] + min(at + STEP, sizes[i]))
        for at in range(0, LARGEST, STEP) for i in range(TURN) if at < sizes[i]
    ]


def resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1_024
    raise RuntimeError(f"the size of process {pid} is not known")


def grow(context: Context, side: Side, counts: tuple[int, ...]) -> dict[int, tuple[float, float]]:
    """Resident and used bytes per key, at each of the counts."""
    rng = random.Random(context.seed)
    per_key = {}
    with context.start() as server, server.client() as client, Connection(server.port) as connection:
        # What the first key and a busy connection take, code that is read from disk included, is there already.
        fill(connection, side, "warm", Elements("warm", LARGEST))
        client.delete("warm")
        exchange([connection], pieces([command("PUBLISH", "nobody", "x" * 300)] * 2_000, 200))
        used, size = client.info("memory")["used_memory"], resident(server.pid)
        for first in context.progress(range(0, counts[-1], TURN), f"{counts[-1]:,} keys of {side.name}"):
            exchange([connection], pieces(turn(rng, side, first, context.seed), 200))
            done = first + TURN
            if done in counts:
                used_now = client.info("memory")["used_memory"]
                per_key[done] = ((resident(server.pid) - size) / done, (used_now - used) / done)
    return per_key


def measure(context: Context) -> Results:
    counts = QUICK_COUNTS if context.quick else COUNTS if context.server in MILLION_ON else COUNTS[:-1]
    pf, ours = grow(context, PF, counts), grow(context, OURS, counts)
    results: Results = {}
    for count in counts:
        results[f"resident-{count}"] = of_values(pf[count][0], ours[count][0])
        results[f"used-{count}"] = of_values(pf[count][1], ours[count][1])
    if len(counts) > 1:
        results["resident-trend"] = of_values(*(side[counts[-1]][0] / side[counts[0]][0] for side in (pf, ours)))
    return results
