"""Runs the measurement and writes docs/benchmarks.md, the plots and the figures behind both: see scripts/bench.

With the module built and the servers there, it also runs by itself, from the root of the repository:

    PYTHONPATH=scripts target/venv/bin/python -m measure --quick --only memory redis-7.0
"""

import argparse
import os
import platform
import signal
import sys
import time
from pathlib import Path
from types import ModuleType

import redis
from local_server import ServerError

from . import keys, memory, page, persistence, plot, replication, sets, speed
from .compare import Measure, Results, Table
from .context import ROOT, Context
from .wire import WireError

SERVERS = ("redis-7.0", "redis-8.2", "valkey-9.1")
# In the order of the page. Each is a module with TABLES and measure().
PARTS: dict[str, ModuleType] = {"speed": speed, "sets": sets, "memory": memory, "keys": keys,
                                "persistence": persistence, "replication": replication}
PAGE = ROOT / "docs" / "benchmarks.md"
FIGURES = ROOT / "docs" / "benchmarks"
SEED = 1


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="what the module costs beside PF")
    parser.add_argument("servers", nargs="*", help=f"names of scripts/servers (default: {' '.join(SERVERS)}); when one "
                        "of the default ones is left out, the results are only printed")
    parser.add_argument("--only", metavar="PART,...", type=_parts, default=tuple(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=20, help="how often each time is taken (default: 20)")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the program; only prints")
    parser.add_argument("--page", action="store_true", help="measure nothing; make the page from the figures kept")
    return parser.parse_args(arguments)


def _parts(names: str) -> tuple[str, ...]:
    chosen = tuple(names.split(","))
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    return chosen


def machine() -> str:
    """The processor's name and the number of cores."""
    name = platform.processor()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            name = line.split(":", 1)[1].strip()
            break
    return f"{name}, {os.cpu_count()} cores"


def version(context: Context) -> str:
    with context.start() as server, server.client() as client:
        about = client.info("server")
    name = about.get("server_name", "redis")
    return f"{name.capitalize()} {about.get(f'{name}_version', about['redis_version'])}"


def tabled(tables: tuple[Table, ...], results: Results) -> Results:
    """In the order of the tables, and only what stands in one."""
    ids = [measure.id for layout in tables for measure in layout.measures]
    return {id: results[id] for id in ids if id in results}


def record(part: str, servers: list[str], options: argparse.Namespace, versions: dict[str, str]) -> page.Record:
    """Measures the part on all the servers."""
    tables = PARTS[part].TABLES
    results = {}
    for server in servers:
        start = time.monotonic()
        context = Context(server, options.rounds, options.quick, SEED)
        results[server] = tabled(tables, PARTS[part].measure(context))
        print(f"      {server}: {part} done in {time.monotonic() - start:.0f} s", flush=True)
    command = f"scripts/bench --only {part} --rounds {options.rounds}" + (" --quick" if options.quick else "")
    return page.Record(command, machine(), {server: versions[server] for server in servers}, results)


def draw(layout: Table, kept: page.Record) -> str:
    def row(measure: Measure) -> plot.Row:
        return plot.Row(measure.label, {server: measure.aim_on(server) for server in kept.results},
                        {server: results.get(measure.id) for server, results in kept.results.items()})

    # What has an aim of its own side alone is no comparison, and has no place among ratios.
    shown = [measure for measure in layout.measures if not (measure.aim and measure.aim.kind == "itself")
             and any(measure.id in results for results in kept.results.values())]
    if layout.plot == "lines":
        points = {int(measure.label.replace(",", "")): row(measure) for measure in shown}
        return plot.lines(layout.heading, kept.versions, points)
    return plot.dots(layout.heading, kept.versions, [row(measure) for measure in shown])


def render(text: str, parts: tuple[str, ...]) -> str:
    """The page with the tables of these parts from the figures kept, and with what is of all parts."""
    for part in parts:
        kept = page.Record.read(FIGURES / f"{part}.json")
        for layout in PARTS[part].TABLES:
            text = page.replace(text, layout.name, page.table(layout, kept))
    there = [part for part in PARTS if (FIGURES / f"{part}.json").exists()]
    records = [(PARTS[part].TABLES, page.Record.read(FIGURES / f"{part}.json")) for part in there]
    if len(there) == len(PARTS):
        text = page.replace(text, "balance", page.opening(records))
    return page.replace(text, "summary", page.summary(records))


def write(parts: tuple[str, ...]) -> None:
    """The page, and the plots of these parts."""
    for part in parts:
        kept = page.Record.read(FIGURES / f"{part}.json")
        for layout in PARTS[part].TABLES:
            if layout.plot is not None:
                (FIGURES / f"{layout.name}.svg").write_text(draw(layout, kept), encoding="utf-8")
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8"), parts), encoding="utf-8")


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    options = parse()
    # Stopped from outside is like Ctrl-C: the servers that were started are stopped.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    if options.page:
        write(tuple(part for part in options.only if (FIGURES / f"{part}.json").exists()))
        return 0
    servers = list(dict.fromkeys(options.servers or SERVERS))
    keep = not options.quick and set(SERVERS) <= set(servers)
    start = time.monotonic()
    try:
        versions = {server: version(Context(server, 1, True, SEED)) for server in servers}
        for at, part in enumerate(options.only, 1):
            print(f"\n      {part} ({at} of {len(options.only)}, {time.monotonic() - start:.0f} s so far)", flush=True)
            measured = record(part, servers, options, versions)
            for layout in PARTS[part].TABLES:
                print(f"\n{page.table(layout, measured)}")
            if keep:
                measured.write(FIGURES / f"{part}.json")
                write((part,))
    except (ServerError, WireError, redis.RedisError, RuntimeError, OSError) as error:
        print(f"\nERROR: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; the parts that were complete are kept.", file=sys.stderr)
        return 130
    if keep:
        print(f"\nwritten: {PAGE.relative_to(ROOT)} and {FIGURES.relative_to(ROOT)}/")
    else:
        print(f"\nnothing is written: that takes all of {', '.join(SERVERS)}, and no --quick")
    return 0


if __name__ == "__main__":
    sys.exit(main())
