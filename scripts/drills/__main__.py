"""Runs the drill and writes the table of docs/recovery.md: see scripts/drill.

With the module built it also runs by itself, from the root of the repository:

    PYTHONPATH=scripts target/venv/bin/python -m drills --quick --server target/servers/redis-7.0
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import redis
from local_server import ServerError
from measure.__main__ import machine

from . import page
from .clusters import cluster
from .scenarios import REPLICAS, Plan, Row, failover, from_archive, from_backup, restart
from .topology import ROOT, SENTINELS

PAGE = ROOT / "docs" / "recovery.md"
WRITERS = 4
# A failover may not take longer, and with `appendfsync always` and WAIT nothing acknowledged may be lost: else the drill fails.
FAILOVER_SECONDS = 30.0
LAG = 3.0

SAFE = ("failover-always-wait", "failover-lag-wait", "cluster")

SCENARIOS: dict[str, tuple[str, Callable[[Plan], Row]]] = {
    "failover-everysec": ("failover, appendfsync everysec", partial(failover, fsync="everysec", replicas=0)),
    "failover-everysec-wait": ("failover, appendfsync everysec, WAIT 1", partial(failover, fsync="everysec", replicas=1)),
    "failover-always": ("failover, appendfsync always", partial(failover, fsync="always", replicas=0)),
    "failover-always-wait": ("failover, appendfsync always, WAIT 1", partial(failover, fsync="always", replicas=1)),
    "failover-lag": ("failover while the replicas lag, appendfsync always", partial(failover, fsync="always", replicas=0, lag=LAG)),
    "failover-lag-wait": ("failover while the replicas lag, appendfsync always, WAIT 1", partial(failover, fsync="always", replicas=1, lag=LAG)),
    "restart-everysec": ("restart from the disk, appendfsync everysec", partial(restart, fsync="everysec")),
    "restart-always": ("restart from the disk, appendfsync always", partial(restart, fsync="always")),
    "cluster": ("a primary of a cluster while HLL.CLUSTER answers, appendfsync everysec, WAIT 1", cluster),
    "backup": ("a new server from an RDB file that was copied away", from_backup),
    "archive": ("a new server from the last archive", from_archive),
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/drill", description="kills servers and measures what is lost and how long it takes")
    parser.add_argument("--server", required=True, help="the program redis-server or valkey-server (found by scripts/drill)")
    parser.add_argument("--module", type=Path, default=ROOT / "target/release/libredis_hll.so", help="the module file")
    parser.add_argument("--only", metavar="NAME,...", type=_names, default=tuple(SCENARIOS), help=f"of {', '.join(SCENARIOS)}; only prints")
    parser.add_argument("--quick", action="store_true", help="shorter loads and smaller files, to try the program; only prints")
    return parser.parse_args(arguments)


def _names(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    unknown = [name for name in chosen if name not in SCENARIOS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no scenario {unknown[0]!r}; there are {', '.join(SCENARIOS)}")
    return chosen


def faults(rows: dict[str, Row]) -> list[str]:
    """What is not as promised, whatever the objectives are."""
    found = [f"{name}: writes were taken again only after {row.rto:.1f} s, more than {FAILOVER_SECONDS:.0f} s"
             for name, row in rows.items() if name.startswith(("failover", "cluster")) and row.rto >= FAILOVER_SECONDS]
    found += [f"{name}: {rows[name].lost} acknowledged writes were lost" for name in SAFE if name in rows and rows[name].lost]
    return found


def main() -> int:
    options = parse()
    # Stopped from outside is like Ctrl-C: everything that was started is stopped.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    rows: dict[str, Row] = {}
    begin = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="redis-hll-drill-") as place:
            plan = Plan(options.server, options.module.resolve(), WRITERS, 2.0 if options.quick else 8.0,
                        200 if options.quick else 2_000, lambda text: print(f"      {text}", flush=True), Path(place))
            for at, name in enumerate(options.only, 1):
                title, run = SCENARIOS[name]
                print(f"\n      {at} of {len(options.only)}: {title} ({time.monotonic() - begin:.0f} s so far)", flush=True)
                rows[name] = run(plan)
    except KeyboardInterrupt:
        print("\nstopped; everything that was started is gone", file=sys.stderr)
        return 130
    except (ServerError, RuntimeError, redis.RedisError, OSError) as wrong:
        print(f"\nERROR: {wrong}", file=sys.stderr)
        return 1
    version = " ".join(subprocess.run([options.server, "--version"], capture_output=True, text=True, check=True).stdout.split()[:3])
    about = (f"{version}, a primary with {REPLICAS} replicas and {SENTINELS} Sentinels (of the cluster three primaries with a replica each), "
             f"{WRITERS} writers, all on one machine ({machine()}).")
    print(f"\n{about}\n\n{page.table(list(rows.values()))}\n")
    found = faults(rows)
    for fault in found:
        print(f"ERROR: {fault}", file=sys.stderr)
    if not found and not options.quick and set(options.only) == set(SCENARIOS):
        page.write(PAGE, about, list(rows.values()))
        print(f"written to {PAGE.relative_to(ROOT)}")
    return 1 if found else 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
