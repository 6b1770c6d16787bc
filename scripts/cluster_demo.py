"""What scripts/cluster shows. The clusters are those of the tests."""

import argparse
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from clusters import Cluster, slot_of  # noqa: E402
from resp import ReplyError  # noqa: E402
from servers import Server, wait_for  # noqa: E402

DAYS = 28
VISITORS = 30_000
STEPS = ["viewed", "added", "bought"]


def visits(seed: int) -> tuple[list[set[str]], list[set[str]]]:
    """Who came on each day, and who got to each step. Some come once, some again and again."""
    rng = random.Random(seed)
    days: list[set[str]] = [set() for _ in range(DAYS)]
    steps: list[set[str]] = [set() for _ in STEPS]
    for number in range(VISITORS):
        visitor, first = f"user:{number}", rng.randrange(DAYS)
        faithful = rng.random()
        for day in range(first, DAYS):
            if day == first or rng.random() < faithful * 0.3:
                days[day].add(visitor)
        for step, chance in zip(steps, (0.9, 0.4, 0.3)):
            if rng.random() > chance:
                break
            step.add(visitor)
    return days, steps


class Demo:
    def __init__(self, cluster: Cluster, days: list[set[str]], steps: list[set[str]]) -> None:
        self.cluster, self.days, self.steps = cluster, days, steps
        self.keys = [f"visits:{day + 1:02}" for day in range(DAYS)]
        self.step_keys = [f"step:{step}" for step in STEPS]

    def load(self) -> None:
        client = self.cluster.client()
        for key, members in zip(self.keys + self.step_keys, self.days + self.steps):
            ordered = sorted(members)
            for begin in range(0, len(ordered), 1000):
                client("HLL.ADD", key, *ordered[begin:begin + 1000])
        owners = self.cluster.owners()
        for node in self.cluster.primaries:
            mine = sum(owners[slot_of(key)] == self.cluster.ids[node] for key in self.keys)
            print(f"  port {node.port}: {mine} of {DAYS} days")

    def fields(self, flat: list[Any]) -> dict[str, float]:
        return {name.decode(): float(value) for name, value in zip(flat[::2], flat[1::2]) if name not in (b"method", b"step", b"cohort", b"period", b"periods")}

    def show(self) -> None:
        client = self.cluster.client()
        found = self.fields(client("HLL.CLUSTER", "ESTIMATE", DAYS, *self.keys))
        print(f"\nvisitors of {DAYS} days: {found['estimate']:,.0f} ({found['lower']:,.0f} to {found['upper']:,.0f}), exactly {len(set().union(*self.days)):,}")
        print("\nfunnel            users   of them lower    upper  exactly")
        reached = self.steps[0]
        for name, step, row in zip(STEPS, self.steps, client("HLL.CLUSTER", "FUNNEL", len(STEPS), *self.step_keys)):
            reached = reached & step
            got = self.fields(row)
            print(f"  {name:12} {got['users']:9,.0f}   {got['lower']:13,.0f} {got['upper']:8,.0f} {len(reached):8,}")
        weeks = [set().union(*self.days[w * 7:w * 7 + 7]) for w in range(4)]
        week_keys = [f"week:{w + 1}" for w in range(4)]
        for w, key in enumerate(week_keys):
            client("HLL.CLUSTER", "MERGE", key, *self.keys[w * 7:w * 7 + 7])
        print("\nretention         " + "".join(f"{key:>18}" for key in week_keys) + "     (exactly)")
        table = client("HLL.CLUSTER", "RETENTION", "COHORTS", 4, *week_keys, "PERIODS", 4, *week_keys)
        for w, row in enumerate(table):
            cells = [self.fields(cell)["users"] for cell in row[row.index(b"periods") + 1]]
            print(f"  {week_keys[w]:16}" + "".join(f"{cell:9,.0f} ({len(weeks[w] & week):6,})" for cell, week in zip(cells, weeks)))

    def while_asked(self, asker: Server, what: str, does: Callable[[], None]) -> None:
        """Asks all the time while something happens, and tells what came."""
        own, client = self.cluster.key_of(asker, "none"), asker.client()
        expected = client("HLL.CLUSTER", "COUNT", own, *self.keys)
        answers: list[int] = []
        errors: list[str] = []
        done = threading.Event()

        def asks() -> None:
            while not done.is_set():
                try:
                    answers.append(client("HLL.CLUSTER", "COUNT", own, *self.keys))
                except ReplyError as error:
                    errors.append(error.text)

        asking = threading.Thread(target=asks)
        asking.start()
        begin = time.monotonic()
        does()
        took = time.monotonic() - begin
        time.sleep(0.2)
        done.set()
        asking.join()
        wrong = sum(answer != expected for answer in answers)
        print(f"\n{what} ({took:.1f} s): {len(answers):,} answers, {wrong} of them wrong, and {len(errors)} errors")
        for text in sorted(set(errors)):
            print(f"  {errors.count(text)} x {text}")

    def move(self) -> None:
        key = self.keys[0]
        source = self.cluster.node_of(key)
        target = next(node for node in self.cluster.primaries if node is not source)
        for _ in range(10):
            self.cluster.move(slot_of(key), source, target)
            source, target = target, source

    def kill(self, victim: Server, asker: Server) -> None:
        victim.kill()
        gone = self.cluster.ids[victim]
        wait_for("a replica to take over", lambda: gone not in self.cluster.owners(asker), seconds=60)


def main() -> None:
    parser = argparse.ArgumentParser(description="A cluster on this machine, asked as one.")
    there = sorted(path.name for path in (ROOT / "target" / "servers").iterdir() if path.name != "packages")
    parser.add_argument("--server", choices=there, default=there[0])
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    binary, module = ROOT / "target" / "servers" / options.server, ROOT / "target" / "release" / "libredis_hll.so"
    servers: list[Server] = []

    def start(name: str, server_options: dict[str, Any] | None = None, build: str = "") -> Server:
        servers.append(Server(name, str(binary), str(module), server_options).start())
        return servers[-1]

    try:
        print(f"three primaries and three replicas of {options.server}")
        demo = Demo(Cluster(start, options.server, 3, 3, node_timeout=1500), *visits(options.seed))
        demo.load()
        demo.show()
        first, second, third = demo.cluster.primaries
        demo.while_asked(third, "while the slot of the first day moves ten times", demo.move)
        demo.while_asked(first, f"while the primary on port {second.port} dies", lambda: demo.kill(second, first))
    finally:
        for server in servers:
            server.remove()
    print("\nall stopped")


if __name__ == "__main__":
    main()
