"""What the commands on several sets cost, as a multiple of one PFCOUNT of two dense keys, which is all that PF can do.

A funnel of five steps of 10^6, 4*10^5, 10^5, 4*10^4 and 2*10^4 users, a fifth of each having skipped the step before,
is loaded into PF keys and into sketches of the default precision. Then the questions are asked in turn, round by round,
in the next round in the opposite order; of every round the ratio to that round's PFCOUNT is kept.
"""

import random

import redis

from .compare import OURS, PF, Measure, Results, Table, at_most, of_runs
from .context import Context
from .speed import microseconds
from .wire import Connection, Elements, add_chunks, exchange

STEPS = (1_000_000, 400_000, 100_000, 40_000, 20_000)
QUICK_STEPS = tuple(size // 20 for size in STEPS)
CALLS = 50
BASE = (PF.count, "p:0", "p:1")
QUESTIONS = (
    (Measure("set-one", "count of one key", digits=1), ("HLL.COUNT", "h:0")),
    (Measure("set-two", "count of the union of two keys", digits=1), ("HLL.COUNT", "h:0", "h:1")),
    (Measure("set-both", "intersection of two", at_most(3), digits=1), ("HLL.INTERSECT", "2", "h:0", "h:1")),
    (Measure("set-three", "funnel of three steps", at_most(25), digits=1), ("HLL.FUNNEL", "3", "h:0", "h:1", "h:2")),
    (Measure("set-five", "funnel of five steps", at_most(60), digits=1),
     ("HLL.FUNNEL", "5", "h:0", "h:1", "h:2", "h:3", "h:4")),
)
TABLES = (
    Table("sets", "several sets, µs in the command (PF: PFCOUNT of two keys)",
          tuple(measure for measure, _ in QUESTIONS)),
)


def load(connection: Connection, seed: int, steps: tuple[int, ...]) -> None:
    """The steps: of each, four fifths come from the step before and the others never did it."""
    rng = random.Random(seed)
    before: list[bytes] = []
    for step, size in enumerate(steps):
        users = before[: size * 4 // 5]
        new = Elements(f"{seed}:{step}", size - len(users))
        users += [new.slice(i, i + 1) for i in range(new.count)]
        for side in (PF, OURS):
            exchange([connection], add_chunks(side.add, side.key(str(step)), users, 1_000))
        rng.shuffle(users)
        before = users


def time_of(client: redis.Redis, question: tuple[str, ...]) -> float:
    client.config_resetstat()
    pipeline = client.pipeline(transaction=False)
    for _ in range(CALLS):
        pipeline.execute_command(*question)
    pipeline.execute()
    return microseconds(client, question[0], CALLS)


def measure(context: Context) -> Results:
    asked = [("base", BASE)] + [(measure.id, question) for measure, question in QUESTIONS]
    taken: dict[str, list[float]] = {name: [] for name, _ in asked}
    with context.start() as server, server.client() as client:
        with Connection(server.port) as connection:
            load(connection, context.seed, QUICK_STEPS if context.quick else STEPS)
        for number in context.progress(range(context.rounds), f"several sets, {context.rounds} rounds"):
            for name, question in asked[:: 1 if number % 2 == 0 else -1]:
                taken[name].append(time_of(client, question))
    return {measure.id: of_runs(taken["base"], taken[measure.id]) for measure, _ in QUESTIONS}
