"""Command line of the demonstration; scripts/run calls it once everything it needs is installed.

Arguments are checked before anything slow happens: `--check` only does that, and scripts/run calls it so before building.
"""

import argparse
import csv
import os
import random
import shlex
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from redis_hll.sources.files import InputError, is_pipe

from .events import DEVICES, EVENTS_PER_VISITOR, MEASURES, OTHERS, STEPS, synthetic_stream, until, visit_now
from .source import MOST_VALUES, OTHER, Columns, Source

if TYPE_CHECKING:
    from .cube import Cube
    from .load import Exact
    from .report import Report

ROOT = Path(__file__).resolve().parents[2]

SYNTHETIC_VALUES, FILE_VALUES = 64, 10_000  # that the cube keeps apart: of few values the counts are more precise
MOST_AHEAD = 365 * 86_400_000  # milliseconds, a little more than readers let through


def arguments(line: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/run", formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
        description="Builds redis-hll, starts a server with it, loads events, and shows a dashboard of them beside what is true."
                    "\nWithout a file the events are synthetic: five weeks of a shop that does not exist.",
        epilog="""examples:
  scripts/run                                      half a million synthetic events
  scripts/run --board                              a live page of the made-up shop, whose visits go on; with a file, of its events
  scripts/run access.log.gz                        a web server's log; users are client addresses
  scripts/run orders.csv --user customer_id --time date --per month
  scripts/run events.jsonl --user user.id --step name --funnel view,cart,pay
  scripts/run sales.csv --funnel seen,clicked,bought --channel campaign --measure cost --measure revenue --dimension country
  zcat logs/*.gz | scripts/run -                   from a pipe, which is copied to a temporary file first
""")
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE",
                        help="access log in combined format, CSV with a header, or JSON Lines; plain or .gz; - is standard input")
    parser.add_argument("--port", type=_number(1, 65535), help="port of the server (default: a free one)")
    parser.add_argument("--precision", type=_number(4, 18), metavar="P",
                        help="2^P registers per sketch, 4 to 18 (default: the module's, 13)")
    parser.add_argument("--server", metavar="PATH", help="redis-server or valkey-server to start (default: the one found)")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--keep", action="store_true", help="leave the server running at the end")
    end.add_argument("--stop", action="store_true", help="stop it (default: ask on a terminal, else stop)")
    end.add_argument("--board", action="store_true", help="show what was loaded as a live page until Ctrl-C; synthetic events end now then, and "
                                                          "go on. Installs the packages of the page into target/")

    made = parser.add_argument_group("synthetic events")
    made.add_argument("--events", type=_number(1, 1_000_000_000), metavar="N", help="how many (default: 500,000)")
    made.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same events (default: 1)")

    read = parser.add_argument_group("events from a file")
    read.add_argument("--format", choices=("auto", "combined", "csv", "jsonl"), default="auto")
    for name, what in (("time", "when it happened"), ("user", "who did it"), ("step", "what was done"),
                       ("device", "with what"), ("channel", "where they came from: has a table of campaigns with --funnel"),
                       ("day", "the day or other period as written, instead of a time; there is no dashboard then")):
        read.add_argument(f"--{name}", metavar="COL", help=f"column: {what}")
    read.add_argument("--dimension", metavar="COL", action="append",
                      help="column: another thing to count by, such as page or country; may be repeated")
    read.add_argument("--measure", metavar="COL", action="append", help="column: numbers that are summed; may be repeated. Those called "
                                                                        "cost and revenue are what campaigns are charged with")
    read.add_argument("--time-format", metavar="F", help="of strptime, such as '%%d/%%m/%%Y %%H:%%M', or s or ms for Unix time "
                                                         "(default: ISO 8601, access log, or Unix time)")
    read.add_argument("--delimiter", metavar="C", help="of CSV (default: found in the header)")
    read.add_argument("--per", choices=("hour", "day", "week", "month"), default="day", help="one sketch per ... (default: day)")
    read.add_argument("--funnel", metavar="A,B,...", help=f"values of the step column in the order of the funnel; one with a comma in it stands in "
                           f"quotation marks. These steps and the {MOST_VALUES} most frequent others are told apart")
    # For scripts/run.
    parser.add_argument("--module", type=Path, default=ROOT / "target/release/libredis_hll.so", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)

    options = parser.parse_args(line)
    for name in ("events", "seed"):
        if options.file and getattr(options, name) is not None:
            parser.error(f"--{name} is for synthetic events, and there is a file")
    for name in ("time", "user", "step", "device", "channel", "day", "dimension", "measure", "time_format", "delimiter", "funnel"):
        if not options.file and getattr(options, name) is not None:
            parser.error(f"--{name.replace('_', '-')} is for a file, and there is none")
    if not options.file and options.per != "day":
        parser.error("--per is for a file, and there is none")
    if options.delimiter is not None:
        options.delimiter = {"\\t": "\t", "tab": "\t"}.get(options.delimiter, options.delimiter)
        if len(options.delimiter) != 1:
            parser.error("--delimiter must be one character, or tab")
    options.funnel = [step.strip() for step in next(csv.reader([options.funnel or ""], skipinitialspace=True), [])]
    if not all(options.funnel):
        parser.error("--funnel has a step without a name; give values of the step column: --funnel view,cart,pay")
    if options.day and options.board:
        parser.error("--board shows a cube, and with --day there is none: events have no times")
    if options.day and options.time:
        parser.error("--day and --time exclude each other")
    return options


def _number(low: int, high: int) -> Callable[[str], int]:
    """A type for argparse: a whole number from low to high, with or without thousands separators."""
    def number(text: str) -> int:
        try:
            value = int(text.replace(",", "").replace("_", ""))
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value
    return number


def open_source(options: argparse.Namespace) -> Source | None:
    if options.file is None:
        return None
    columns = Columns(options.time, options.user, options.step, options.device, options.day, options.time_format,
                      options.channel, list(dict.fromkeys(options.dimension or [])), list(dict.fromkeys(options.measure or [])))
    return Source(options.file, options.format, columns, options.per, options.delimiter, steps=options.funnel)


def main() -> int:
    options = arguments(sys.argv[1:])
    # Stopped from outside is like Ctrl-C: whatever was started is stopped, whatever was made is removed.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if options.check and options.file and is_pipe(options.file):
            return 0  # what is in it is known only once
        source = open_source(options)
        if options.check:
            return 0
        return demonstrate(options, source)
    except InputError as error:
        print(f"\nERROR: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; the server is stopped and its files are removed.", file=sys.stderr)
        return 130


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def demonstrate(options: argparse.Namespace, source: Source | None) -> int:
    # Here and not above: the help and the check must work before the packages are installed.
    import redis

    from local_server import Server, ServerError
    from redis_hll import HLL, HLLError

    from .cube import Cube, Shape
    from .load import Progress, load
    from .report import Report

    settings = {"hll.cube-max-ahead": str(MOST_AHEAD)}  # the clock of whoever wrote the file may be any
    if options.precision is not None:
        settings["hll.default-precision"] = str(options.precision)
    binary = options.server or "redis-server"
    try:
        with Server(binary, ROOT / "redis.conf", options.module.resolve(), options.port, settings) as server:
            client = server.client()
            hll = HLL(client)
            about = client.info("server")
            name = about.get("server_name", "redis")
            print(f"      {name} {about.get(f'{name}_version', about['redis_version'])} on port {server.port}")

            print("\nLoading")
            cube = None
            if source is None:
                events, seed = options.events or 500_000, 1 if options.seed is None else options.seed
                print(f"      SYNTHETIC events, generated here (seed {seed}): {events:,} events of a made-up shop, up to "
                      f"{max(1, events // EVENTS_PER_VISITOR):,} visitors, five weeks", flush=True)
                cube = Cube(client, Shape.of(OTHERS, MEASURES, (True, True), SYNTHETIC_VALUES, options.precision))
                stream = synthetic_stream(events, seed, *(until(datetime.now(timezone.utc)) if options.board else ()))
                exact, loader = load(hll, stream, Progress(events), cube=cube)
                funnel_steps: list[str] = list(STEPS)
                # In the order of the shop, also when the stream happened to begin elsewhere.
                exact.devices = {name: None for name in DEVICES if name in exact.devices}
            else:
                print(f"      {source.name}: {source.describe()}")
                if source.has_values:
                    print("      read twice: first to see which steps and devices are frequent, then to load", flush=True)
                    counting = Progress(source.size)
                    try:
                        source.rank(counting.at)
                    finally:
                        counting.close()
                if options.day is None:
                    has = bool(source.columns.step), bool(source.columns.device)
                    cube = Cube(client, Shape.of(source.other_dimensions, source.measures, has, FILE_VALUES, options.precision))
                exact, loader = load(hll, source, Progress(source.size), lambda: source.position, cube)
                print_tally(source)
                if exact.events == 0:
                    raise InputError("no line of the file could be used")
                funnel_steps = options.funnel
                for step in funnel_steps:
                    if step not in exact.steps:
                        raise InputError(f"no event has the step '{step}' (--funnel); {steps_there(exact)}")
            if cube is not None:
                commands, seconds = cube.loaded()
                print(f"      {exact.events:,} events into a cube by {commands:,} HLL.CUBE.MADD commands; {seconds:.1f} s in the server "
                      f"({exact.events / max(seconds, 1e-9):,.0f} events a second)"
                      + (f"; {cube.late:,} older than all that it keeps are left out" if cube.late else ""))
            print(f"      {loader.elements:,} elements into sketches by {loader.commands:,} HLL.ADD commands; "
                  f"{loader.seconds:.1f} s in client and server ({loader.elements / max(loader.seconds, 1e-9):,.0f} elements a second)", flush=True)

            per = options.per if not options.day else options.day
            report = Report(hll, exact, funnel_steps, per, cube)
            report.print()
            if source is None:
                print("\n  The events were SYNTHETIC: the figures show how well cubes and sketches count, not how shops do.")
            elif len(exact.steps) > 1 and not funnel_steps:
                print("\n  For a funnel, and campaigns by --channel, name steps in their order: --funnel FIRST,SECOND,...")
            if options.board and cube is not None:
                return show_board(server.port, cube, report.funnel_steps, None if source is not None else max(1, events // EVENTS_PER_VISITOR))
            if should_keep(options):
                server.keep()
                print_next(report, server.port, kept=True)
                print(f"\nThe server runs on port {server.port}. To stop it and remove its files:\n\n"
                      f"  redis-cli -p {server.port} shutdown nosave; rm -r {shlex.quote(str(server.directory))}")
            else:
                print_next(report, server.port, kept=False)
                print("\nStopping the server.")
    except (ServerError, HLLError, redis.RedisError, OSError) as error:
        print(f"\nERROR: {error}", file=sys.stderr)
        return 1
    return 0


def show_board(port: int, cube: "Cube", steps: Sequence[str], visitors: int | None) -> int:
    """The live page, by the Python of BOARD_PYTHON, which has its packages, until somebody ends it. With `visitors`, visits go on."""
    from .board import Board

    try:
        with Board(port, cube, steps) as board:
            rng = random.Random()
            while (status := board.status) is None:
                time.sleep(0.5)
                if visitors is not None:
                    cube.add(visit_now(rng, visitors))
    except KeyboardInterrupt:
        print("\nStopping the board and the server.")
        return 0
    return 1 if status else 0


def print_tally(source: Source) -> None:
    tally = source.tally
    print(f"      {tally.lines:,} lines: {tally.rows:,} events, {tally.no_user:,} without a user (skipped), "
          f"{tally.bad:,} that could not be read (skipped)")
    for example in tally.examples:
        print(f"        {example}")
    if tally.truncated:
        print(f"      WARNING: {tally.truncated}; what came before is used")
    for what, number in source.folded.items():
        print(f"      {number:,} events of {what}s that are not named and not among the {MOST_VALUES} most frequent are counted "
              "together as (other)")


def steps_there(exact: "Exact") -> str:
    """For somebody who named a step that is not there: those with the most users that are."""
    from .load import step_key

    steps = sorted((step for step in exact.steps if step != OTHER), key=lambda step: -len(exact.users[step_key(step)]))
    if not steps:
        return "there are no steps, name their column with --step"
    return f"{'there are' if len(steps) <= 20 else 'those with the most users are'}: {', '.join(steps[:20])}"


def should_keep(options: argparse.Namespace) -> bool:
    if options.keep or options.stop or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return bool(options.keep)
    try:
        return input("\nLeave the server running, to try commands by hand? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def print_next(report: "Report", port: int, kept: bool) -> None:
    """Lines to copy, of commands that this server has and keys that it holds."""
    from redis_hll.times import millis

    from .cube import KEY, key_value
    from .load import device_key, step_key, visitors_key

    exact = report.exact
    periods = [visitors_key(period) for period in (exact.periods if report.cube is None else sorted(exact.periods))]
    devices = [device_key(device) for device in exact.devices]
    steps = [step_key(step) for step in list(report.funnel_steps)[:8]]
    lines: list[list[str]] = []
    if report.cube is not None:
        cube, now = report.cube, ["AT", str(millis(report.cube.now))]
        lines += [["HLL.CUBE.SERIES", KEY, "BUCKET", "1d", "LAST", "7d", *now], ["HLL.CUBE.QUERY", KEY, "LAST", "7d", *now, "COMPARE", "PREVIOUS"],
                  ["HLL.CUBE.LIFECYCLE", KEY, "EVERY", "1w", "LAST", "28d", *now], ["HLL.CUBE.INFO", KEY]]
        lines += [["HLL.CUBE.TOP", KEY, name, "10", "LAST", "24h", *now] for name in cube.shape.dimensions[-1:]]
        if len(report.funnel_steps) > 1:
            names = [os.fsdecode(key_value(step)) for step in list(report.funnel_steps)[:8]]
            lines.append(["HLL.CUBE.FUNNEL", KEY, "step", "STEPS", str(len(names)), *names])
    lines += [["HLL.COUNT", *periods[-2:]], ["HLL.ADD", periods[-1], "somebody-new"]]
    if len(periods) > 1:
        lines.append(["HLL.INTERSECT", "2", *periods[-2:]])
    if report.cube is None:
        if len(periods) > 1:
            lines.append(["HLL.RETENTION", "COHORTS", "1", periods[0], "PERIODS", str(len(periods[1:8])), *periods[1:8]])
        if len(steps) > 1:
            lines.append(["HLL.FUNNEL", str(len(steps)), *steps])
        if len(devices) > 1:
            lines.append(["HLL.OVERLAP", str(len(devices[:5])), *devices[:5]])
    if report.cube is not None:
        print("\nThe same as a live page: scripts/run --board" + (f", or of this server:\n\n  redis-hll board --url redis://127.0.0.1:{port} --cube {KEY}"
                                                              if kept else ""))
    print("\nTo go on by hand:\n" if kept else f"\nCommands to try on a server that is left running (--keep --port {port}):\n")
    for line in lines:
        print("  " + shlex.join(["redis-cli", "-p", str(port), *line]))


if __name__ == "__main__":
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone (head, less): nothing more to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)
