"""Monthly: keys that nobody asks for any more, from memory into a file and back.

The file is JSON Lines in gzip: a line about the archive, one for each key, and one that closes it. Sketches are in it as
HLL.EXPORT FORMAT NATIVE gives them, which any server reads; cubes and monitors as DUMP gives them, which servers of the
same or a later version read. Each payload has its SHA-256 beside it, the last line has that of all lines before, and
beside the file lies one for `sha256sum -c`:

    {"archive": "redis-hll", "version": 1, "made": "2026-03-01T03:00:00+00:00", "server": "redis 7.0.15", "module": "0.1.0"}
    {"key": "visitors:shop:2025-11-02", "type": "HLLsketch", "form": "native", "expires": null, "bytes": 4221, "sha256": "...", "payload": "AQEN..."}
    {"keys": 1, "sha256": "..."}

No key is deleted before all of this has happened: the file is on the disk under its final name, it was read back and its
sums are right, the key's payload from the file has been made a key again beside the original, and that copy gives the
same payload. Then the original is deleted in a transaction that fails where the key was written to meanwhile.
"""

import argparse
import base64
import gzip
import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import redis

from .connection import DONE, FOUND, CareError, connect, keys, kinds, shown, text
from .names import Pattern

ABOUT = "moves old sketches, cubes and monitors into a file; deletes nothing that was not read back"
EXAMPLE = "scripts/caretaker archive --keys 'visitors:*:%%Y-%%m-%%d' --older-than 400 --to /var/backups/redis-hll"
RESTORE_ABOUT = "brings keys back from an archive, after all its sums were checked"
RESTORE_EXAMPLE = "scripts/caretaker restore /var/backups/redis-hll/hll-20260301T030000.jsonl.gz --only 'visitors:shop:*'"

VERSION = 1
SKETCH = "HLLsketch"
# The copy that proves a payload does not outlive an interruption.
PROOF_MS = 60_000


class Damaged(CareError):
    """The file is no archive, or not a whole one."""


@dataclass(frozen=True)
class Record:
    key: bytes
    type: str
    form: str             # native, or dump
    expires: int | None   # Unix milliseconds
    payload: bytes

    def line(self) -> str:
        name: dict[str, str] = {}
        try:
            name["key"] = self.key.decode()
        except UnicodeDecodeError:
            name["key_base64"] = base64.b64encode(self.key).decode()
        return json.dumps({**name, "type": self.type, "form": self.form, "expires": self.expires, "bytes": len(self.payload),
                           "sha256": hashlib.sha256(self.payload).hexdigest(), "payload": base64.b64encode(self.payload).decode()},
                          ensure_ascii=False)

    @classmethod
    def of(cls, line: dict[str, object]) -> "Record":
        """Raises Damaged where the payload is not what its sum says, KeyError and ValueError where the line is no record."""
        key = str(line["key"]).encode() if "key" in line else base64.b64decode(str(line["key_base64"]), validate=True)
        payload = base64.b64decode(str(line["payload"]), validate=True)
        if len(payload) != line["bytes"] or hashlib.sha256(payload).hexdigest() != line["sha256"]:
            raise Damaged(f"the payload of {shown(key)} is not the one that was written")
        if line["form"] not in ("native", "dump"):
            raise Damaged(f"{shown(key)} is in a form this program does not know: {line['form']}")
        expires = line["expires"]
        return cls(key, str(line["type"]), str(line["form"]), None if expires is None else int(str(expires)), payload)


# ---- the file -------------------------------------------------------------------------------------------------------


def write(path: Path, head: dict[str, str], records: Iterator[Record]) -> int:
    """Writes the whole archive under a name of its own, then renames it; on the disk when this returns. The number of keys."""
    unfinished = path.with_name(path.name + ".unfinished")
    total, count = hashlib.sha256(), 0
    try:
        with open(unfinished, "xb") as raw:
            os.chmod(unfinished, 0o600)  # payloads show the hash seed
            with gzip.GzipFile(filename="", fileobj=raw, mode="wb") as packed:
                def put(line: str) -> None:
                    encoded = line.encode() + b"\n"
                    total.update(encoded)
                    packed.write(encoded)

                put(json.dumps({"archive": "redis-hll", "version": VERSION, **head}))
                for record in records:
                    put(record.line())
                    count += 1
                put(json.dumps({"keys": count, "sha256": total.hexdigest()}))
            raw.flush()
            os.fsync(raw.fileno())
        os.link(unfinished, path)  # unlike a rename, this never takes the place of another file
    finally:
        unfinished.unlink(missing_ok=True)
    _sync(path.parent)
    return count


def _sync(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def read(path: Path) -> Iterator[Record]:
    """The records, each checked against its own sum; raises Damaged at the first fault, and where the file is not whole."""
    total, count, line = hashlib.sha256(), -1, b""
    try:
        with gzip.open(path, "rb") as packed:
            for line in packed:
                parsed = json.loads(line)
                if count < 0:
                    if parsed.get("archive") != "redis-hll" or parsed.get("version") != VERSION:
                        raise Damaged(f"{path} is not an archive of version {VERSION}")
                elif "keys" in parsed:
                    if parsed != {"keys": count, "sha256": total.hexdigest()} or packed.read(1):
                        raise Damaged(f"{path}: its lines are not those that were written")
                    return
                else:
                    yield Record.of(parsed)
                total.update(line)
                count += 1
    except (OSError, EOFError, zlib.error) as wrong:
        raise Damaged(f"{path} cannot be read: {wrong}") from wrong
    except (ValueError, KeyError, TypeError, AttributeError) as wrong:
        raise Damaged(f"{path}: line {count + 2} is not one of an archive") from wrong
    raise Damaged(f"{path} ends before its last line")


# ---- keys and payloads ----------------------------------------------------------------------------------------------


def payload(client: redis.Redis, key: bytes, kind: str) -> tuple[str, bytes] | None:
    """Form and payload, or None where the key is gone."""
    if kind == SKETCH:
        try:
            return "native", client.execute_command("HLL.EXPORT", key, "FORMAT", "NATIVE")
        except redis.ResponseError:
            if client.exists(key):
                raise
            return None
    dumped = client.dump(key)
    return None if dumped is None else ("dump", dumped)


def put(client: redis.Redis, key: bytes, record: Record, expires: int | None, replace: bool) -> None:
    """Makes a key of a payload, with its time to live, in one piece."""
    if record.form == "dump":
        client.restore(key, expires or 0, record.payload, replace=replace, absttl=expires is not None)
        return
    with client.pipeline(transaction=True) as together:
        together.watch(key)
        if together.exists(key) and not replace:
            raise redis.ResponseError("BUSYKEY the key is there")  # as RESTORE says it; and its time to live stays its own
        together.multi()
        together.execute_command("HLL.IMPORT", key, "FORMAT", "NATIVE", record.payload, *["REPLACE"] * replace)
        if expires is not None:
            together.pexpireat(key, expires)
        elif replace:
            together.persist(key)
        together.execute()


def proof_name(key: bytes) -> bytes:
    """A name for the copy, in the same slot of a cluster."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    tag = key[start + 1:end] if start >= 0 and end > start + 1 else key
    around = b"{%s}" % tag if b"}" not in tag else tag
    return around + b":hll-care:" + secrets.token_hex(8).encode()


def proven(client: redis.Redis, record: Record, now_ms: int) -> bool:
    """Whether a key made of the payload gives the payload again."""
    name = proof_name(record.key)
    try:
        put(client, name, record, now_ms + PROOF_MS, replace=False)
        return payload(client, name, record.type) == (record.form, record.payload)
    except redis.ResponseError as wrong:
        print(f"! {shown(record.key)}: the server does not take back what it gave: {wrong}")
        return False
    finally:
        client.unlink(name)


def delete(client: redis.Redis, record: Record) -> bool:
    """Deletes the key if it is still what the record says; whether it did."""
    with client.pipeline(transaction=True) as together:
        together.watch(record.key)
        if payload(together, record.key, record.type) != (record.form, record.payload):
            return False
        together.multi()
        together.unlink(record.key)
        try:
            return together.execute() == [1]
        except redis.WatchError:
            return False


# ---- archive --------------------------------------------------------------------------------------------------------


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keys", required=True, type=Pattern, action="append", metavar="PATTERN",
                        help="names of keys: * for any characters, and a date as strftime writes it; may be given several times")
    parser.add_argument("--to", required=True, type=Path, metavar="DIRECTORY", help="where the archive is made; must exist")
    parser.add_argument("--older-than", type=int, metavar="DAYS", help="only keys whose date in the name ended so many days ago")
    parser.add_argument("--idle", type=int, metavar="DAYS", help="only keys that nobody read or wrote for so many days (OBJECT IDLETIME)")
    parser.add_argument("--keep", action="store_true", help="deletes nothing: the archive is a copy")


def check(options: argparse.Namespace) -> str | None:
    undated = [pattern.source for pattern in options.keys if not pattern.dated]
    if options.older_than is not None and undated:
        return f"--older-than needs a date in the pattern, and {undated[0]} has none"
    if options.older_than is None and options.idle is None and not options.keep:
        return "say which keys are old, with --older-than or --idle, or --keep them"
    if not options.to.is_dir():
        return f"--to {options.to}: there is no such directory"
    return None


def run(options: argparse.Namespace) -> int:
    client = connect(options.url)
    now = datetime.now(timezone.utc)
    chosen = choose(client, options, now.date())
    if options.dry_run:
        for name, kind in chosen:
            print(f"would archive {shown(name)} ({kind}, {client.memory_usage(name, samples=0) or 0:,} bytes)")
    if options.dry_run or not chosen:
        print(f"{len(chosen)} keys to archive")
        return DONE
    about = client.info("server")
    kind = "valkey" if "valkey_version" in about else "redis"
    head = {"made": now.isoformat(timespec="seconds"), "server": f"{kind} {about[f'{kind}_version']}",
            "module": text(client.info("hll")["hll_version"])}
    path = options.to / f"hll-{now:%Y%m%dT%H%M%S}.jsonl.gz"
    written = write(path, head, taken(client, chosen))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(path.name + ".sha256").write_text(f"{digest}  {path.name}\n", encoding="utf-8")
    print(f"{path}: {written} keys, {path.stat().st_size:,} bytes, sha256 {digest}")
    return settle(client, path, written, int(now.timestamp() * 1000), options.keep)


def choose(client: redis.Redis, options: argparse.Namespace, today: date) -> list[tuple[bytes, str]]:
    """Names and types of the keys to archive, in order."""
    chosen: dict[bytes, str] = {}
    for pattern in options.keys:
        for batch in keys(client, pattern.glob):
            for name, kind in zip(batch, kinds(client, batch), strict=True):
                stretch = pattern.read(name) if pattern.dated else None
                if not kind.startswith("HLL") or (pattern.dated and stretch is None):
                    continue
                if options.older_than is not None and stretch is not None and stretch.last >= today - timedelta(options.older_than):
                    continue
                if options.idle is not None and (client.object("IDLETIME", name) or 0) < options.idle * 86_400:
                    continue
                chosen[name] = kind
    return sorted(chosen.items())


def taken(client: redis.Redis, chosen: list[tuple[bytes, str]]) -> Iterator[Record]:
    for name, kind in chosen:
        found = payload(client, name, kind)
        expires = client.execute_command("PEXPIRETIME", name)
        if found is None or expires == -2:
            print(f"  {shown(name)} is gone meanwhile")
            continue
        yield Record(name, kind, *found[:1], None if expires == -1 else expires, found[1])


def settle(client: redis.Redis, path: Path, written: int, now_ms: int, keep: bool) -> int:
    """Reads the archive back, proves each payload, and deletes what it proved."""
    # The whole file first: one fault anywhere in it, and nothing is deleted.
    if sum(1 for _ in read(path)) != written:
        raise Damaged(f"{path} does not have the {written} keys that were written; nothing was deleted")
    unproven = changed = 0
    for record in read(path):
        if not proven(client, record, now_ms):
            print(f"! {shown(record.key)}: its payload does not give the same key again; it stays")
            unproven += 1
        elif not keep and not delete(client, record):
            print(f"! {shown(record.key)} was written to meanwhile; it stays")
            changed += 1
    print(f"{written - unproven} of {written} payloads proven, {0 if keep else written - unproven - changed} keys deleted")
    return FOUND if unproven or changed else DONE


# ---- restore --------------------------------------------------------------------------------------------------------


def restore_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="archives; later ones win with --replace")
    parser.add_argument("--only", type=Pattern, metavar="PATTERN", help="only keys whose name fits")
    parser.add_argument("--replace", action="store_true", help="overwrites keys that are there (they are left alone without it)")
    parser.add_argument("--persist", action="store_true", help="without the times to live; also brings keys whose time is over")


def restore(options: argparse.Namespace) -> int:
    for path in options.files:
        count = sum(1 for _ in read(path))
        print(f"{path}: {count} keys, all sums right")
    client = connect(options.url)
    now_ms = int(datetime.now(timezone.utc).timestamp() * 1000)
    restored = there = over = failed = 0
    for path in options.files:
        for record in read(path):
            if options.only is not None and not options.only.fits(record.key):
                continue
            expires = None if options.persist else record.expires
            if expires is not None and expires <= now_ms:
                print(f"  {shown(record.key)}: its time to live is over; --persist brings it")
                over += 1
            elif options.dry_run:
                print(f"would restore {shown(record.key)} ({record.type}, {len(record.payload):,} bytes)")
            else:
                try:
                    put(client, record.key, record, expires, options.replace)
                    restored += 1
                except redis.ResponseError as wrong:
                    if client.exists(record.key) and not options.replace:
                        print(f"! {shown(record.key)} is there already; --replace overwrites it")
                        there += 1
                    else:
                        print(f"! {shown(record.key)}: {wrong}")
                        failed += 1
    print(f"{restored} restored, {there} were there, {over} past their time, {failed} refused")
    return FOUND if there or failed else DONE
