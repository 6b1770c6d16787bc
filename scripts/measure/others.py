"""Cubes beside what else the same questions could be put to: DuckDB and ClickHouse with the raw events, and PF keys by hand.

    scripts/bench --others [--events N] [SERVER]

The same events go into a DuckDB file, into a ClickHouse table (chdb: its engine in this process), into PFADD and INCRBY by hand,
and into a cube. The two engines are installed into target/venv if they are not there (scripts/requirements-others.txt); one that
cannot be is left out, which is said loudly. Each question is put over the same stretch of time, whose borders are those of the
cube's slices, at least three times, and the best time counts: of DuckDB and ClickHouse without any connection between, of the
server as a Python client sees it. Each engine runs in a process of its own, whose largest size is told.
"""

import argparse
import importlib.util
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import redis
from local_server import ServerError

from .context import ROOT
from .stream import HOUR, KEY, PAGES, START, STEPS, Plan, create, feed, known_commands, newest, prepare, saved_bytes, settled, start, told
from .wire import Connection, WireError, command, exchange, pieces

REQUIREMENTS = ROOT / "scripts" / "requirements-others.txt"
DAY = 24 * HOUR
ASKED = (3, 20)        # times at least and at most that each is asked ...
ASKED_SECONDS = 1.0    # ... and beyond the least for no longer than this
INSERT_SECONDS = 3.0   # for which events are inserted one by one

# Title, the cube's command, and SQL of an engine with {unique}, its function that counts users, and {day}, the number of the day.
# The range of each is the first word: 24h, 7d or 30d.
QUESTIONS = (
    ("uniques, 24 h", "24h", "HLL.CUBE.COUNT shop {range}", "SELECT {unique} FROM events WHERE {when}"),
    ("uniques, 30 d", "30d", "HLL.CUBE.COUNT shop {range}", "SELECT {unique} FROM events WHERE {when}"),
    ("daily uniques, 30 d", "30d", "HLL.CUBE.SERIES shop BUCKET 1d {range}",
     "SELECT {day} AS day, {unique} FROM events WHERE {when} GROUP BY day ORDER BY day"),
    ("by country, 30 d", "30d", "HLL.CUBE.QUERY shop {range} BY country METRICS 1 unique",
     "SELECT country, {unique} FROM events WHERE {when} GROUP BY country"),
    ("top 10 of 100,000 pages, 24 h", "24h", "HLL.CUBE.TOP shop page 10 {range}",
     "SELECT page, {unique} AS n FROM events WHERE {when} GROUP BY page ORDER BY n DESC LIMIT 10"),
    ("top 10 of 100,000 pages, 30 d", "30d", "HLL.CUBE.TOP shop page 10 {range}",
     "SELECT page, {unique} AS n FROM events WHERE {when} GROUP BY page ORDER BY n DESC LIMIT 10"),
    ("funnel of four steps, 7 d", "7d", f"HLL.CUBE.FUNNEL shop step STEPS 4 {' '.join(STEPS)} {{range}}", "{funnel}"),
)
COLUMNS = ("device", "channel", "country", "campaign", "category", "page", "step")
UNIQUES = ("uniques, 24 h", "uniques, 30 d")

Borders = dict[str, tuple[int, int]]


class Measured(NamedTuple):
    """Of one way to keep the events: seconds by question, users by question, and figures by name."""

    seconds: dict[str, float]
    uniques: dict[str, float]
    figures: dict[str, float]


def best(ask: Callable[[], Any]) -> tuple[float, Any]:
    """The least seconds, and the answer."""
    times: list[float] = []
    while True:
        begin = time.perf_counter()
        answer = ask()
        times.append(time.perf_counter() - begin)
        if len(times) >= ASKED[1] or len(times) >= ASKED[0] and sum(times) > ASKED_SECONDS:
            return min(times), answer


def inserts_a_second(insert: Callable[[int], object]) -> float:
    """Of rows that come one by one."""
    count, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < INSERT_SECONDS:
        insert(count)
        count += 1
    return count / (time.perf_counter() - begin)


def one_row(count: int) -> str:
    return f"({START + count}, {count % 1000}, 'value-0', 'value-1', 'value-2', 'value-3', 'value-4', '/page/{count % 100}', 'view')"


# ---- DuckDB and ClickHouse ------------------------------------------------------------------------------------------


def asked_in_sql(query: Callable[[str], Any], first: Callable[[Any], float], borders: Borders, unique: str, day: str, funnel: str) -> Measured:
    """All questions, by a function that counts users."""
    measured = Measured({}, {}, {})
    for title, span, _, sql in QUESTIONS:
        if sql == "{funnel}" and not funnel:
            continue
        begin, end = borders[span]
        when = f"ts >= {begin} AND ts < {end}"
        text = sql.format(unique=unique, day=day, when=when, funnel=funnel.format(when=when))
        measured.seconds[title], answer = best(lambda text=text: query(text))
        if title in UNIQUES:
            measured.uniques[title] = first(answer)
    return measured


def duckdb_ways(rows: str, directory: str, borders: Borders) -> dict[str, Measured]:
    import duckdb  # noqa: PLC0415 (there only if it could be installed)

    path = os.path.join(directory, "events.duckdb")
    with duckdb.connect(path) as db:
        columns = ", ".join(f"{name} VARCHAR" for name in COLUMNS)
        for table in ("events", "ones"):
            db.execute(f'CREATE TABLE {table} (ts BIGINT, visitor UINTEGER, {columns})')
        begin = time.perf_counter()
        db.execute(f"COPY events FROM '{rows}' (HEADER)")
        db.execute("CHECKPOINT")
        loaded = time.perf_counter() - begin
        size = os.path.getsize(path)

        def query(sql: str) -> list[tuple[Any, ...]]:
            return db.execute(sql).fetchall()

        def first(answer: list[tuple[Any, ...]]) -> float:
            return float(answer[0][0])

        has = ", ".join(f"bool_or(step = '{step}') AS s{i}" for i, step in enumerate(STEPS))
        counts = ", ".join("count_if(" + " AND ".join(f"s{j}" for j in range(i + 1)) + ")" for i in range(len(STEPS)))
        funnel = f'SELECT {counts} FROM (SELECT visitor, {has} FROM events WHERE {{when}} GROUP BY visitor)'
        exact = asked_in_sql(query, first, borders, "count(DISTINCT visitor)", f"ts // {DAY}", funnel)
        about = asked_in_sql(query, first, borders, "approx_count_distinct(visitor)", f"ts // {DAY}", "")
        count = query("SELECT count(*) FROM events")[0][0]
        exact.figures["events a second, in bulk"] = count / loaded
        exact.figures["on disk, MB"] = size / 1e6
        exact.figures["events a second, one by one"] = inserts_a_second(lambda i: db.execute(f"INSERT INTO ones VALUES {one_row(i)}"))
        exact.figures["largest size of the process, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {f"DuckDB {duckdb.__version__}, exact": exact, "approximate": about}


def clickhouse_ways(rows: str, directory: str, borders: Borders) -> dict[str, Measured]:
    from chdb import session  # noqa: PLC0415 (there only if it could be installed)

    db = session.Session(os.path.join(directory, "clickhouse"))
    columns = ", ".join(f"{name} LowCardinality(String)" for name in COLUMNS)
    db.query("CREATE DATABASE shop")
    for table in ("events", "ones"):
        db.query(f"CREATE TABLE shop.{table} (ts Int64, visitor UInt32, {columns}) ENGINE = MergeTree ORDER BY ts")
    begin = time.perf_counter()
    # Said in full, as columns of a file are otherwise looked for by the names of the table's.
    structure = "at Int64, user UInt32, " + ", ".join(f"{name} String" for name in COLUMNS)
    db.query(f"INSERT INTO shop.events SELECT * FROM file('{rows}', 'CSVWithNames', '{structure}')")
    db.query("OPTIMIZE TABLE shop.events FINAL")
    loaded = time.perf_counter() - begin

    def query(sql: str) -> str:
        return str(db.query(sql.replace("FROM events", "FROM shop.events"), "CSV"))

    def first(answer: str) -> float:
        return float(answer.split("\n")[0])

    steps = ", ".join(f"step = '{step}'" for step in STEPS)
    reached = ", ".join(f"countIf(level >= {i + 1})" for i in range(len(STEPS)))
    # Steps in order of time, within the range.
    level = f"windowFunnel({7 * DAY})(toUInt64(ts), {steps}) AS level"
    funnel = f"SELECT {reached} FROM (SELECT visitor, {level} FROM events WHERE {{when}} GROUP BY visitor)"
    exact = asked_in_sql(query, first, borders, "uniqExact(visitor)", f"intDiv(ts, {DAY})", funnel)
    about = asked_in_sql(query, first, borders, "uniq(visitor)", f"intDiv(ts, {DAY})", "")
    exact.figures["events a second, in bulk"] = first(query("SELECT count() FROM events")) / loaded
    exact.figures["on disk, MB"] = first(query("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'events'")) / 1e6
    exact.figures["events a second, one by one"] = inserts_a_second(lambda i: db.query(f"INSERT INTO shop.ones VALUES {one_row(i)}"))
    exact.figures["largest size of the process, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    version = ".".join(query("SELECT version()").strip('"\n').split(".")[:2])
    return {f"ClickHouse {version}, exact": exact, "approximate ": about}


def work(measure: Callable[..., dict[str, Measured]], arguments: tuple[Any, ...], results: "multiprocessing.Queue[Any]") -> None:
    try:
        results.put(measure(*arguments))
    except Exception as error:  # noqa: BLE001 (whatever it was, the other process tells it)
        results.put(f"{type(error).__name__}: {error}")


def apart(measure: Callable[..., dict[str, Measured]], *arguments: Any) -> dict[str, Measured]:
    """Measured in a process of its own."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=work, args=(measure, arguments, results))
    process.start()
    result = results.get()
    process.join()
    if isinstance(result, str):
        raise RuntimeError(f"{measure.__name__}: {result}")
    return result


def installed(module: str, package: str) -> bool:
    """Whether the engine is there, after it was tried to install it."""
    if importlib.util.find_spec(module):
        return True
    line = next(line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if line.startswith(f"{package}=="))
    told(f"installing {line}")
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--only-binary=:all:", "--no-deps", line]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    importlib.invalidate_caches()
    if done.returncode or not importlib.util.find_spec(module):
        print(f"\nWARNING: {line} CANNOT BE INSTALLED AND IS LEFT OUT OF THE COMPARISON; pip says:\n{done.stderr[-2_000:]}\n",
              file=sys.stderr, flush=True)
        return False
    return True


# ---- The server -----------------------------------------------------------------------------------------------------


def cube_way(name: str, plan: Plan) -> tuple[dict[str, Measured], Borders]:
    """A cube, and the borders of the ranges."""
    told(f"{name}: a cube")
    measured = Measured({}, {}, {})
    borders: Borders = {}
    with start(name) as server, server.client() as client:
        empty = prepare(client)
        create(client, plan)
        fed = feed(server.port, plan, "add")
        at = newest(client)
        known = known_commands(client)
        for title, span, question, _ in QUESTIONS:
            answer = client.execute_command(*f"HLL.CUBE.COUNT {KEY} LAST {span} AT {at}".split())
            borders[span] = (answer[b"from"], answer[b"to"])
            words = question.format(range=f"LAST {span} AT {at}").split()
            if words[0].lower() not in known:
                told(f"this module has no {words[0]}: '{title}' is left out of the cube's column")
                continue
            measured.seconds[title], answer = best(lambda words=words: client.execute_command(*words))
            if title in UNIQUES:
                measured.uniques[title] = answer[b"unique"]
        measured.figures["memory, MB"] = (settled(client) - empty) / 1e6
        measured.figures["on disk, MB"] = saved_bytes(client) / 1e6
        measured.figures["events a second, one by one"] = fed.events / fed.seconds
        client.delete(KEY)
        create(client, plan)
        fed = feed(server.port, plan, "madd")
        measured.figures["events a second, in bulk"] = fed.events / fed.seconds
    return {"a cube": measured}, borders


def hand_way(name: str, plan: Plan, borders: Borders) -> dict[str, Measured]:
    """PFADD and INCRBY by hand, commands to read them made beforehand and sent together."""
    told(f"{name}: PF by hand")
    measured = Measured({}, {}, {})
    with start(name) as server, server.client() as client:
        empty = prepare(client)
        fed = feed(server.port, plan, "hand")
        measured.figures["events a second, one by one"] = fed.events / fed.seconds
        with Connection(server.port) as connection:
            def slices(span: str, tier: str, length: int) -> list[str]:
                begin, end = borders[span]
                return [f"{KEY}:{tier}:{number}" for number in range((begin - START) // length, -((START - end) // length))]

            def counts(keys: list[list[str]]) -> Callable[[], None]:
                chunks = pieces([command("PFCOUNT", *some) for some in keys], 200)
                return lambda: exchange([connection], chunks)

            def of_values(slices: list[str], name: str, values: list[str]) -> Callable[[], None]:
                return counts([[f"{slice}:{name}:{value}" for slice in slices] for value in values])

            hours, days = slices("24h", "1h", HOUR), slices("30d", "1d", DAY)
            pages = [f"/page/{i}" for i in range(PAGES)]
            asked = {
                "uniques, 24 h": lambda: client.pfcount(*hours),
                "uniques, 30 d": lambda: client.pfcount(*days),
                "daily uniques, 30 d": counts([[day] for day in days]),
                "by country, 30 d": of_values(days, "country", [f"value-{i}" for i in range(50)]),
                "top 10 of 100,000 pages, 24 h": of_values(hours, "page", pages),
                "top 10 of 100,000 pages, 30 d": of_values(days, "page", pages),
            }
            for title, ask in asked.items():
                measured.seconds[title], answer = best(ask)
                if title in UNIQUES:
                    measured.uniques[title] = answer
        measured.figures["memory, MB"] = (settled(client) - empty) / 1e6
        measured.figures["on disk, MB"] = saved_bytes(client) / 1e6
    return {"PF by hand": measured}


# ---- The page -------------------------------------------------------------------------------------------------------


def tables(ways: dict[str, Measured]) -> str:
    """Times, then what else there is to tell, then how far estimates are from the truth where it is known."""
    def line(title: str, cells: list[str]) -> str:
        return f"| {title} | " + " | ".join(cells) + " |"

    def figure(value: float | None, digits: int) -> str:
        return "–" if value is None else f"{value:,.{digits}f}"

    def milliseconds(seconds: float | None) -> str:
        return "–" if seconds is None else figure(seconds * 1e3, 0 if seconds >= 0.1 else 1 if seconds >= 0.01 else 2)

    lines = [line("milliseconds", list(ways)), "|---|" + "--:|" * len(ways)]
    lines += [line(title, [milliseconds(way.seconds.get(title)) for way in ways.values()]) for title, *_ in QUESTIONS]
    names = dict.fromkeys(name for way in ways.values() for name in way.figures)
    lines += [line(name, [figure(way.figures.get(name), 0) for way in ways.values()]) for name in names]
    truth = next((way.uniques for title, way in ways.items() if "exact" in title), None)
    if truth:
        for title in UNIQUES:
            errors = [None if title not in way.uniques else 100 * (way.uniques[title] / truth[title] - 1) for way in ways.values()]
            lines.append(line(f"error of {title}, %", [figure(error, 2) for error in errors]))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench --others", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", nargs="?", default="redis-7.0", help="a name of scripts/servers (default: redis-7.0)")
    parser.add_argument("--events", type=int, default=10_000_000, help="how many (default: 10000000)")
    parser.add_argument("--seed", type=int, default=1, help="of the events (default: 1)")
    options = parser.parse_args()
    plan = Plan(options.events, options.seed, pages=True, steps=True)
    engines = [(module, measure) for module, package, measure in (("duckdb", "duckdb", duckdb_ways), ("chdb", "chdb-core", clickhouse_ways))
               if installed(module, package)]
    try:
        ways, borders = cube_way(options.server, plan)
        by_hand = hand_way(options.server, plan, borders)
        with tempfile.TemporaryDirectory(prefix="redis-hll-") as directory:
            rows = Path(directory) / "events.csv"
            with open(rows, "wb") as file:
                subprocess.run(plan.program("rows"), stdout=file, check=True)
            others: dict[str, Measured] = {}
            for module, measure in engines:
                told(module)
                others |= apart(measure, str(rows), directory, borders)
    except (ServerError, WireError, redis.RedisError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"\nERROR: {error}", file=sys.stderr)
        return 1
    print(f"\n{options.server}, {plan.events:,} events with pages and steps\n\n{tables(others | by_hand | ways)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
