"""What the commands on several sets cost, as a multiple of one PFCOUNT of two dense keys in the same server process.

A funnel of five steps of 10^6, 4*10^5, 10^5, 4*10^4 and 2*10^4 users, a fifth of each having skipped the step before, is
loaded into PF keys and into sketches of the default precision. Then the questions are asked in turn, PFCOUNT first, round
by round, so that a machine that speeds up or slows down does so for all of them; of every round the ratio to that round's
PFCOUNT is kept. Times are the server's own (INFO commandstats, microseconds in the command), medians over the rounds.
"""

import argparse
import os
import platform
import random
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

import redis
from tqdm import tqdm

from local_server import Server

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ("redis-7.0", "redis-8.2", "valkey-9.1")
STEPS = (1_000_000, 400_000, 100_000, 40_000, 20_000)
BATCH = 10_000
BEGIN, END = "<!-- scripts/bench: begin -->", "<!-- scripts/bench: end -->"

BASE = ("PFCOUNT", "pf:0", "pf:1")
QUESTIONS: tuple[tuple[str, tuple[str | int, ...]], ...] = (
    ("count of one key", ("HLL.COUNT", "s:0")),
    ("count of the union of two keys", ("HLL.COUNT", "s:0", "s:1")),
    ("intersection of two", ("HLL.INTERSECT", 2, "s:0", "s:1")),
    ("funnel of three steps", ("HLL.FUNNEL", 3, "s:0", "s:1", "s:2")),
    ("funnel of five steps", ("HLL.FUNNEL", 5, "s:0", "s:1", "s:2", "s:3", "s:4")),
)


def load(client: redis.Redis, seed: int) -> None:
    """The steps: of each, four fifths come from the step before and the others never did it."""
    rng = random.Random(seed)
    before: list[str] = []
    for step, size in enumerate(STEPS):
        users = before[: size * 4 // 5] if before else []
        users += [f"{step}:{rng.getrandbits(64):x}" for _ in range(size - len(users))]
        pipeline = client.pipeline(transaction=False)
        for at in range(0, size, BATCH):
            pipeline.execute_command("PFADD", f"pf:{step}", *users[at : at + BATCH])
            pipeline.execute_command("HLL.ADD", f"s:{step}", *users[at : at + BATCH])
        pipeline.execute()
        rng.shuffle(users)
        before = users


def microseconds(client: redis.Redis, command: Sequence[str | int], calls: int) -> float:
    client.config_resetstat()
    pipeline = client.pipeline(transaction=False)
    for _ in range(calls):
        pipeline.execute_command(*command)
    pipeline.execute()
    stats = {name.lower(): values for name, values in client.info("commandstats").items()}
    return float(stats[f"cmdstat_{str(command[0]).lower()}"]["usec_per_call"])


def measure(name: str, rounds: int, calls: int) -> tuple[float, list[tuple[str, float, float]]]:
    """PFCOUNT's median, and for each question its median and its median ratio."""
    binary = ROOT / "target" / "servers" / name
    module = ROOT / "target" / "release" / "libredis_hll.so"
    with Server(str(binary), ROOT / "redis.conf", module, None, {}) as server, server.client() as client:
        load(client, seed=1)
        base: list[float] = []
        times: dict[str, list[float]] = {question: [] for question, _ in QUESTIONS}
        for _ in tqdm(range(rounds), desc=f"      {name}", disable=not sys.stderr.isatty()):
            base.append(microseconds(client, BASE, calls))
            for question, command in QUESTIONS:
                times[question].append(microseconds(client, command, calls))
    rows = []
    for question, taken in times.items():
        ratios = [time / reference for time, reference in zip(taken, base, strict=True)]
        rows.append((question, statistics.median(taken), statistics.median(ratios)))
    return statistics.median(base), rows


def table(results: dict[str, tuple[float, list[tuple[str, float, float]]]]) -> str:
    names = list(results)
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    lines.append("| PFCOUNT of two dense keys | " + " | ".join(f"{results[n][0]:.1f} µs" for n in names) + " |")
    for i, (question, _) in enumerate(QUESTIONS):
        cells = [f"{results[n][1][i][1]:,.1f} µs = {results[n][1][i][2]:.2f} ×" for n in names]
        lines.append(f"| {question} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description="the cost of the commands on several sets")
    parser.add_argument("servers", nargs="*", help="names of scripts/servers")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--calls", type=int, default=50, help="calls of each command in a round")
    options = parser.parse_args()
    names = options.servers or SERVERS
    results = {}
    for name in names:
        print(f"      {name}: {options.rounds} rounds", flush=True)
        results[name] = measure(name, options.rounds, options.calls)
    text = table(results)
    print(f"\n{text}")
    if not options.servers:
        path = ROOT / "docs" / "benchmarks.md"
        head, rest = path.read_text(encoding="utf-8").split(BEGIN)
        tail = rest.split(END)[1]
        note = f"{options.rounds} rounds of {options.calls} calls, {processor()}, {os.cpu_count()} cores"
        path.write_text(f"{head}{BEGIN}\n{text}\n\n{note}\n{END}{tail}", encoding="utf-8")
        print(f"\nwritten into {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
