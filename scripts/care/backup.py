"""Proof that a backup loads, and that it holds what the server holds: an RDB file is copied into a directory of its own, a
scratch server loads it with the module, and the content of every key there is compared with that of the live server.

The live server has gone on since the file was written. A key that differs is excused if it was used since then, which
OBJECT IDLETIME tells (and which it does not under an LFU policy: then every difference counts). What is compared is the
value, not how the server keeps it; and the times to live.

It needs the memory of the whole file beside the live server's own: run it on the machine that keeps the backups.
"""

import argparse
import hashlib
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

import redis
from local_server import Server, ServerError

from .connection import DONE, FOUND, CareError, connect, keys, kinds, shown, text

ABOUT = "loads a copy of an RDB file into a scratch server and compares every key with the live server"
EXAMPLE = "scripts/caretaker backup /var/backups/redis/dump.rdb --module /usr/local/lib/redis/libredis_hll.so"

# What stands behind a value in a DUMP: the server's RDB version and a checksum over it.
TRAILER = 10
# A time to live is kept in milliseconds, and both servers say it to the millisecond.
SHOWN = 20
HEADER = b"REDIS", b"VALKEY"
# A hundred gigabytes load in less.
LOAD_SECONDS = 3600


def arguments(parser: argparse.ArgumentParser) -> None:
    root = Path(__file__).resolve().parents[2]
    parser.add_argument("file", type=Path, help="the RDB file; only read")
    parser.add_argument("--server", default=shutil.which("redis-server") or shutil.which("valkey-server"),
                        help="the program to load it with, as new as the one that wrote it (default: redis-server or valkey-server)")
    parser.add_argument("--module", type=Path, default=root / "target/release/libredis_hll.so", help="the module file")
    parser.add_argument("--alone", action="store_true", help="compares with no live server: only shows that the file loads, and what is in it")
    parser.add_argument("--taken", type=float, metavar="UNIXTIME", help="when the file was begun (default: when it was last written to)")


def check(options: argparse.Namespace) -> str | None:
    if options.server is None:
        return "there is no redis-server and no valkey-server in PATH; name one with --server"
    if not options.module.is_file():
        return f"--module {options.module}: there is no such file"
    if not options.file.is_file():
        return f"{options.file}: there is no such file"
    return None


def run(options: argparse.Namespace) -> int:
    with open(options.file, "rb") as opened:
        if not opened.read(6).startswith(HEADER):
            raise CareError(f"{options.file} is not an RDB file")
    taken = options.file.stat().st_mtime if options.taken is None else options.taken
    if options.dry_run:
        print(f"would load {options.file} ({options.file.stat().st_size:,} bytes, {time.time() - taken:,.0f} s old) "
              f"into {options.server} and compare it with {'nothing' if options.alone else 'the live server'}")
        return DONE
    with tempfile.TemporaryDirectory(prefix="redis-hll-backup-") as directory:
        config = Path(directory) / "scratch.conf"
        config.write_text("maxmemory 0\n", encoding="utf-8")
        live = None if options.alone else connect(options.url)
        # A dump is compressed as the server is set: both have to be set alike.
        settings = {} if live is None else {"hll.rdb-compression": _setting(live, "hll.rdb-compression")}
        begin = time.monotonic()
        try:
            with Server(options.server, config, options.module, settings=settings, snapshot=options.file,
                        start_seconds=LOAD_SECONDS) as server, server.client() as scratch:
                print(f"{options.file}: loaded in {time.monotonic() - begin:.1f} s, {len(databases(scratch))} databases, "
                      f"{scratch.info('hll')['hll_sketch_keys']:,} sketches, {scratch.info('hll')['hll_cube_keys']:,} cubes")
                if live is None:
                    return DONE
                return compare(server, live, taken)
        except ServerError as wrong:
            print(f"! {options.file} does not load: {wrong}")
            return FOUND


def _setting(client: redis.Redis, name: str) -> str:
    return text(dict(client.config_get(name))[name])


def databases(client: redis.Redis) -> list[int]:
    return sorted(int(text(name)[2:]) for name in client.info("keyspace"))


def compare(server: Server, live: redis.Redis, taken: float) -> int:
    """Says what differs, database by database. FOUND where a difference has no excuse, or where there was nothing to compare."""
    counts: Counter[str] = Counter()
    with server.client() as scratch:
        for number in sorted({*databases(scratch), *databases(live)}):
            with _in(live, number) as here, _in(scratch, number) as there:
                # Looking must not look like use, where the server can tell (Redis 7.2, Valkey).
                try:
                    here.execute_command("CLIENT", "NO-TOUCH", "ON")
                except redis.ResponseError:
                    pass
                for batch in keys(there, b"*"):
                    _compare(here, there, batch, taken, counts)
                for batch in keys(here, b"*"):
                    missing = [name for name, kind in zip(batch, kinds(there, batch), strict=True) if kind == "none"]
                    for name in missing:
                        _judge(name, "is not in the file", _idle(here, name), taken, counts)
    print(f"{counts['same']:,} keys are the same, {counts['excused']:,} were used since the file was taken, {counts['differs']:,} differ")
    if counts["differs"]:
        return FOUND
    if not counts["same"]:
        print("! not one key could be compared: is this the file of that server?")
        return FOUND
    return DONE


def _in(client: redis.Redis, number: int) -> redis.Redis:
    """A connection to another database of the same server."""
    known = {**client.connection_pool.connection_kwargs, "db": number}
    kind = client.connection_pool.connection_class
    return redis.Redis(connection_pool=redis.ConnectionPool(connection_class=kind, max_connections=1, **known))


def _compare(here: redis.Redis, there: redis.Redis, batch: list[bytes], taken: float, counts: Counter[str]) -> None:
    for name, kind in zip(batch, kinds(there, batch), strict=True):
        idle = _idle(here, name)
        saved, found = content(there, name, kind), content(here, name, kind)
        if saved is None:
            continue  # its time was over between two commands
        if saved == found:
            counts["same"] += 1
        else:
            _judge(name, "is gone" if found is None else "differs", idle, taken, counts)


def _idle(client: redis.Redis, name: bytes) -> float | None:
    """Seconds since the key was last used; None where it is gone or the server does not know."""
    try:
        return client.object("IDLETIME", name)
    except redis.ResponseError:
        return None


def _judge(name: bytes, what: str, idle: float | None, taken: float, counts: Counter[str]) -> None:
    # The server's clock for idle keys has a resolution of a second, and so has a file's time on some disks.
    if what == "is gone" or (idle is not None and time.time() - idle >= taken - 2):
        counts["excused"] += 1
        return
    counts["differs"] += 1
    if counts["differs"] <= SHOWN:
        print(f"! {shown(name)} {what}")


def content(client: redis.Redis, name: bytes, kind: str) -> str | None:
    """A digest of the value and of when it expires, the same on every server that holds the same; None where it is gone."""
    value: object
    try:
        match kind:
            case "hash":
                value = sorted(client.hgetall(name).items())
            case "set":
                value = sorted(client.smembers(name))
            case "zset":
                value = sorted(client.zrange(name, 0, -1, withscores=True))
            case "list":
                value = client.lrange(name, 0, -1)
            case "stream":
                value = client.xrange(name)
            case "string":
                value = client.get(name)
            case _:
                dumped = client.dump(name)
                value = dumped and dumped[:-TRAILER]
    except redis.ResponseError as wrong:
        if "WRONGTYPE" not in str(wrong):
            raise
        value = "of another type"
    expires = client.execute_command("PEXPIRETIME", name)
    return None if expires == -2 else hashlib.sha256(repr((kind, value, expires)).encode()).hexdigest()
