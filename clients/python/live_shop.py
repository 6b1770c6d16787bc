#!/usr/bin/env python3
"""A made-up shop that is going on, and its board: what `scripts/run --board` shows. Starts a server, fills a cube with some weeks
that end now (tests/shop.py), starts `redis-hll board`, and then lets visitors come until it is interrupted. Then everything is
stopped and removed.
"""

import argparse
import heapq
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE / "tests"), str(ROOT / "scripts")]

TICK = 0.5  # seconds between two looks at who has come
MEMORY = 4  # visits of so many days are remembered as people who may come back
CONFIG = """
[board]
[[board.cubes]]
key = "shop"
title = "A made-up shop"
step = "step"
steps = ["view", "cart", "checkout", "buy"]
lists = ["page", "country", "device", "channel"]
currency = "EUR"
money = ["cost", "revenue"]
[board.cubes.labels]
view = "Looked"
cart = "Cart"
checkout = "Checkout"
buy = "Bought"
"""


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/run --board", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", metavar="PATH", default="redis-server", help="redis-server or valkey-server to start (default: the one found)")
    parser.add_argument("--port", type=int, help="port of the server (default: a free one)")
    parser.add_argument("--listen", default="127.0.0.1:8321", metavar="HOST:PORT", help="where the board is to be seen (default: %(default)s)")
    parser.add_argument("--visits", type=int, default=5000, help="a day, before now (default: %(default)s)")
    parser.add_argument("--days", type=int, default=62, help="that have been already (default: %(default)s)")
    parser.add_argument("--pace", type=float, default=1.0, help="visits a second from now on (default: %(default)s)")
    parser.add_argument("--module", type=Path, default=ROOT / "target" / "release" / "libredis_hll.so", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not 10 <= given.visits <= 1_000_000 or not 1 <= given.days <= 400 or not 0.01 <= given.pace <= 1000:
        parser.error("--visits is 10 to 1,000,000, --days 1 to 400, --pace 0.01 to 1,000")
    return given


def go_on(cube, given, board, rng):
    """Visitors come until the board ends. What they do later waits in a heap by its time."""
    import shop

    people, waiting, number = MEMORY * given.visits, [], 0
    while board.poll() is None:
        now = int(time.time() * 1000)
        expected = given.pace * TICK
        for _ in range(int(expected) + (rng.random() < expected % 1)):
            who, people = shop.somebody(people, rng)
            for event in shop.visit(who, now, rng):
                heapq.heappush(waiting, (event.at, number, event))
                number += 1
        due = []
        while waiting and waiting[0][0] <= now:
            due.append(heapq.heappop(waiting)[2])
        if due:
            cube.add_many(due)
        time.sleep(TICK)
    return board.returncode


def main():
    given = arguments()
    if given.check:
        return 0
    import redis
    import shop
    from local_server import Server, ServerError
    from redis_hll import HLL

    # Stopped from outside is like Ctrl-C: whatever was started is stopped, whatever was made is removed.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with Server(given.server, ROOT / "redis.conf", given.module.resolve(), given.port) as server:
            cube = HLL(redis.Redis(port=server.port)).cube("shop")
            print(f"      {given.days} days of about {given.visits:,} visits each ...", flush=True)
            shop.fill(cube, days=given.days, visits=given.visits, now=int(time.time() * 1000))
            config = server.directory / "board.toml"
            config.write_text(CONFIG, encoding="utf-8")
            board = subprocess.Popen([sys.executable, "-m", "redis_hll.cli.main", "board", "--url", f"redis://127.0.0.1:{server.port}", "--config", str(config),
                                      "--listen", given.listen])
            print(f"      from now on {given.pace:g} visits a second, until Ctrl-C", flush=True)
            try:
                return go_on(cube, given, board, random.Random())
            finally:
                board.terminate()
                board.wait(20)
    except ServerError as error:
        print(f"\nERROR: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; board and server are stopped and their files removed.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
