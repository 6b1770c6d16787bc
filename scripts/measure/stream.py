"""Synthetic events, sent to a server by the program of benches/events.rs, and the cube that takes them.

What is sent is said there: 14,000 events an hour of 200,000 users with five dimensions, a page and a step if they are wanted. A
program of its own sends them, since one in Python would be slower than the server.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import NamedTuple

import redis
from local_server import Server, ServerError

from .context import ROOT
from .wire import WireError

PROGRAM = ROOT / "target" / "release" / "events"
MODULE = ROOT / "target" / "release" / "libredis_hll.so"

# As in benches/stream/mod.rs: names of dimensions and how many values they have, and the first instant.
CARDINALITIES = {"device": 2, "channel": 10, "country": 50, "campaign": 200, "category": 1_000}
PAGES = 100_000
STEPS = ("view", "cart", "checkout", "buy")
START = 1_736_121_600_000
HOUR = 3_600_000

KEY = "shop"


@dataclass(frozen=True)
class Plan:
    """Which events: how many of them, with a page and a step or not, in order of time, `backfill` or `silence`."""

    events: int
    seed: int = 1
    pages: bool = False
    steps: bool = False
    order: str = "time"

    @property
    def dimensions(self) -> dict[str, int]:
        """Names and numbers of values."""
        return CARDINALITIES | ({"page": PAGES} if self.pages else {}) | ({"step": len(STEPS)} if self.steps else {})

    def program(self, way: str, *more: object) -> list[str]:
        """The command line that sends them, or prints them."""
        if not PROGRAM.exists():
            raise ServerError(f"there is no {PROGRAM.relative_to(ROOT)}; scripts/bench --cubes builds it")
        line = [PROGRAM, way, "--events", self.events, "--seed", self.seed, "--order", self.order, "--key", KEY, *more]
        return [str(word) for word in line] + ["--pages"] * self.pages + ["--steps"] * self.steps


class Fed(NamedTuple):
    """How many events were sent, how long it took, and how long of that the next commands were not ready."""

    events: int
    seconds: float
    starved: float


def feed(port: int, plan: Plan, way: str, first: int = 0, last: int | None = None) -> Fed:
    """Sends the events from the one number up to the other."""
    line = plan.program(way, "--port", port, "--first", first, "--last", plan.events if last is None else last)
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise WireError(f"{' '.join(line[1:])} failed, see above")
    return Fed(**json.loads(done.stdout))


def start(name: str) -> Server:
    """A server of scripts/servers with the module, that keeps percentiles to the longest and the commands above 1 ms."""
    binary = ROOT / "target" / "servers" / name
    for path in (binary, MODULE):
        if not path.exists():
            raise ServerError(f"there is no {path.relative_to(ROOT)}; scripts/servers and scripts/build make them")
    return Server(str(binary), ROOT / "redis.conf", MODULE, options={
        "slowlog-log-slower-than": "1000", "slowlog-max-len": "1000000", "latency-tracking": "yes",
        # For DEBUG RELOAD.
        "enable-debug-command": "local"})


def prepare(client: redis.Redis) -> int:
    """Bytes that the server uses while it is empty, after it was asked to keep percentiles up to the longest."""
    client.config_set("latency-tracking-info-percentiles", "50 99 99.9 99.99 100")
    return settled(client)


def settled(client: redis.Redis) -> int:
    """Bytes that the server uses, once other clients are gone, statistics are empty, and tables have stopped to shrink."""
    client.config_resetstat()
    client.slowlog_reset()
    used, before = 0, -1
    while client.info("clients")["connected_clients"] > 1 or used != before:
        time.sleep(1.5)
        before, used = used, int(client.info("memory")["used_memory"])
    return used


def create(client: redis.Redis, plan: Plan) -> None:
    words = [word for name, count in plan.dimensions.items() for word in ("DIMENSION", name, "VALUES", count)]
    tiers = ["TIER", "1h", "48h", "TIER", "1d", "90d", "TIER", "1w", "53w", "TIER", "1mo", "36mo"]
    # For a funnel and a campaign of parts.
    groups = ["GROUP", "country,step", "GROUP", "channel,step"] if plan.steps else []
    client.execute_command("HLL.CUBE.CREATE", KEY, *tiers, *words, *groups)


def told(text: str) -> None:
    """What is being done, beside the tables."""
    print(f"      {text}", file=sys.stderr, flush=True)


def saved_bytes(client: redis.Redis) -> int:
    """Of the database file."""
    client.save()
    settings = client.config_get("*d*")
    return os.path.getsize(os.path.join(settings["dir"], settings["dbfilename"]))


def newest(client: redis.Redis) -> int:
    """The time of the cube's newest event."""
    return int(described(client)["newest"])


def described(client: redis.Redis) -> dict[str, int]:
    """What HLL.CUBE.INFO says."""
    return {name.decode(): value for name, value in client.execute_command("HLL.CUBE.INFO", KEY).items()}


def counted(client: redis.Redis) -> int:
    """Events of all time that the cube has."""
    return int(client.execute_command("HLL.CUBE.COUNT", KEY)[b"events"])


def known_commands(client: redis.Redis) -> set[str]:
    """Those that the module has, in lower case."""
    return {name.decode().lower() for name in client.command_list(pattern="hll.*")}


def long_answers(client: redis.Redis) -> int:
    """How many answers other threads have made so far."""
    return int(client.info("everything")["hll_long_answers_done"])


def statistics_of(client: redis.Redis, *names: str) -> dict[str, float]:
    """Calls and microseconds of these commands since the statistics were reset, and the percentiles of the last of them."""
    stats = {name.lower().removeprefix("cmdstat_"): value for name, value in client.info("commandstats").items()}
    found = [stats[name] for name in names if name in stats]
    percentiles = {name.lower().removeprefix("latency_percentiles_usec_"): value for name, value in client.info("latencystats").items()}
    return {"calls": sum(one["calls"] for one in found), "usec": sum(one["usec"] for one in found), **percentiles.get(names[-1], {})}
