"""Cubes beside PFADD and INCRBY to keys named by hand, with ten million events: the goals of cubes, measured by one command.

    scripts/bench --cubes [--events N] [--parts PART,...] [SERVER ...]

Parts: `plain` and `pages` send all events in order, by hand and into a cube, without and with a dimension of 100,000 pages;
`orders` sends them into cubes with pages as a backfill of a year in random order, and with forty days of silence in the middle;
`waits` asks everything of a cube with pages and steps, and tells how long others wait (measure/cube_waits.py).

By hand means a PFADD and an INCRBY for the total and for each dimension's value, in each of four tiers (hour, day, week, 30 days),
or in the tier of an hour alone, which then has to be united on reading. All is pipelined over one connection by a program of its
own (benches/events.rs). Memory is that of the server beyond what it has when it is empty. Times of commands are the server's own
(INFO commandstats and latencystats, and its slow log, which has all commands above 1 ms); of answers that other threads make it
is the client's.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import redis
from local_server import ServerError

from . import cube_waits
from .stream import KEY, Plan, counted, create, described, feed, long_answers, newest, prepare, saved_bytes, settled, start, statistics_of, told
from .wire import WireError

SERVERS = ("redis-7.0", "redis-8.2", "valkey-9.1")
PARTS = ("plain", "pages", "orders", "waits")

# What a way is called, and the commands it sends; the last one is that whose times are told.
WAYS = {
    "hand": ("PF by hand, four tiers", ("pfadd", "incrby")),
    "hand-hours": ("PF by hand, hours", ("pfadd", "incrby")),
    "add": ("cube, ADD", ("hll.cube.add",)),
    "madd": ("cube, MADD of 100", ("hll.cube.madd",)),
}
PERCENTILES = {"p50": "half of", "p99": "99 % of", "p99.9": "99.9 % of", "p99.99": "99.99 % of", "p100": "all"}

# Title and command; those about pages are left out where there are none.
QUESTIONS = (
    ("COUNT, 24 h", "HLL.CUBE.COUNT shop LAST 24h AT {at}"),
    ("COUNT, 30 d", "HLL.CUBE.COUNT shop LAST 30d AT {at}"),
    ("TOP 10 of 1,000 categories, 24 h", "HLL.CUBE.TOP shop category 10 LAST 24h AT {at}"),
    ("TOP 10 of 1,000 categories, 30 d", "HLL.CUBE.TOP shop category 10 LAST 30d AT {at}"),
    ("TOP 10 of 100,000 pages, 24 h", "HLL.CUBE.TOP shop page 10 LAST 24h AT {at}"),
    ("TOP 10 of 100,000 pages, 30 d", "HLL.CUBE.TOP shop page 10 LAST 30d AT {at}"),
    ("SERIES of days, 30 d", "HLL.CUBE.SERIES shop BUCKET 1d LAST 30d AT {at}"),
    ("QUERY BY country, 30 d", "HLL.CUBE.QUERY shop LAST 30d AT {at} BY country"),
)
ASKED = 50           # times at most that each is asked ...
ASKED_SECONDS = 5.0  # ... and seconds

Figures = dict[str, float]


class Told(NamedTuple):
    """How long an answer took: in the server, or for the client if other threads made it. Microseconds."""

    micros: float
    in_background: bool

    def __str__(self) -> str:
        return f"{self.micros:,.0f}" + (" (background)" if self.in_background else "")


def answer_times(client: redis.Redis, pages: bool) -> Iterator[tuple[str, Told]]:
    at = newest(client)
    for title, question in QUESTIONS:
        if pages or " page " not in question:
            words = question.format(at=at).split()
            client.config_resetstat()
            before = long_answers(client)
            seconds: list[float] = []
            while len(seconds) < ASKED and sum(seconds) < ASKED_SECONDS:
                begin = time.perf_counter()
                client.execute_command(*words)
                seconds.append(time.perf_counter() - begin)
            stats = statistics_of(client, words[0].lower())
            if long_answers(client) - before > len(seconds) / 2:
                yield title, Told(statistics.median(seconds) * 1e6, True)
            else:
                yield title, Told(stats["usec"] / stats["calls"], False)


def write_times(client: redis.Redis, way: str, events: int, seconds: float, starved: float) -> Figures:
    """What the statistics of the server say of all that was sent since they were reset."""
    title, commands = WAYS[way]
    stats = statistics_of(client, *commands)
    figures = {"events a second": events / seconds, "client not ready, % of the time": 100 * starved / seconds,
               "time in the server, µs an event": stats["usec"] / events}
    if way in ("add", "madd"):
        figures |= {f"{share} commands take at most, µs": stats[name] for name, share in PERCENTILES.items()}
        figures["commands above 1 ms"] = client.slowlog_len()
    return figures


def forget_hours(client: redis.Redis, last_hour: int) -> None:
    """Deletes keys of hours that a cube with these tiers does not keep either, and leaves no half-empty table of keys behind."""
    script = client.register_script("""
        local found = redis.call('SCAN', ARGV[1], 'MATCH', 'shop:1h:*', 'COUNT', 5000)
        for _, key in ipairs(found[2]) do
            if tonumber(string.match(key, '^shop:1h:(%d+)')) <= tonumber(ARGV[2]) then redis.call('DEL', key) end
        end
        return found[1]""")
    cursor = b"0"
    while (cursor := script(args=[cursor, last_hour - 48])) != b"0":
        pass
    client.execute_command("DEBUG", "RELOAD")


def in_order(name: str, plan: Plan, way: str) -> tuple[Figures, dict[str, Told]]:
    """All events on a new server: figures of the way, and of questions if it is that of single ADDs."""
    told(f"{name}, {'with' if plan.pages else 'without'} pages: {WAYS[way][0]}")
    with start(name) as server, server.client() as client:
        empty = prepare(client)
        is_cube = way in ("add", "madd")
        if is_cube:
            create(client, plan)
        fed = feed(server.port, plan, way)
        figures = write_times(client, way, *fed)
        answers = {}
        if is_cube and (there := counted(client)) != plan.events:
            raise WireError(f"the cube has {there} events and not {plan.events}")
        if way == "add":
            answers = dict(answer_times(client, plan.pages))
        used = settled(client) - empty
        figures["memory, MB"] = used / 1e6
        if is_cube:
            figures["MEMORY USAGE says, of that"] = client.memory_usage(KEY) / used
        figures["database file, MB"] = saved_bytes(client) / 1e6
        if way == "hand":
            # The last hour is that of the last event, which the key names count from the first.
            forget_hours(client, (plan.events - 1) // 14_000)
            figures["memory without hours beyond 48, MB"] = (settled(client) - empty) / 1e6
            figures["database file without hours beyond 48, MB"] = saved_bytes(client) / 1e6
        return figures, answers


def in_other_orders(name: str, plan: Plan) -> tuple[dict[str, Figures], dict[str, dict[str, Told]]]:
    """Figures and questions of cubes that are filled out of order, or go on after a silence."""
    half, more = plan.events // 2, plan.events // 2 + plan.events // 10
    figures: dict[str, Figures] = {}
    answers: dict[str, dict[str, Told]] = {}

    def measured(title: str, server: object, client: redis.Redis, plan: Plan, first: int, last: int) -> None:
        told(f"{name}, {title}")
        client.config_resetstat()
        client.slowlog_reset()
        figures[title] = write_times(client, "add", *feed(server.port, plan, "add", first, last))
        about = described(client)
        figures[title] |= {"late events": about["late"], "upkeep that waits, jobs": about["waiting"]}
        answers[title] = dict(answer_times(client, plan.pages))

    for order, titles in (("backfill", ("backfill, first half", "backfill, the tenth after it")),
                          ("silence", ("before the silence", "the tenth after it"))):
        ordered = Plan(plan.events, plan.seed, pages=True, order=order)
        with start(name) as server, server.client() as client:
            prepare(client)
            create(client, ordered)
            measured(titles[0], server, client, ordered, 0, half)
            measured(titles[1], server, client, ordered, half, more)
    return figures, answers


def table(head: str, columns: dict[str, Figures], answers: dict[str, dict[str, Told]]) -> str:
    """A line for each figure and each question, a column for each way."""
    lines = [f"| {head} | " + " | ".join(columns) + " |", "|---|" + "--:|" * len(columns)]
    for row in dict.fromkeys(row for column in columns.values() for row in column):
        lines.append(f"| {row} | " + " | ".join(shown(column.get(row)) for column in columns.values()) + " |")
    for row in dict.fromkeys(row for column in answers.values() for row in column):
        lines.append(f"| {row}, µs | " + " | ".join(str(answers.get(column, {}).get(row, "")) for column in columns) + " |")
    return "\n".join(lines)


def shown(figure: float | None) -> str:
    if figure is None:
        return ""
    return f"{figure:,.0f}" if figure >= 1_000 or figure == int(figure) else f"{figure:,.1f}" if figure >= 10 else f"{figure:.2f}"


# ---- goals ----------------------------------------------------------------------------------------------------------

Found = dict[str, dict[str, Figures]]
RATE, MEMORY, FILE = "events a second", "memory, MB", "database file, MB"


def ratio(part: str, row: str, way: str, rival: str) -> Callable[[Found], float]:
    return lambda found: found[part][WAYS[way][0]][row] / found[part][WAYS[rival][0]][row]


def figure(part: str, row: str, way: str = "add") -> Callable[[Found], float]:
    return lambda found: found[part][WAYS[way][0]][row]


def of_pages(row: str) -> Callable[[Found], float]:
    """What pages add to a cube, by what they add to keys by hand."""
    def added(found: Found, way: str) -> float:
        return found["pages"][WAYS[way][0]][row] - found["plain"][WAYS[way][0]][row]
    return lambda found: added(found, "add") / added(found, "hand")


# What is measured, how, and the goal: at least or at most so much.
GOALS = (
    ("events a second, ADD, by hand with four tiers = 1", ratio("plain", RATE, "add", "hand"), "≥", 20),
    ("events a second, ADD, by hand with one tier = 1", ratio("plain", RATE, "add", "hand-hours"), "≥", 4),
    ("events a second, MADD of 100, by hand with four tiers = 1", ratio("plain", RATE, "madd", "hand"), "≥", 30),
    ("events a second, MADD of 100, by hand with one tier = 1", ratio("plain", RATE, "madd", "hand-hours"), "≥", 6),
    ("time in the command ADD, µs", figure("plain", "time in the server, µs an event"), "≤", 1.0),
    ("99.99 % of ADDs, µs", figure("plain", "99.99 % of commands take at most, µs"), "≤", 100),
    ("ADDs above 1 ms", figure("plain", "commands above 1 ms"), "≤", 0),
    ("ADDs above 1 ms, with pages", figure("pages", "commands above 1 ms"), "≤", 0),
    ("memory, by hand = 1", ratio("plain", MEMORY, "add", "hand"), "≤", 0.35),
    ("memory that pages add, by hand = 1", of_pages(MEMORY), "≤", 0.15),
    ("database file, by hand = 1", ratio("plain", FILE, "add", "hand"), "≤", 0.6),
    ("database file that pages add, by hand = 1", of_pages(FILE), "≤", 0.25),
    ("MEMORY USAGE by what the server uses, no more than", figure("pages", "MEMORY USAGE says, of that"), "≤", 1.05),
    ("MEMORY USAGE by what the server uses, no less than", figure("pages", "MEMORY USAGE says, of that"), "≥", 0.95),
)
ANSWER_GOALS = (("plain", "COUNT, 24 h", 40), ("plain", "COUNT, 30 d", 60),
                ("pages", "TOP 10 of 100,000 pages, 24 h", 1_000), ("pages", "TOP 10 of 100,000 pages, 30 d", 8_000))


def goals(found: Found, answers: dict[str, dict[str, Told]]) -> str:
    """Those whose parts were measured, and whether they are kept."""
    measured = []
    for title, measure, way, bound in GOALS:
        try:
            measured.append((title, measure(found), way, bound))
        except KeyError:
            continue
    for part, question, bound in ANSWER_GOALS:
        if question in answers.get(part, {}):
            measured.append((f"{question}, µs", answers[part][question].micros, "≤", bound))
    lines = ["| goal | | measured | |", "|---|--:|--:|---|"]
    for title, value, way, bound in measured:
        kept = value >= bound if way == "≥" else value <= bound
        lines.append(f"| {title} | {way} {bound:,} | {shown(value)} | {'kept' if kept else '**missed**'} |")
    return "\n".join(lines)


def parts(names: str) -> tuple[str, ...]:
    chosen = tuple(names.split(","))
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    return chosen


def measure(name: str, options: argparse.Namespace) -> None:
    """All parts on one server; tables are printed as soon as they are complete."""
    found: Found = {}
    answers: dict[str, dict[str, Told]] = {}
    for part in options.parts:
        if part in ("plain", "pages"):
            plan = Plan(options.events, options.seed, pages=part == "pages")
            asked: dict[str, dict[str, Told]] = {}
            found[part] = {}
            for way, (title, _) in WAYS.items():
                found[part][title], asked[title] = in_order(name, plan, way)
            answers[part] = asked[WAYS["add"][0]]
            head = f"{name}, {plan.events:,} events in order, {'with' if plan.pages else 'without'} pages"
            print(f"\n{table(head, found[part], asked)}", flush=True)
        elif part == "orders":
            head = f"{name}, {options.events:,} events with pages, ADD"
            print(f"\n{table(head, *in_other_orders(name, Plan(options.events, options.seed)))}", flush=True)
        else:
            plan = Plan(options.events, options.seed, pages=True, steps=True)
            print(f"\n{cube_waits.measure(name, plan, options.rounds)}", flush=True)
    print(f"\n{name}\n\n{goals(found, answers)}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench --cubes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", default=SERVERS, help=f"names of scripts/servers (default: {' '.join(SERVERS)})")
    parser.add_argument("--events", type=int, default=10_000_000, help="how many (default: 10000000)")
    parser.add_argument("--seed", type=int, default=1, help="of the events (default: 1)")
    parser.add_argument("--parts", type=parts, default=PARTS, metavar="PART,...", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="of the part waits, for each question (default: 3)")
    options = parser.parse_args()
    try:
        for name in options.servers:
            measure(name, options)
    except (ServerError, WireError, redis.RedisError, RuntimeError) as error:
        print(f"\nERROR: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
