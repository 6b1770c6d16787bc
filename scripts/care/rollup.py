"""Nightly: the sketches of days united into those of weeks, months, or whatever a name can say.

A union forgets nothing and adds nothing by being made again, so the program may be run at any time, twice, or again
after it was interrupted; what changes nothing is not replicated either. Days that have not ended yet are left for
another night. The days themselves are not touched.
"""

import argparse
from collections import defaultdict
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import redis

from .connection import DONE, FOUND, CareError, connect, keys, kinds, shown
from .names import Pattern

ABOUT = "unites the sketches of days into those of weeks and months"
EXAMPLE = "scripts/caretaker rollup --days 'visitors:*:%%Y-%%m-%%d' --into 'visitors:*:%%G-W%%V' --into 'visitors:*:%%Y-%%m'"
SKETCH = "HLLsketch"
# Sources of one HLL.MERGE: it runs in one piece, some tens of microseconds for each large one.
AT_ONCE = 50


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--days", required=True, type=Pattern, metavar="PATTERN",
                        help="names of the daily keys: a date as strftime writes it, * for what else varies")
    parser.add_argument("--into", required=True, type=Pattern, action="append", metavar="PATTERN",
                        help="names of the keys to be made of them, with as many * or with none; may be given several times")
    parser.add_argument("--last", type=int, default=62, metavar="DAYS",
                        help="leaves older days alone, so that what was archived does not come back (default: 62)")
    parser.add_argument("--timezone", type=zone, default=ZoneInfo("UTC"), metavar="ZONE",
                        help="in which a day ends, for example Europe/Berlin (default: UTC)")
    parser.add_argument("--keep-days", type=int, metavar="DAYS",
                        help="time to live of what is made, from the end of its own period on (default: none)")


def zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise argparse.ArgumentTypeError(f"no time zone {name!r}") from None


def check(options: argparse.Namespace) -> str | None:
    """What is wrong with the arguments together."""
    if not options.days.dated:
        return "--days needs a date in the pattern, for example visitors:*:%Y-%m-%d"
    for target in options.into:
        if target.stars not in (0, options.days.stars):
            return f"--into {target.source} must have {options.days.stars} * like --days, or none"
        if options.days.read(target.write(date(2026, 1, 1), (b"x",) * target.stars)):
            return f"--into {target.source} makes names that --days {options.days.source} would take for days"
    return None


def run(options: argparse.Namespace) -> int:
    client = connect(options.url)
    now = datetime.now(options.timezone)
    groups = gather(client, options, now.date())
    status = DONE
    for (target, name), days in sorted(groups.items(), key=lambda item: item[0][1]):
        sources = [source for _, source in sorted(days)]
        if options.dry_run:
            print(f"would unite {len(sources)} days into {shown(name)}: {', '.join(map(shown, sources))}")
            continue
        try:
            before = client.execute_command("HLL.COUNT", name)
            for at in range(0, len(sources), AT_ONCE):
                client.execute_command("HLL.MERGE", name, *sources[at:at + AT_ONCE])
            if options.keep_days is not None:
                end = datetime.combine(options.into[target].last(max(days)[0]) + timedelta(1 + options.keep_days),
                                       datetime.min.time(), options.timezone)
                if client.execute_command("EXPIRETIME", name) != int(end.timestamp()):
                    client.expireat(name, end)
            after = client.execute_command("HLL.COUNT", name)
        except redis.ResponseError as wrong:
            # Another hash seed, or a key of another type in the way: the other groups can still be made.
            print(f"! {shown(name)}: {wrong}")
            status = FOUND
            continue
        print(f"{shown(name)}: {len(sources)} days, {before:,} -> {after:,}")
    print(f"{len(groups)} keys {'would be' if options.dry_run else 'were'} looked after")
    return status


def gather(client: redis.Redis, options: argparse.Namespace, today: date) -> dict[tuple[int, bytes], list[tuple[date, bytes]]]:
    """By target (the number of its pattern, and its name): the days that go into it, with their keys."""
    groups: dict[tuple[int, bytes], list[tuple[date, bytes]]] = defaultdict(list)
    for batch in keys(client, options.days.glob):
        for name, kind in zip(batch, kinds(client, batch), strict=True):
            stretch = options.days.read(name) if kind == SKETCH else None
            if stretch is None or stretch.last >= today or stretch.last < today - timedelta(options.last):
                continue
            for at, target in enumerate(options.into):
                rest = stretch.rest if target.stars else ()
                if target.last(stretch.first) < stretch.last:
                    raise CareError(f"{shown(name)} lasts longer than what --into {target.source} names")
                groups[at, target.write(stretch.first, rest)].append((stretch.first, name))
    return groups
