"""What HLL.CLUSTER takes on clusters of this machine, as tables of docs/cluster.md: scripts/bench --cluster.

    scripts/bench --cluster                          Redis 7.0, Redis 8.2 and Valkey 9.1, some five minutes; writes the tables
    scripts/bench --cluster --quick valkey-9.1       small sizes, to try the program; only prints

Every server and every client is on this machine and takes its share of the same processors. Single questions are timed by a client
with a socket of its own, waiting clients by redis-benchmark, which is compiled and does nothing else; what others wait meanwhile is
the longest PING of a process of its own at each node. A client that fetches the sketches is redis-py with a pipeline for each node
(HLL.EXPORT), and then has one node unite them (HLL.IMPORT with MERGE).
"""

import argparse
import csv
import multiprocessing
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from .context import ROOT
from .waits import pings

sys.path.insert(0, str(ROOT / "tests"))

from clusters import Cluster, slot_of  # noqa: E402 (the path comes first)
from resp import Client, ReplyError, encode  # noqa: E402
from servers import Server, wait_for  # noqa: E402

from .__main__ import machine  # noqa: E402

SERVERS = ("redis-7.0", "redis-8.2", "valkey-9.1")
PAGE = ROOT / "docs" / "cluster.md"
BEGIN, END = "<!-- scripts/bench --cluster: begin -->", "<!-- scripts/bench --cluster: end -->"
# So many dense sketches that differ; keys are copies of them.
KINDS = 64
ELEMENTS = 20_000
CLIENTS = 16
PING_PAUSE = 0.001  # seconds in which the servers have the processors


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    keys: int
    nodes: tuple[int, ...]
    rounds: int
    single: int    # questions of one client, one after the other
    together: int  # questions of sixteen


WHOLE = Sizes(10_000, (1, 3, 6), 11, 4_000, 40_000)
QUICK = Sizes(600, (1, 3), 3, 300, 2_000)


@contextmanager
def cluster_of(server: str, nodes: int, nodelay: str = "yes") -> Iterator[Cluster]:
    binary, module = ROOT / "target" / "servers" / server, ROOT / "target" / "release" / "libredis_hll.so"
    servers: list[Server] = []

    def start(name: str, options: dict[str, Any] | None = None, build: str = "") -> Server:
        servers.append(Server(name, str(binary), str(module), options, ["cluster-nodelay", nodelay]).start())
        return servers[-1]

    try:
        # Messages to nodes are not held up by the time after which these are taken for dead.
        yield Cluster(start, server, nodes, node_timeout=15_000)
    finally:
        for each in servers:
            each.remove()


def payloads(client: Client) -> list[bytes]:
    """Dense sketches of the default precision, 8 KiB each in memory."""
    made = []
    for kind in range(KINDS):
        client("HLL.ADD", "made", *range(kind * ELEMENTS, (kind + 1) * ELEMENTS))
        made.append(client("DUMP", "made"))
        client("DEL", "made")
    return made


def fill(cluster: Cluster, made: Sequence[bytes], number: int) -> list[str]:
    """Keys of all slots; the first one is the first node's."""
    keys = [f"k{at}" for at in range(number)]
    owners = cluster.owners()
    for node in cluster.primaries:
        mine = [at for at in range(number) if owners[slot_of(keys[at])] == cluster.ids[node]]
        replies = node.c.pipe([("RESTORE", keys[at], 0, made[at % len(made)], "REPLACE") for at in mine])
        assert set(replies) == {"OK"}, replies[0]
    first = next(at for at, key in enumerate(keys) if owners[slot_of(key)] == cluster.ids[cluster.primaries[0]])
    keys.insert(0, keys.pop(first))
    return keys


def timed(client: Client, rounds: int, *command: Any) -> list[float]:
    """Milliseconds of each round, the first of which is not counted."""
    times, message = [], encode(command)
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        client.sock.sendall(message)
        reply = client.read()
        times.append((time.perf_counter() - begin) * 1000)
        if isinstance(reply, ReplyError):
            raise reply
    return times[1:]


@contextmanager
def pinged(cluster: Cluster) -> Iterator[list[float]]:
    """The list has each node's longest PING afterwards, in milliseconds."""
    longest: list[float] = []
    stop, told = multiprocessing.Event(), multiprocessing.Queue()  # type: ignore[var-annotated]
    clients = [multiprocessing.Process(target=pings, args=(node.port, stop, told, PING_PAUSE)) for node in cluster.primaries]
    for client in clients:
        client.start()
    for _ in clients:
        told.get(timeout=30)
    try:
        yield longest
    finally:
        stop.set()
        longest += [told.get(timeout=30) * 1000 for _ in clients]
        for client in clients:
            client.join()


def loaded(port: int, clients: int, questions: int, *command: str) -> dict[str, float]:
    """What redis-benchmark says: rps and milliseconds."""
    done = subprocess.run(["redis-benchmark", "-p", str(port), "-c", str(clients), "-n", str(questions), "--csv", *command],
                          capture_output=True, text=True, check=True, timeout=300)
    (row,) = csv.DictReader(line for line in done.stdout.splitlines() if line.startswith('"'))
    return {name: float(value) for name, value in row.items() if name != "test"}


def fetched(cluster: Cluster, keys: Sequence[str]) -> tuple[float, float, int]:
    """Milliseconds that redis-py takes to fetch all sketches from their nodes, those until they are united and counted (by one of
    the nodes, HLL.IMPORT with MERGE), and their bytes."""
    owners, took, size, all_sketches = cluster.owners(), 0.0, 0, []
    for node in cluster.primaries:
        mine = [key for key in keys if owners[slot_of(key)] == cluster.ids[node]]
        with redis.Redis(port=node.port) as client, client.pipeline(transaction=False) as together:
            client.ping()
            begin = time.perf_counter()
            for key in mine:
                together.execute_command("HLL.EXPORT", key)
            sketches = together.execute()
            took += time.perf_counter() - begin
            size += sum(map(len, sketches))
            all_sketches += sketches
    name = cluster.key_of(cluster.primaries[0], "union")
    with redis.Redis(port=cluster.primaries[0].port) as client, client.pipeline(transaction=False) as together:
        client.execute_command("HLL.CREATE", name)
        begin = time.perf_counter()
        for sketch in all_sketches:
            together.execute_command("HLL.IMPORT", name, "FORMAT", "NATIVE", sketch, "MERGE")
        together.execute_command("HLL.COUNT", name)
        count = together.execute()[-1]
        united = took + time.perf_counter() - begin
        client.delete(name)
    assert count == cluster.primaries[0].c("HLL.CLUSTER", "COUNT", *keys), "another count"
    return took * 1000, united * 1000, size


def bus_bytes(cluster: Cluster) -> int:
    return sum(int(node.info(section="hll")["hll_cluster_messages_sent_bytes"]) for node in cluster.primaries)


@dataclass
class Figures:
    """Of one server: rows of the tables, by their first cells."""

    wide: dict[str, str]
    narrow: dict[str, str]
    growth: dict[tuple[int, int], str]


def wide(cluster: Cluster, keys: Sequence[str], sizes: Sizes) -> dict[str, str]:
    """The union of all keys, beside a client that fetches them."""
    node = cluster.primaries[0]
    client = node.client()
    before = bus_bytes(cluster)
    with pinged(cluster) as idle:
        time.sleep(1)
    times = timed(client, sizes.rounds, "HLL.CLUSTER", "COUNT", *keys)
    on_the_bus = (bus_bytes(cluster) - before) / (sizes.rounds + 1)
    with pinged(cluster) as longest:
        timed(client, sizes.rounds, "HLL.CLUSTER", "COUNT", *keys)
    took, united, size = min((fetched(cluster, keys) for _ in range(3)), key=lambda all_of_it: all_of_it[1])
    count = client("HLL.CLUSTER", "COUNT", *keys)
    reply, median = len(f":{count}\r\n"), statistics.median(times)
    return {"at the client, median": f"{median:.1f} ms", "slowest": f"{max(times):.1f} ms",
            "redis-py that only fetches them": f"{took:,.0f} ms, {took / median:.0f} times as long",
            "redis-py that fetches them and has them united": f"{united:,.0f} ms, {united / median:.0f} times as long",
            "bytes to the client": f"{reply}", "bytes to one that fetches": f"{size:,}", "times as many": f"{size / reply:,.0f}",
            "bytes on the bus": f"{on_the_bus:,.0f}",
            "longest PING of others, when nothing is asked": f"{max(idle):.1f} ms", "longest PING of others meanwhile": f"{max(longest):.1f} ms"}


def narrow(server: str, made: Sequence[bytes], sizes: Sizes) -> dict[str, str]:
    """The union of five keys of three nodes, with and without NODELAY."""
    found: dict[str, str] = {}
    for nodelay in ("yes", "no"):
        with cluster_of(server, 3, nodelay) as cluster:
            keys = fill(cluster, made, 5)
            assert len({cluster.node_of(key) for key in keys}) == 3
            node = cluster.primaries[0]
            wanted = 2 if nodelay == "yes" else 0
            wait_for("connections to be as wished", lambda: node.info(section="hll")["hll_cluster_links_at_once"] == str(wanted))
            question = ("HLL.CLUSTER", "COUNT", *keys)
            loaded(node.port, 4, sizes.single // 4, *question)
            one = loaded(node.port, 1, sizes.single, *question)
            found[f"one client, cluster-nodelay {nodelay}: p50 / p99"] = f"{one['p50_latency_ms']:.2f} / {one['p99_latency_ms']:.2f} ms"
            many = loaded(node.port, CLIENTS, sizes.together if nodelay == "yes" else sizes.together // 10, *question)
            found[f"{CLIENTS} clients, cluster-nodelay {nodelay}: answers a second"] = f"{many['rps']:,.0f}"
            found[f"{CLIENTS} clients, cluster-nodelay {nodelay}: p50 / p99 / longest"] = (
                f"{many['p50_latency_ms']:.2f} / {many['p99_latency_ms']:.2f} / {many['max_latency_ms']:.1f} ms")
            if nodelay == "yes":
                ping = loaded(node.port, CLIENTS, sizes.together, "PING")
                found[f"{CLIENTS} clients that PING, for comparison: answers a second"] = f"{ping['rps']:,.0f}"
    return found


def measure(server: str, sizes: Sizes) -> Figures:
    figures = Figures({}, {}, {})
    made: list[bytes] = []
    for nodes in sizes.nodes:
        print(f"      {server}: {nodes} primaries, {sizes.keys:,} keys", flush=True)
        with cluster_of(server, nodes) as cluster:
            first = cluster.primaries[0]
            if not made:
                own = first.client()
                made = payloads(_Tagged(own, cluster.key_of(first)))  # type: ignore[arg-type]
            keys = fill(cluster, made, sizes.keys)
            client = first.client()
            for number in (sizes.keys // 100, sizes.keys // 10, sizes.keys):
                times = timed(client, sizes.rounds, "HLL.CLUSTER", "COUNT", *keys[:number])
                figures.growth[number, nodes] = f"{statistics.median(times):.1f} ms"
            if nodes == 3:
                figures.wide = wide(cluster, keys, sizes)
    print(f"      {server}: five keys, one client and {CLIENTS}", flush=True)
    figures.narrow = narrow(server, made, sizes)
    return figures


class _Tagged:
    """A client that calls the one key that it has by a name that its node has."""

    def __init__(self, client: Client, name: str) -> None:
        self.client, self.name = client, name

    def __call__(self, *command: Any) -> Any:
        return self.client(command[0], self.name, *command[2:])


def table(title: str, servers: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    lines = [f"| {title} | {' | '.join(servers)} |", "|---|" + "---:|" * len(servers)]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in rows)])


def tables(found: dict[str, Figures], sizes: Sizes) -> str:
    servers = list(found)
    first = found[servers[0]]

    def of(part: str) -> list[tuple[str, list[str]]]:
        return [(name, [getattr(found[server], part)[name] for server in servers]) for name in getattr(first, part)]

    growth = [(f"{number:,} keys on {nodes} {'primary' if nodes == 1 else 'primaries'}, {number // nodes:,} on each",
               [found[server].growth[number, nodes] for server in servers]) for number, nodes in sorted(first.growth)]
    return "\n\n".join([
        table(f"union of {sizes.keys:,} dense sketches on three primaries", servers, of("wide")),
        table("median of a union, by keys and nodes", servers, growth),
        table("union of five dense sketches on three primaries", servers, of("narrow"))])


def replaced(text: str, new: str) -> str:
    """The page with these tables; raises ValueError where it does not have the markers once."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"the page must have one {BEGIN} and one {END}")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{new}\n{END}{rest.partition(END)[2]}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench --cluster", description="what questions to a whole cluster take")
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"names of scripts/servers (default: {' '.join(SERVERS)}); with others it only prints")
    parser.add_argument("--quick", action="store_true", help="small sizes, to try the program; only prints")
    options = parser.parse_args()
    servers = tuple(options.servers) or SERVERS
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if shutil.which("redis-benchmark") is None:
        print("ERROR: there is no redis-benchmark, which is part of Debian's package redis-tools", file=sys.stderr)
        return 1
    sizes, begin = QUICK if options.quick else WHOLE, time.monotonic()
    found = {server: measure(server, sizes) for server in servers}
    about = f"All nodes and clients on one machine ({machine()}); medians of {sizes.rounds} rounds."
    text = f"{about}\n\n{tables(found, sizes)}"
    print(f"\n{text}\n\nmeasured in {time.monotonic() - begin:.0f} s")
    if servers == SERVERS and not options.quick:
        PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
        print(f"written to {PAGE.relative_to(Path(ROOT))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
