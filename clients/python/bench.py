"""Events a second of `load` and `add_many`, beside the same by hand with a pipeline of the client library.

    target/venv-client/bin/python clients/python/bench.py --module target/release/libredis_hll.so

Starts a server of its own. Each way is taken in turn, several rounds, and the medians are printed; with --write they go into the
table of docs/python.md. Times depend on the machine, and on what else runs there: compare those of one run.
"""

import argparse
import csv
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import redis  # noqa: E402 (the path comes first)
import servers  # noqa: E402

from redis_hll import HLL  # noqa: E402

BEGIN = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp() * 1000)
DIMENSIONS = ("step", "device", "country")
STEPS, DEVICES, COUNTRIES = ("look", "cart", "pay"), ("mobile", "desktop"), ("DE", "FR", "IN", "US", "GB")


def rows(number: int) -> list[tuple[str, int, str, str, str, str]]:
    """Events of a fifth as many users, one each second."""
    return [(f"visitor-{n * 7919 % (number // 5):07d}", BEGIN + 1000 * n, STEPS[n % 3], DEVICES[n % 2], COUNTRIES[n % 5],
             "59.9" if n % 3 == 2 else "") for n in range(number)]


def make_cube(client: redis.Redis) -> None:
    HLL(client).cube("shop").create(tiers=[("1h", "48h"), ("1d", "400d")], dimensions=DIMENSIONS, measures=["revenue"], new=14)


def by_hand_one(client: redis.Redis, events: list[tuple[str, int, str, str, str, str]]) -> None:
    """A command an event, a thousand in a pipeline: what one writes first."""
    for start in range(0, len(events), 1000):
        pipeline = client.pipeline(transaction=False)
        for user, at, step, device, country, revenue in events[start:start + 1000]:
            pipeline.execute_command("HLL.CUBE.ADD", "shop", at, user, "step", step, "device", device, "country", country, "revenue", revenue)
        pipeline.execute()


def by_hand_many(client: redis.Redis, events: list[tuple[str, int, str, str, str, str]]) -> None:
    """200 rows a command, 16 commands in a pipeline: what one comes to after measuring."""
    for start in range(0, len(events), 3200):
        pipeline = client.pipeline(transaction=False)
        for first in range(start, min(start + 3200, len(events)), 200):
            words = [word for user, at, *values in events[first:first + 200] for word in (at, user, *values)]
            pipeline.execute_command("HLL.CUBE.MADD", "shop", "FIELDS", 4, *DIMENSIONS, "revenue", "ROWS", *words)
        pipeline.execute()


FILE_BY_HAND = """
import csv, sys
from datetime import datetime
import redis

path, port = sys.argv[1:]
client = redis.Redis(port=int(port))
with open(path, encoding="utf-8", newline="") as file:
    events = [(row["user"], int(datetime.fromisoformat(row["time"]).timestamp() * 1000), row["step"], row["device"], row["country"],
               row["revenue"]) for row in csv.DictReader(file)]
for start in range(0, len(events), 3200):
    pipeline = client.pipeline(transaction=False)
    for first in range(start, min(start + 3200, len(events)), 200):
        words = [word for event in events[first:first + 200] for word in (event[1], event[0], *event[2:])]
        pipeline.execute_command("HLL.CUBE.MADD", "shop", "FIELDS", 4, "step", "device", "country", "revenue", "ROWS", *words)
    pipeline.execute()
"""  # a program of its own, as the one it is compared with is


def elements_one(client: redis.Redis, elements: list[str]) -> None:
    for start in range(0, len(elements), 1000):
        pipeline = client.pipeline(transaction=False)
        for element in elements[start:start + 1000]:
            pipeline.execute_command("HLL.ADD", "k", element)
        pipeline.execute()


def elements_many(client: redis.Redis, elements: list[str]) -> None:
    for start in range(0, len(elements), 16_000):
        pipeline = client.pipeline(transaction=False)
        for first in range(start, min(start + 16_000, len(elements)), 1000):
            pipeline.execute_command("HLL.ADD", "k", *elements[first:first + 1000])
        pipeline.execute()


def measure(client: redis.Redis, number: int, rounds: int, directory: Path, url: str) -> dict[tuple[str, str], float]:
    """Thousand events a second: medians, by what is sent and by the way."""
    events = rows(number)
    elements = [event[0] for event in events]
    path = directory / "events.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user", "time", *DIMENSIONS, "revenue"])
        writer.writerows((user, datetime.fromtimestamp(at / 1000, UTC).isoformat(), *values) for user, at, *values in events)
    command = [sys.executable, "-m", "redis_hll.cli.main", "load", str(path), "--cube", "shop", "--url", url]
    by_hand = [sys.executable, "-c", FILE_BY_HAND, str(path), url.rsplit(":", 1)[1]]
    hll = HLL(client)
    ways: dict[tuple[str, str], Callable[[], object]] = {
        ("elements of a sketch", "one a command"): lambda: elements_one(client, elements),
        ("elements of a sketch", "batches by hand"): lambda: elements_many(client, elements),
        ("elements of a sketch", "this package"): lambda: hll.add_many("k", elements),
        ("events of a cube", "one a command"): lambda: by_hand_one(client, events),
        ("events of a cube", "batches by hand"): lambda: by_hand_many(client, events),
        ("events of a cube", "this package"): lambda: hll.cube("shop").add_many(events, fields=(*DIMENSIONS, "revenue")),
        ("a CSV file into a cube", "batches by hand"): lambda: subprocess.run(by_hand, check=True),
        ("a CSV file into a cube", "this package"): lambda: subprocess.run(command, check=True, capture_output=True),
    }
    taken: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, run in ways.items():
            client.flushall()
            make_cube(client)
            begin = time.perf_counter()
            run()
            taken[way].append(time.perf_counter() - begin)
            counted = hll.cube("shop").count().events
            assert way[0].startswith("elements") or counted == number, (way, counted)
    return {way: number / 1000 / statistics.median(seconds) for way, seconds in taken.items()}


def table(found: dict[tuple[str, str], float]) -> str:
    """The figures as a table of Markdown."""
    ways = ("one a command", "batches by hand", "this package")
    lines = [f"| thousand a second | {' | '.join(ways)} |", "|---|---|---|---|"]
    for what in dict.fromkeys(what for what, _ in found):
        lines.append(f"| {what} | {' | '.join(f'{found[what, way]:,.0f}' if (what, way) in found else '' for way in ways)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", default=str(ROOT / "target" / "release" / "libredis_hll.so"))
    parser.add_argument("--server", default=str(ROOT / "target" / "servers" / "redis-8.2"))
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="into docs/python.md")
    arguments = parser.parse_args()
    server = servers.Server("bench", arguments.server, arguments.module).start()
    try:
        with tempfile.TemporaryDirectory() as directory, redis.Redis(port=server.port) as client:
            found = measure(client, arguments.events, arguments.rounds, Path(directory), f"redis://127.0.0.1:{server.port}")
            version = client.info("server").get("valkey_version") or client.info("server")["redis_version"]
    finally:
        server.remove()
    try:
        import hiredis
        packing = f"hiredis {hiredis.__version__}"
    except ImportError:
        packing = "without hiredis"
    note = (f"Python {platform.python_version()}, redis-py {redis.__version__}, {packing}, server {version}; {arguments.events:,} events, "
            f"medians of {arguments.rounds} rounds.")
    print(table(found), note, sep="\n\n")
    if arguments.write:
        page = ROOT / "docs" / "python.md"
        text = page.read_text(encoding="utf-8")
        made = f"<!-- bench -->\n{table(found)}\n\n{note}\n<!-- end -->"
        page.write_text(re.sub(r"<!-- bench -->.*<!-- end -->", lambda _: made, text, flags=re.S), encoding="utf-8")


if __name__ == "__main__":
    main()
