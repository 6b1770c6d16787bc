"""The care programs (scripts/caretaker) do what docs/care.md says, on real servers: they may be run twice, they delete nothing that
was not read back, and they say by their exit status how it went."""

import contextlib
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
import redis

from conftest import ROOT
from helpers import add, elements, make

sys.path.insert(0, os.path.join(ROOT, "scripts"))

from care import archive, backup  # noqa: E402 (the path comes first)
from care.__main__ import main  # noqa: E402
from care.names import BadPattern, Pattern  # noqa: E402

CARETAKER = os.path.join(ROOT, "scripts", "caretaker")
DONE, FOUND, MISUSED, FAILED = 0, 1, 2, 3
TODAY = datetime.now(timezone.utc).date()


def care(server, program, *words, expect=DONE, stdin="", url=None):
    """Runs the program against the server, in this process; its output, after its exit status was as expected."""
    said = io.StringIO()
    handler = signal.getsignal(signal.SIGTERM)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        try:
            status = main([program, "--url", url or f"redis://127.0.0.1:{server.port}/0", *map(str, words)])
        except SystemExit as end:  # argparse's
            status = end.code
        finally:
            signal.signal(signal.SIGTERM, handler)
    print(said.getvalue())
    assert status == expect
    return said.getvalue()


def day(back):
    return (TODAY - timedelta(back)).isoformat()


def values(c, prefix=b""):
    """name -> digest of the value and time of expiry, of all keys."""
    return {name: (c("DEBUG", "DIGEST-VALUE", name), c("PEXPIRETIME", name)) for name in c("KEYS", "*") if name.startswith(prefix)}


# ---- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern, name, first, last, rest", [
    ("v:%Y-%m-%d", "v:2026-03-02", date(2026, 3, 2), date(2026, 3, 2), ()),
    ("v:*:%Y%m%d", "v:a:b:20260302", date(2026, 3, 2), date(2026, 3, 2), (b"a:b",)),
    ("*{v}*:%Y-%j", "x{v}y:2024-366", date(2024, 12, 31), date(2024, 12, 31), (b"x", b"y")),
    ("v:%G-W%V", "v:2026-W53", date(2026, 12, 28), date(2027, 1, 3), ()),
    ("v:%Y-%m", "v:2024-02", date(2024, 2, 1), date(2024, 2, 29), ()),
    ("v:%Y", "v:2023", date(2023, 1, 1), date(2023, 12, 31), ()),
    ("100%%[x]?:%Y", "100%[x]?:2023", date(2023, 1, 1), date(2023, 12, 31), ()),
])
def test_a_name_says_its_days_and_the_days_make_the_name(one_server, pattern, name, first, last, rest):
    found = Pattern(pattern).read(name.encode())
    assert (found.first, found.last, found.rest) == (first, last, rest)
    assert Pattern(pattern).write(last, rest) == name.encode()
    one_server.c("SET", name, 1)
    assert one_server.c("SCAN", 0, "MATCH", Pattern(pattern).glob, "COUNT", 1000)[1] == [name.encode()]


@pytest.mark.parametrize("pattern, name", [
    ("v:%Y-%m-%d", "v:2026-02-29"), ("v:%Y-%m-%d", "v:2026-13-01"), ("v:%Y-%m-%d", "v:2026-3-2"), ("v:%Y-%m-%d", "v:2026-03-02:x"),
    ("v:%G-W%V", "v:2025-W53"), ("v:%Y-%j", "v:2026-000"), ("v:%Y-%j", "v:2025-366"), ("v:%Y", "v:0000"), ("v:*", "v:x"),
])
def test_a_name_without_such_a_date_is_none_of_the_pattern(pattern, name):
    assert Pattern(pattern).read(name.encode()) is None


@pytest.mark.parametrize("pattern", ["v:%H", "v:%", "v:%m-%d", "v:%Y-%V", "v:%Y-%d"])
def test_a_pattern_that_says_no_date_is_refused(pattern):
    with pytest.raises(BadPattern):
        Pattern(pattern)


# ---- rollup ---------------------------------------------------------------------------------------------------------

DAYS, WEEKS, MONTHS = "visitors:*:%Y-%m-%d", "visitors:*:%G-W%V", "visitors:*:%Y-%m"


def roll(server, *more, expect=DONE):
    return care(server, "rollup", "--days", DAYS, "--into", WEEKS, "--into", MONTHS, *more, expect=expect)


def test_days_are_united_into_weeks_and_months_and_again_changes_nothing(server):
    c = server.c
    for back in range(0, 70):
        add(c, f"visitors:shop:{day(back)}", elements(back * 40, back * 40 + 100))
    add(c, f"visitors:blog:{day(1)}", elements(0, 5))
    c("PFADD", f"visitors:pf:{day(1)}", "x")
    c("SET", f"visitors:text:{day(1)}", "x")
    days = values(c)
    before = c("DEBUG", "DIGEST")
    assert "would unite" in roll(server, "--dry-run")
    assert c("DEBUG", "DIGEST") == before
    roll(server)
    expected = {}
    for back in range(1, 63):  # neither today nor what is older than --last
        of = TODAY - timedelta(back)
        for pattern in (WEEKS, MONTHS):
            expected.setdefault(of.strftime(pattern).replace("*", "shop"), []).append(f"visitors:shop:{day(back)}")
    for name, sources in expected.items():
        c("HLL.MERGE", "expected", *sources)
        assert c("HLL.COUNT", name) == c("HLL.COUNT", "expected") == c("HLL.COUNT", name, *sources), name
        c("DEL", "expected")
    made = {(TODAY - timedelta(1)).strftime(pattern).replace("*", "blog") for pattern in (WEEKS, MONTHS)} | set(expected)
    assert {name.decode() for name in values(c)} - {name.decode() for name in days} == made
    assert {name: value for name, value in values(c).items() if name in days} == days  # the days are as they were
    before, written = c("DEBUG", "DIGEST"), server.info(section="persistence")["rdb_changes_since_last_save"]
    roll(server)
    assert c("DEBUG", "DIGEST") == before
    assert server.info(section="persistence")["rdb_changes_since_last_save"] == written


def test_what_is_rolled_up_lives_for_so_long_after_its_own_end(one_server):
    c = one_server.c
    for back in (1, 2, 40):
        add(c, f"visitors:{{shop}}:{day(back)}", ["a"])
    for _ in range(2):
        roll(one_server, "--keep-days", 100)
        for back in (1, 40):
            of = TODAY - timedelta(back)
            end = (of.replace(day=28) + timedelta(4)).replace(day=1)  # of the next month
            expires = datetime(end.year, end.month, end.day, tzinfo=timezone.utc) + timedelta(100)
            assert c("EXPIRETIME", f"visitors:{{shop}}:{of:%Y-%m}") == expires.timestamp()


def test_a_target_without_a_star_unites_everything(one_server):
    c = one_server.c
    add(c, f"v:a:{day(1)}", elements(0, 10))
    add(c, f"v:b:{day(1)}", elements(5, 15))
    care(one_server, "rollup", "--days", "v:*:%Y-%m-%d", "--into", "all:%Y")
    assert c("HLL.COUNT", f"all:{TODAY - timedelta(1):%Y}") == 15


def test_a_day_that_cannot_be_united_does_not_keep_the_others_from_it(one_server):
    c = one_server.c
    c("HLL.CREATE", f"visitors:odd:{day(1)}", "HASH", "REDIS")
    c("HLL.ADD", f"visitors:odd:{day(1)}", "a")
    add(c, f"visitors:odd:{day(2)}", ["b"])
    add(c, f"visitors:good:{day(1)}", ["a"])
    assert "! visitors:odd:" in roll(one_server, expect=FOUND)
    assert c("HLL.COUNT", f"visitors:good:{TODAY - timedelta(1):%Y-%m}") == 1


@pytest.mark.parametrize("words, why", [
    (["--days", "v:%Y-%m-%d", "--into", "w:*:%Y"], "must have 0"),
    (["--days", "v:*:%Y-%m-%d", "--into", "v:all:*:%Y-%m-01"], "would take for days"),
    (["--days", "v:*", "--into", "w:*"], "needs a date"),
    (["--days", "v:%H", "--into", "w:%Y"], "%H"),
    (["--days", "v:%Y-%m-%d", "--into", "w:%Y", "--timezone", "Atlantis"], "no time zone"),
])
def test_patterns_that_do_not_go_together_are_refused(one_server, words, why):
    assert why in care(one_server, "rollup", *words, expect=MISUSED)


def test_a_target_shorter_than_its_source_is_refused(one_server):
    add(one_server.c, f"w:{TODAY - timedelta(30):%G-W%V}", ["a"])
    assert "lasts longer" in care(one_server, "rollup", "--days", "w:%G-W%V", "--into", "d:%Y-%m-%d", expect=FAILED)


# ---- accuracy -------------------------------------------------------------------------------------------------------


@pytest.fixture
def counted(one_server):
    """A server with a sketch of 10,000 users, and what it estimates."""
    add(one_server.c, "visitors", elements(0, 10_000))
    return one_server, one_server.c("HLL.COUNT", "visitors")


def ask(server, stdin, expect, *more):
    return care(server, "accuracy", "--monitor", "hll:accuracy", *more, expect=expect, stdin=stdin)


def test_a_result_of_a_query_is_judged_line_by_line(counted):
    server, count = counted
    c = server.c
    c("HLL.CUBE.CREATE", "shop", "DIMENSION", "device", "VALUES", 8)
    c("HLL.CUBE.ADD", "shop", "*", "u", "device", "a b")
    assert "1 ok, 0 warning, 0 critical, 0 refused" in ask(server, f"visitors\t{count}\n", DONE)
    said = ask(server, f"visitors\t{count}\tgood\n\nvisitors\t{round(count / 1.07)}\tseven\nCUBE shop WHERE device 'a b'\t1\tcube\nvisitors\t{round(count / 1.12)}\ttwelve\n", FOUND)
    assert "2 ok, 1 warning, 1 critical, 0 refused" in said
    assert re.search(r"^! visitors: [\d,]+ for [\d,]+, 7\.0\d % off, warning$", said, re.M) and re.search(r"^! visitors: .+, 12\.0\d % off, critical$", said, re.M)
    info = server.info(section="hll")
    assert [info[f"hll_accuracy_{level}_now"] for level in ("warning", "critical")] == ["1", "1"]
    before = c("DEBUG", "DIGEST")
    assert "would ask HLL.ACCURACY.TRACK hll:accuracy visitors EXACT 5" in ask(server, "visitors\t5\n", DONE, "--dry-run")
    assert c("DEBUG", "DIGEST") == before


def test_a_set_is_the_truth(counted):
    server, _ = counted
    c = server.c
    for at in range(0, 10_000, 1000):
        c("SADD", "truth", *elements(at, at + 1000))
    care(server, "accuracy", "--monitor", "m", "--sketch", "visitors", "--set", "truth", "--context", "daily")
    c("SPOP", "truth", 2000)
    assert "25." in care(server, "accuracy", "--monitor", "m", "--sketch", "visitors", "--set", "truth", "--context", "daily", expect=FOUND)
    found = c("HLL.ACCURACY.REPORT", "m")
    assert dict(zip(found[::2], found[1::2]))[b"samples"] == 2


def test_a_line_that_cannot_be_asked_does_not_keep_the_others_from_it(counted):
    server, count = counted
    server.c("SET", "text", "x")
    said = ask(server, f"none\t5\ntext\t5\nvisitors\t0\nvisitors\t{count}\n", FOUND)
    assert "1 ok, 0 warning, 0 critical, 3 refused" in said and said.count("! ") == 3


@pytest.mark.parametrize("stdin, why", [("", "no lines"), ("visitors\n", "line 1"), ("visitors\t5\nvisitors\t5.5\n", "line 2"), ("visitors\t5\ta\tb\n", "line 1"),
                                        ("CUBE shop WHERE device 'a\t5\n", "line 1")])
def test_a_result_that_is_none_is_no_good_week(counted, stdin, why):
    server, _ = counted
    assert why in ask(server, stdin, FAILED)
    assert server.c("EXISTS", "hll:accuracy") == 0


# ---- archive and restore --------------------------------------------------------------------------------------------


def fill(c):
    """Keys of every kind and state that are archived, old by their names."""
    for kind in ("empty", "sparse", "hip", "ml"):
        make(c, f"old:{kind}:2020-03-0{len(kind) % 9 + 1}", kind, precision=11)
    c("EXPIRE", "old:sparse:2020-03-07", 100_000)
    c("HLL.CREATE", b"old:\xff\x00 \n:2020-03-01")
    c("HLL.CREATE", "old:redis:2020-03-01", "HASH", "REDIS")
    c("HLL.ADD", "old:redis:2020-03-01", "a", "b")
    c("HLL.CUBE.CREATE", "old:cube:2020-03-01", "TIER", "1h", "48h", "TIER", "1d", "90d", "DIMENSION", "page", "VALUES", 100, "MEASURE", "revenue")
    now = int(datetime.now(timezone.utc).timestamp() * 1000)
    for i in range(3000):
        c("HLL.CUBE.ADD", "old:cube:2020-03-01", now - (3000 - i) * 60_000, f"u{i % 700}", "page", f"p{i % 130}", "revenue", i)
    c("PEXPIRE", "old:cube:2020-03-01", 200_000_000)
    c("HLL.ACCURACY.TRACK", "old:accuracy:2020-03-01", "old:redis:2020-03-01", "EXACT", 3)
    c("SET", "old:text:2020-03-01", "x")
    add(c, f"old:young:{day(1)}", ["a"])
    add(c, "other:2020-03-01", ["a"])


ARCHIVED = ("archive", "--keys", "old:*:%Y-%m-%d", "--older-than", 400)


def archived(server, directory, *more):
    care(server, *ARCHIVED, "--to", directory, *more)
    (file,) = Path(directory).glob("*.jsonl.gz")
    return file


def test_old_keys_go_into_a_file_and_come_back_as_they_were(server, tmp_path):
    c = server.c
    fill(c)
    before = values(c)
    assert "8 keys to archive" in care(server, *ARCHIVED, "--to", tmp_path, "--dry-run")
    assert values(c) == before and list(tmp_path.iterdir()) == []
    file = archived(server, tmp_path)
    left = values(c)
    assert {name for name in before if name not in left} == {name for name in before if name.startswith(b"old:")} - {b"old:text:2020-03-01", f"old:young:{day(1)}".encode()}
    assert {name: before[name] for name in left} == left
    assert "8 keys, all sums right" in care(server, "restore", file, "--dry-run")
    assert values(c) == left
    care(server, "restore", file)
    assert values(c) == before


def test_the_file_is_what_its_page_says_and_sha256sum_agrees(one_server, tmp_path):
    fill(one_server.c)
    file = archived(one_server, tmp_path, "--keep")
    assert subprocess.run(["sha256sum", "-c", f"{file.name}.sha256"], cwd=tmp_path, capture_output=True).returncode == 0
    head, *records, tail = map(json.loads, gzip.open(file, "rt", encoding="utf-8"))
    assert (head["archive"], head["version"], tail["keys"]) == ("redis-hll", 1, len(records)) and len(records) == 8
    assert {(record["type"], record["form"]) for record in records} == {("HLLsketch", "native"), ("HLLcubev1", "dump"), ("HLLaccrcy", "dump")}
    assert {record.get("key") for record in records} >= {"old:cube:2020-03-01", None}
    assert sorted(tmp_path.iterdir()) == sorted([file, file.with_name(f"{file.name}.sha256")])
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_archive_can_be_a_copy_and_what_is_there_is_left_alone(one_server, tmp_path):
    c = one_server.c
    fill(c)
    before = values(c)
    file = archived(one_server, tmp_path, "--keep")
    assert values(c) == before
    c("HLL.ADD", "old:sparse:2020-03-07", "new")
    c("DEL", "old:redis:2020-03-01")
    changed = values(c)
    assert "--replace overwrites" in care(one_server, "restore", file, expect=FOUND)
    assert values(c) == {**changed, b"old:redis:2020-03-01": before[b"old:redis:2020-03-01"]}
    care(one_server, "restore", file, "--replace")
    assert values(c) == before


def test_some_keys_of_an_archive_come_back_alone(one_server, tmp_path):
    c = one_server.c
    fill(c)
    file = archived(one_server, tmp_path)
    care(one_server, "restore", file, "--only", "old:s*:%Y-%m-%d")
    assert [name for name in values(c) if name.startswith(b"old:s")] == [b"old:sparse:2020-03-07"] and c("EXISTS", "old:cube:2020-03-01") == 0


def test_a_time_to_live_that_is_over_stays_over_unless_asked(one_server, tmp_path):
    c = one_server.c
    add(c, "old:a:2020-03-01", ["a"])
    c("PEXPIRE", "old:a:2020-03-01", 60_000)
    file = archived(one_server, tmp_path)
    lines = gzip.open(file, "rt", encoding="utf-8").read().splitlines()
    (record,) = archive.read(file)
    gone = archive.Record(record.key, record.type, record.form, 1000, record.payload)
    file.unlink()
    archive.write(file, {key: value for key, value in json.loads(lines[0]).items() if key not in ("archive", "version")}, iter([gone]))
    assert "--persist brings it" in care(one_server, "restore", file)
    assert c("EXISTS", "old:a:2020-03-01") == 0
    care(one_server, "restore", file, "--persist")
    assert (c("HLL.COUNT", "old:a:2020-03-01"), c("PTTL", "old:a:2020-03-01")) == (1, -1)


def test_keys_nobody_uses_are_old_too(one_server, tmp_path):
    c = one_server.c
    add(c, "idle", ["a"])
    add(c, "busy", ["a"])
    payload = c("DUMP", "idle")
    c("RESTORE", "idle", 0, payload, "REPLACE", "IDLETIME", 40 * 86_400)
    care(one_server, "archive", "--keys", "*", "--idle", 30, "--to", tmp_path)
    assert c("KEYS", "*") == [b"busy"]


def test_a_damaged_archive_restores_nothing(one_server, tmp_path, rng):
    """Of the gzip file and of what is in it: every sort of line, and the end."""
    c = one_server.c
    fill(c)
    file = archived(one_server, tmp_path)
    left = values(c)
    packed = file.read_bytes()
    plain = gzip.decompress(packed)
    lines = plain.splitlines(keepends=True)
    record = json.loads(lines[1])
    damaged = [packed[:-1], packed[:len(packed) // 2], b"", b"x" * 100, packed + packed]
    for _ in range(20):
        at = rng.randrange(12, len(packed))
        damaged.append(packed[:at] + bytes([packed[at] ^ (1 << rng.randrange(8))]) + packed[at + 1:])
    for wrong in (lines[1:], lines[:-1], lines[:1] + lines[2:], lines + lines[1:2], [lines[0], lines[2], lines[1], *lines[3:]],
                  [lines[0], json.dumps({**record, "expires": 5}).encode() + b"\n", *lines[2:]],
                  [lines[0], json.dumps({**record, "key": "another"}).encode() + b"\n", *lines[2:]],
                  [lines[0], json.dumps({**record, "bytes": 1}).encode() + b"\n", *lines[2:]],
                  [lines[0], b"[]\n", *lines[2:]], [lines[0], b"{}\n", *lines[2:]], [b'{"archive": "redis-hll", "version": 2}\n', *lines[1:]]):
        damaged.append(gzip.compress(b"".join(wrong)))
    for content in damaged:
        with pytest.raises(archive.Damaged):
            file.write_bytes(content)
            list(archive.read(file))
    assert "!" in care(one_server, "restore", file, expect=FAILED)
    assert values(c) == left


@pytest.fixture
def library(one_server):
    """A client as the programs have it."""
    with redis.Redis(port=one_server.port) as client:
        yield client


def test_a_file_that_cannot_be_read_back_deletes_nothing(one_server, library, tmp_path):
    """The disk gave back something else than was written."""
    c = one_server.c
    fill(c)
    file = archived(one_server, tmp_path, "--keep")
    before = values(c)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(archive.Damaged):
        archive.settle(library, file, 8, 0, keep=False)
    assert values(c) == before


def test_a_disk_that_fails_leaves_the_keys_and_no_file(one_server, tmp_path, monkeypatch):
    fill(one_server.c)
    before = values(one_server.c)

    def fails(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    assert "No space left" in care(one_server, *ARCHIVED, "--to", tmp_path, expect=FAILED)
    assert values(one_server.c) == before and list(tmp_path.iterdir()) == []


def test_a_key_that_was_written_to_meanwhile_stays(one_server, library, tmp_path):
    c = one_server.c
    add(c, "old:a:2020-03-01", ["a"])
    add(c, "old:b:2020-03-01", ["b"])
    file = archived(one_server, tmp_path, "--keep")
    c("HLL.ADD", "old:a:2020-03-01", "new")
    before = values(c, b"old:a")
    now = int(datetime.now(timezone.utc).timestamp() * 1000)
    assert archive.settle(library, file, 2, now, keep=False) == FOUND
    assert values(c) == before


def test_a_key_that_is_written_to_between_the_last_look_and_the_deletion_stays(one_server, library, monkeypatch):
    c = one_server.c
    add(c, "k", ["a"])
    record = archive.Record(b"k", "HLLsketch", *archive.payload(library, b"k", "HLLsketch")[:1], None, c("HLL.EXPORT", "k"))
    look = archive.payload

    def looked(client, key, kind):
        found = look(client, key, kind)
        c("HLL.ADD", "k", "new")
        return found

    monkeypatch.setattr(archive, "payload", looked)
    assert archive.delete(library, record) is False
    assert c("HLL.COUNT", "k") == 2


def test_a_payload_that_does_not_make_the_same_key_again_keeps_the_key(one_server, library, tmp_path, monkeypatch):
    """As a server would that exports something wrong."""
    c = one_server.c
    add(c, "old:a:2020-03-01", ["a"])
    file = archived(one_server, tmp_path, "--keep")
    look = archive.payload
    monkeypatch.setattr(archive, "payload", lambda client, key, kind: ("native", b"other") if b"hll-care" in key else look(client, key, kind))
    before = values(c)
    assert archive.settle(library, file, 1, int(datetime.now(timezone.utc).timestamp() * 1000), keep=False) == FOUND
    assert values(c) == before  # nor is the copy left


@pytest.mark.parametrize("key", [b"a", b"{t}:a", b"a{t}b", b"{}a", b"a}b", b"{", b"\xff\x00"])
def test_the_copy_that_proves_a_payload_is_in_the_slot_of_its_key(start, newest, key):
    c = start(newest, {"cluster-enabled": "yes"}).c
    name = archive.proof_name(key)
    if b"}" not in key or b"{t}" in key:
        assert c("CLUSTER", "KEYSLOT", name) == c("CLUSTER", "KEYSLOT", key)
    assert name != key


@pytest.mark.thorough
def test_sketches_move_between_servers_of_any_kind(start, request, tmp_path):
    names = list(request.config.hll_servers)
    first = start(names[-1])
    for kind in ("empty", "sparse", "hip", "ml"):
        make(first.c, f"old:{kind}:2020-03-01", kind)
    before = {name: first.c("HLL.EXPORT", name) for name in first.c("KEYS", "*")}
    file = archived(first, tmp_path)
    for name in names:
        other = start(name)
        care(other, "restore", file)
        assert {key: other.c("HLL.EXPORT", key) for key in other.c("KEYS", "*")} == before


@pytest.mark.parametrize("words, why", [
    (["--keys", "v:*"], "say which keys are old"),
    (["--keys", "v:*", "--older-than", "3"], "needs a date"),
    (["--keys", "v:*", "--keep", "--to", "/no/such/place"], "no such directory"),
])
def test_an_archive_of_nothing_in_particular_is_refused(one_server, tmp_path, words, why):
    assert why in care(one_server, "archive", "--to", tmp_path, *words, expect=MISUSED)


# ---- backup ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(start, server_name, tmp_path):
    """A server with keys of every type in two databases, and its RDB file."""
    server = start(server_name)
    c = server.c
    fill(c)
    for i in range(300):
        c("HSET", "hash", f"f{i}", i)
        c("SADD", "set", f"m{i}")
        c("ZADD", "zset", i, f"m{i}")
        c("RPUSH", "list", i)
        c("XADD", "stream", "*", "a", i)
    c("SELECT", 1)
    add(c, "second", elements(0, 4000))
    c("SELECT", 0)
    c("SAVE")
    return server


def proof(request, server, *more, expect=DONE):
    binary, module = request.config.hll_servers[server.name], request.config.option.module
    return care(server, "backup", os.path.join(server.directory, "dump.rdb"), "--server", binary, "--module", module, *more, expect=expect)


def test_a_backup_loads_and_holds_what_the_server_holds(request, saved):
    before = values(saved.c)
    said = proof(request, saved)
    assert f"{len(before) + 1:,} keys are the same, 0 were used since the file was taken, 0 differ" in said
    assert values(saved.c) == before
    assert "would load" in proof(request, saved, "--dry-run")


NOW = 2**40  # so late that no use of a key excuses a difference


def test_what_a_backup_lacks_is_told(request, saved):
    c = saved.c
    c("HLL.ADD", "old:sparse:2020-03-07", "new")
    c("HLL.CUBE.ADD", "old:cube:2020-03-01", "*", "new")
    c("PERSIST", "old:cube:2020-03-01")
    c("SADD", "set", "new")
    c("EXPIRE", "hash", 1000)
    add(c, "later", ["a"])
    said = proof(request, saved, "--taken", NOW, expect=FOUND)
    for name in ("old:sparse:2020-03-07 differs", "old:cube:2020-03-01 differs", "set differs", "hash differs", "later is not in the file"):
        assert f"! {name}" in said
    assert " 5 differ" in said


@pytest.mark.parametrize("compression", ["lz4", "gzip", "none"])
def test_a_server_that_compresses_otherwise_is_compared_all_the_same(request, start, newest, compression):
    server = start(newest, module_args=["rdb-compression", compression])
    add(server.c, "k", elements(0, 5000))
    server.c("SAVE")
    assert "1 keys are the same, 0 were used since the file was taken, 0 differ" in proof(request, server, "--taken", NOW)


def test_what_was_used_since_the_backup_is_excused(request, saved):
    saved.c("HLL.ADD", "old:sparse:2020-03-07", "new")
    saved.c("DEL", "set")
    add(saved.c, "later", ["a"])
    assert "3 were used since the file was taken, 0 differ" in proof(request, saved)


def test_a_backup_of_another_server_is_told(request, start, newest):
    """Not one key in common: an error, however many excuses there are."""
    server = start(newest)
    server.c("SAVE")
    add(server.c, "k", ["a"])
    assert "not one key could be compared" in proof(request, server, expect=FOUND)
    assert "loaded in" in proof(request, server, "--alone")


def test_a_backup_that_does_not_load_is_told(request, start, newest):
    server = start(newest)
    for i in range(50):
        add(server.c, f"k{i}", elements(0, 5000))
    server.c("SAVE")
    path = os.path.join(server.directory, "dump.rdb")
    with open(path, "rb") as f:
        content = f.read()
    for wrong in (content[:len(content) // 2], content[:5000] + bytes(100) + content[5100:]):
        with open(path, "wb") as f:
            f.write(wrong)
        assert "does not load" in proof(request, server, expect=FOUND)
    with open(path, "wb") as f:
        f.write(b"something else")
    assert "not an RDB file" in proof(request, server, expect=FAILED)
    with open(path, "wb") as f:
        f.write(content)
    proof(request, server)


def test_a_comparison_leaves_no_trace_of_use(start, newest):
    """Where the server can be told not to count it."""
    server = start(newest)
    c = server.c
    add(c, "k", ["a"])
    c("RESTORE", "idle", 0, c("DUMP", "k"), "IDLETIME", 5000)
    with redis.Redis(port=server.port) as client:
        client.execute_command("CLIENT", "NO-TOUCH", "ON")
        assert backup.content(client, b"idle", "HLLsketch") == backup.content(client, b"k", "HLLsketch")
    assert c("OBJECT", "IDLETIME", "idle") >= 5000


# ---- all of them ----------------------------------------------------------------------------------------------------

CALLS = {
    "rollup": ["--days", "v:%Y-%m-%d", "--into", "w:%Y"],
    "accuracy": ["--monitor", "m", "--sketch", "s", "--set", "t"],
    "archive": ["--keys", "v:%Y-%m-%d", "--older-than", "9", "--to", "."],
    "backup": [__file__],
}


@pytest.mark.parametrize("program", CALLS)
def test_a_server_that_is_not_there_or_has_no_module_is_a_failure(start, newest, program, tmp_path):
    words = CALLS[program]
    if program == "backup":
        (tmp_path / "x.rdb").write_bytes(b"REDIS0011")
        words = [str(tmp_path / "x.rdb"), "--server", "/bin/true", "--module", __file__]
    bare = start(newest, module=False)
    assert "does not have the module" in care(bare, program, *words, expect=FAILED)
    assert re.search("refused|111", care(bare, program, *words, url="redis://127.0.0.1:1/0", expect=FAILED))


def test_every_program_explains_itself_and_runs_from_anywhere(one_server, tmp_path):
    """As a timer starts it: without this repository's Python path, with the address and the password from the environment."""
    def run(*words, **more):
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **more}
        return subprocess.run([CARETAKER, *words], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60)

    said = run("--help").stdout
    for program in (*CALLS, "restore"):
        assert re.search(rf"^ +{program} ", said, re.M)
        help_ = " ".join(run(program, "--help").stdout.split())
        assert "--dry-run" in help_ and "exit status: 0" in help_
    c = one_server.c
    add(c, f"v:{day(1)}", ["a"])
    c("ACL", "SETUSER", "timer", "on", ">secret", "~*", "+@all")
    where = {"HLL_URL": f"redis://timer@127.0.0.1:{one_server.port}/0"}
    assert run("rollup", *CALLS["rollup"], **where).returncode == FAILED
    done = run("rollup", *CALLS["rollup"], **where, REDISCLI_AUTH="secret")
    assert done.returncode == DONE and "1 keys were looked after" in done.stdout
    assert c("HLL.COUNT", f"w:{TODAY - timedelta(1):%Y}") == 1


def test_the_user_for_care_may_do_all_of_it(start, newest, tmp_path, request):
    """With the password from the environment, as the timers have it."""
    server = start(newest)
    c = server.c
    (line,) = [line for line in Path(ROOT, "deploy/users.acl").read_text().splitlines() if line.startswith("user care ")]
    _, _, *rules = line.replace("#CARE_SHA256", ">secret").split()
    c("ACL", "SETUSER", "care", *rules)
    fill(c)
    add(c, f"visitors:shop:{day(1)}", ["a"])
    url = f"redis://care@127.0.0.1:{server.port}/0"
    os.environ["REDISCLI_AUTH"] = "secret"
    try:
        care(server, "rollup", "--days", DAYS, "--into", MONTHS, "--keep-days", 10, url=url)
        care(server, *ARCHIVED, "--to", tmp_path, url=url)
        (file,) = tmp_path.glob("*.gz")
        care(server, "restore", file, url=url)
        care(server, "accuracy", "--monitor", "m", url=url, stdin=f"visitors:shop:{day(1)}\t1\n")
        c("SAVE")
        care(server, "backup", os.path.join(server.directory, "dump.rdb"), "--server", request.config.hll_servers[newest],
             "--module", request.config.option.module, url=url)
    finally:
        del os.environ["REDISCLI_AUTH"]
    care(server, "rollup", "--days", DAYS, "--into", MONTHS, url=url, expect=FAILED)
