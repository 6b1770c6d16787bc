"""How long ADD, MERGE and COUNT take on both sides, in one server process.

A case is run on PF and on this module by turns, with the same elements, and both again in the next round in the other
order. Of every run two things are kept: microseconds in the command (INFO commandstats, the sum divided by the calls,
as the quotient the server prints is rounded to hundredths), and commands per second as a client sees them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from .compare import OURS, PF, Aim, Measure, Results, Side, Table, at_most, of_runs, order
from .context import Context
from .wire import Chunk, Connection, Elements, add_head, adds, command, exchange, pieces

PIPELINE = 50
LANES = 4  # connections that send at a time, where the order does not matter
WITHOUT_AVX2 = ("redis-7.0", "redis-7.4")  # their PF merges registers one by one


@dataclass(frozen=True)
class Sizes:
    dense: int = 1_000_000      # elements in the key that is added to and counted
    ones: int = 50_000          # commands of one element in a run
    grown: int = 20_000         # elements of a key that grows from nothing by ones
    keys: int = 20_000          # keys that get one element each
    small: int = 50             # elements that each of them has
    thousands: int = 100        # commands of a thousand elements in a run
    fresh: int = 1_000_000      # elements of a key that grows from nothing by thousands
    united: int = 1_000         # keys in a large union
    each: int = 100_000         # elements in each of them
    unions: int = 5             # large unions in a run
    counts: int = 2_000         # counts of one or two keys in a run
    changes: int = 200          # counts of a key that changes in between
    tiny: int = 100             # elements in a small key that is counted


QUICK = Sizes(100_000, 5_000, 5_000, 1_000, 50, 10, 20_000, 100, 5_000, 2, 200, 20, 100)


@dataclass(frozen=True)
class Work:
    """What a run sends, and the command whose time is taken. In order means: over one connection."""

    command: str
    calls: int
    chunks: list[Chunk]
    in_order: bool = True


@dataclass
class Stage:
    """The server with the keys that the cases work on."""

    client: redis.Redis
    lanes: list[Connection]
    sizes: Sizes
    seed: int
    changing: dict[str, list[bytes]] = field(default_factory=dict)  # by key: encoded elements that change it in turn

    def load(self, chunks: list[Chunk]) -> None:
        exchange(self.lanes, chunks)

    def add(self, side: Side, name: str, elements: Elements) -> None:
        self.load(adds(side.add, side.key(name), elements, 1_000, 10))

    def fresh_copy(self, side: Side, name: str) -> str:
        """A copy of the key, so that every run starts from the same state."""
        key = side.key("work")
        self.client.copy(side.key(name), key, replace=True)
        return key

    def elements(self, label: str, number: int, count: int) -> Elements:
        return Elements(f"{self.seed}:{label}:{number}", count)


# ---- the cases ------------------------------------------------------------------------------------------------------


def add_one(stage: Stage, side: Side, number: int) -> Work:
    key = stage.fresh_copy(side, "dense")
    elements = stage.elements("one", number, stage.sizes.ones)
    return Work(side.add, elements.count, adds(side.add, key, elements, 1, PIPELINE), in_order=False)


def add_known(stage: Stage, side: Side, number: int) -> Work:
    """Elements the key has: nothing changes."""
    key = stage.fresh_copy(side, "dense")
    elements = Elements(f"{stage.seed}:dense:0", stage.sizes.ones)
    return Work(side.add, elements.count, adds(side.add, key, elements, 1, PIPELINE), in_order=False)


def add_one_growing(stage: Stage, side: Side, number: int) -> Work:
    key = side.key("grow")
    stage.client.unlink(key)
    elements = stage.elements("growing", number, stage.sizes.grown)
    return Work(side.add, elements.count, adds(side.add, key, elements, 1, PIPELINE), in_order=False)


def add_one_new_keys(stage: Stage, side: Side, number: int) -> Work:
    keys = [side.key(f"new:{i:06}") for i in range(stage.sizes.keys)]
    stage.load(pieces([command("UNLINK", key) for key in keys], 200))
    return _one_each(stage, side, number, keys)


def add_one_many_keys(stage: Stage, side: Side, number: int) -> Work:
    return _one_each(stage, side, number, [side.key(f"many:{i:06}") for i in range(stage.sizes.keys)])


def _one_each(stage: Stage, side: Side, number: int, keys: list[str]) -> Work:
    """One element into each key, in an order without locality: a stride that shares no factor with their number."""
    elements = stage.elements("many", number, len(keys))
    stride = 7_919
    shuffled = [keys[i * stride % len(keys)] for i in range(len(keys))]
    commands = [add_head(side.add, key, 1) + elements.slice(i, i + 1) for i, key in enumerate(shuffled)]
    return Work(side.add, len(keys), pieces(commands, PIPELINE), in_order=False)


def add_thousand(stage: Stage, side: Side, number: int) -> Work:
    key = stage.fresh_copy(side, "dense")
    elements = stage.elements("thousand", number, 1_000 * stage.sizes.thousands)
    return Work(side.add, stage.sizes.thousands, adds(side.add, key, elements, 1_000, 5), in_order=False)


def add_thousand_fresh(stage: Stage, side: Side, number: int) -> Work:
    key = side.key("grow")
    stage.client.unlink(key)
    elements = stage.elements("fresh", number, stage.sizes.fresh)
    return Work(side.add, elements.count // 1_000, adds(side.add, key, elements, 1_000, 5), in_order=False)


def _united(stage: Stage, side: Side) -> list[str]:
    return [side.key(f"united:{i:04}") for i in range(stage.sizes.united)]


def merge_into_new(stage: Stage, side: Side, _: int) -> Work:
    return _merge(stage, side, command("UNLINK", side.key("work")))


def merge_into_existing(stage: Stage, side: Side, _: int) -> Work:
    """The destination has elements that no source has, so that every merge changes it."""
    return _merge(stage, side, command("COPY", side.key("other"), side.key("work"), "REPLACE"))


def _merge(stage: Stage, side: Side, before: bytes) -> Work:
    merge = command(side.merge, side.key("work"), *_united(stage, side))
    return Work(side.merge, stage.sizes.unions, [Chunk(before, 1), Chunk(merge, 1)] * stage.sizes.unions)


def count_many(stage: Stage, side: Side, _: int) -> Work:
    count = command(side.count, *_united(stage, side))
    return Work(side.count, stage.sizes.unions, [Chunk(count, 1)] * stage.sizes.unions)


def _counts(stage: Stage, side: Side, *names: str) -> Work:
    count = command(side.count, *(side.key(name) for name in names))
    return Work(side.count, stage.sizes.counts, pieces([count] * stage.sizes.counts, PIPELINE))


def count_two(stage: Stage, side: Side, _: int) -> Work:
    return _counts(stage, side, "dense", "other")


def count_one(stage: Stage, side: Side, _: int) -> Work:
    return _counts(stage, side, "dense")


def count_merged(stage: Stage, side: Side, _: int) -> Work:
    return _counts(stage, side, "merged")


def count_tiny(stage: Stage, side: Side, _: int) -> Work:
    return _counts(stage, side, "tiny")


def count_changed(stage: Stage, side: Side, _: int) -> Work:
    return _changed(stage, side, "dense")


def count_merged_changed(stage: Stage, side: Side, _: int) -> Work:
    return _changed(stage, side, "merged")


def _changed(stage: Stage, side: Side, name: str) -> Work:
    """Before each count an ADD that changes the key: PF's remembered count is void, and computed anew."""
    key = stage.fresh_copy(side, name)
    commands = []
    for element in stage.changing[side.key(name)]:
        commands += [add_head(side.add, key, 1) + element, command(side.count, key)]
    return Work(side.count, len(commands) // 2, pieces(commands, PIPELINE))


@dataclass(frozen=True)
class Case:
    id: str
    label: str
    run: Callable[[Stage, Side, int], Work]
    time: Aim | None = None
    time_on: dict[str, Aim] = field(default_factory=dict)
    rate: Aim | None = None


_ADD_TIME, _ADD_RATE = at_most(1.0), Aim("at least", 0.98)
_UNION_TIME, _UNION_TIME_ON = at_most(0.5), {name: at_most(0.04) for name in WITHOUT_AVX2}
ADD = (
    Case("one", "one element, dense key", add_one, _ADD_TIME, rate=_ADD_RATE),
    Case("known", "one element that the dense key has", add_known, _ADD_TIME, rate=_ADD_RATE),
    Case("growing", "one element, key growing from empty to 20,000", add_one_growing, _ADD_TIME, rate=_ADD_RATE),
    Case("many", "one element, another small key each time", add_one_many_keys, _ADD_TIME, rate=_ADD_RATE),
    Case("new", "one element that makes a new key", add_one_new_keys, _ADD_TIME, rate=_ADD_RATE),
    Case("thousand", "1,000 elements, dense key", add_thousand, at_most(0.45)),
    Case("fresh", "1,000 elements, key growing from empty to a million", add_thousand_fresh),
)
UNION = (
    Case("merge", "MERGE of 1,000 keys into a new one", merge_into_new, _UNION_TIME, _UNION_TIME_ON),
    Case("into", "MERGE of 1,000 keys into an existing one", merge_into_existing, _UNION_TIME, _UNION_TIME_ON),
    Case("union", "COUNT of 1,000 keys", count_many, _UNION_TIME, _UNION_TIME_ON),
    Case("two", "COUNT of 2 keys", count_two, at_most(0.25)),
    Case("cached", "COUNT of a key that did not change", count_one, at_most(1.0)),
    Case("changed", "COUNT of a key after an ADD that changed it", count_changed),
    Case("merged", "COUNT of a merged key that did not change", count_merged),
    Case("merged-changed", "COUNT of a merged key after an ADD that changed it", count_merged_changed),
    Case("tiny", "COUNT of a key of 100 elements", count_tiny),
)


def _times(cases: tuple[Case, ...]) -> tuple[Measure, ...]:
    return tuple(Measure(f"{case.id}-us", case.label, case.time, case.time_on, digits=2) for case in cases)


def _rates(cases: tuple[Case, ...]) -> tuple[Measure, ...]:
    return tuple(Measure(f"{case.id}-rate", case.label, case.rate) for case in cases)


TABLES = (
    Table("add-time", "ADD, µs in the command", _times(ADD)),
    Table("add-rate", "ADD, commands per second", _rates(ADD)),
    Table("count-time", "MERGE and COUNT, µs in the command", _times(UNION)),
    Table("count-rate", "MERGE and COUNT, commands per second", _rates(UNION), None),
)


# ---- measuring ------------------------------------------------------------------------------------------------------


def prepare(stage: Stage, context: Context) -> None:
    sizes = stage.sizes
    for side in (PF, OURS):
        stage.add(side, "dense", stage.elements("dense", 0, sizes.dense))
        stage.add(side, "other", stage.elements("other", 0, sizes.dense))
        stage.add(side, "tiny", stage.elements("tiny", 0, sizes.tiny))
        stage.client.execute_command(side.merge, side.key("merged"), side.key("dense"), side.key("other"))
    for i in context.progress(range(sizes.united), "loading keys for large unions"):
        elements = stage.elements("united", i, sizes.each)
        for side in (PF, OURS):
            stage.add(side, f"united:{i:04}", elements)
    for i in range(sizes.keys):
        small = stage.elements("small", i, sizes.small)
        for side in (PF, OURS):
            stage.load(adds(side.add, side.key(f"many:{i:06}"), small, sizes.small, 1))
    for side in (PF, OURS):
        for name in ("dense", "merged"):
            stage.changing[side.key(name)] = _changing(stage, side, name)


def _changing(stage: Stage, side: Side, name: str) -> list[bytes]:
    """Elements of which each changes the key when they are added in this order: found by trying."""
    key, found, number = stage.fresh_copy(side, name), [], 0
    while len(found) < stage.sizes.changes:
        elements = stage.elements("changing", number, 1_000)
        number += 1
        tried = [elements.slice(i, i + 1) for i in range(elements.count)]
        pipeline = stage.client.pipeline(transaction=False)
        for element in tried:
            pipeline.execute_command(side.add, key, element.split(b"\r\n")[1])
        found += [element for element, changed in zip(tried, pipeline.execute(), strict=True) if changed]
    return found[: stage.sizes.changes]


def run(stage: Stage, work: Work) -> tuple[float, float]:
    """Microseconds in the command, and commands per second."""
    stage.client.config_resetstat()
    start = time.perf_counter()
    exchange(stage.lanes[:1] if work.in_order else stage.lanes, work.chunks)
    seconds = time.perf_counter() - start
    return microseconds(stage.client, work.command, work.calls), work.calls / seconds


def microseconds(client: redis.Redis, name: str, calls: int) -> float:
    """In the command, since CONFIG RESETSTAT, per call; of which there must have been as many as we think."""
    stats = {key.lower(): values for key, values in client.info("commandstats").items()}
    spent = stats[f"cmdstat_{name.lower()}"]
    if spent["calls"] != calls:
        raise RuntimeError(f"{name}: {spent['calls']} calls instead of {calls}")
    return float(spent["usec"]) / calls


def measure(context: Context) -> Results:
    with context.start() as server, server.client() as client:
        lanes = [Connection(server.port) for _ in range(LANES)]
        stage = Stage(client, lanes, QUICK if context.quick else Sizes(), context.seed)
        prepare(stage, context)
        taken: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for number in context.progress(range(context.rounds), f"speed, {context.rounds} rounds"):
            for case in ADD + UNION:
                for side in order(number):
                    work = case.run(stage, side, number)
                    taken.setdefault((case.id, side.name), []).append(run(stage, work))
        for lane in lanes:
            lane.__exit__()
    results: Results = {}
    for case in ADD + UNION:
        pf, ours = taken[case.id, PF.name], taken[case.id, OURS.name]
        results[f"{case.id}-us"] = of_runs([us for us, _ in pf], [us for us, _ in ours])
        results[f"{case.id}-rate"] = of_runs([rate for _, rate in pf], [rate for _, rate in ours])
    return results
