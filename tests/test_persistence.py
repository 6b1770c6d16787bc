"""Sketches survive every way in which a server stores, copies, moves and drops a key, byte for byte."""

import os
import re
import time

import pytest

import rdb
from helpers import COMPRESSIONS, KINDS, add, digest, elements, info, make, refused, state
from reference import changes, tokens
from resp import ReplyError
from servers import DidNotStart, wait_for


def fill(server):
    """Sketches of every kind at several precisions, and other data between them. Key -> its state."""
    c = server.c
    for precision in (4, 10, 13):
        for kind in KINDS:
            make(c, f"{kind}:{precision}", kind, precision)
    make(c, "hip:17", "hip", 17)
    make(c, "sparse:18", "sparse", 18)
    add(c, "default", elements(0, 30_000))
    c("HLL.ADD", b"\x00binary\r\n\xff", "", "a", b"\x00" * 100)
    c("SET", "string", "x" * 100)
    c("ZADD", "zset", 1, "a", 2, "b")
    c("EXPIRE", "hip:13", 100_000)
    return snapshot(server)


def snapshot(server):
    c = server.c
    keys = [k for k in c("KEYS", "*") if c("TYPE", k) == "HLLsketch"]
    return digest(c), {k: state(c, k) for k in sorted(keys)}, c("DBSIZE")


# Snapshots


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_snapshot_brings_back_every_sketch(start, server_name, compression):
    server = start(server_name, {"hll.rdb-compression": compression})
    before = fill(server)
    server.c("SAVE")
    server.kill()
    server.start()
    assert snapshot(server) == before
    assert 99_000 < server.c("TTL", "hip:13") <= 100_000
    # And again, from the loaded state and by way of SHUTDOWN SAVE.
    server.restart("SAVE")
    assert snapshot(server) == before


def test_snapshots_of_every_compression_load_under_every_setting(start, server_name):
    server = start(server_name)
    before, sizes = None, {}
    for written in COMPRESSIONS:
        server.c("CONFIG", "SET", "hll.rdb-compression", written)
        if before is None:
            before = fill(server)
        assert snapshot(server) == before
        server.c("SAVE")
        sizes[written] = os.path.getsize(os.path.join(server.directory, "dump.rdb"))
        server.kill()
        server.options["hll.rdb-compression"] = COMPRESSIONS[COMPRESSIONS.index(written) - 1]
        server.start()
        assert snapshot(server) == before
    assert max(sizes["zstd"], sizes["gzip"], sizes["lz4"]) < 0.95 * sizes["none"]


def test_a_snapshot_in_the_background_while_sketches_change(start, server_name):
    server = start(server_name)
    c = server.c
    for i in range(50):
        add(c, f"k{i}", elements(0, 5000, f"p{i}"))
    before = snapshot(server)
    c("BGSAVE")
    for i in range(50):
        c("HLL.ADD", f"k{i}", *elements(5000, 6000, f"p{i}"))
    wait_for("the end of BGSAVE", lambda: server.info(section="persistence")["rdb_bgsave_in_progress"] == "0")
    assert server.info(section="persistence")["rdb_last_bgsave_status"] == "ok"
    server.kill()
    server.start()
    assert snapshot(server) == before


def test_counting_goes_on_after_a_restart_as_if_there_had_been_none(start, server_name):
    """The running estimate (HIP) is stored whole: the same elements give the same figure with and without a restart."""
    server = start(server_name)
    for precision in (10, 13):
        for key in ("through", "paused"):
            server.c("HLL.CREATE", f"{key}:{precision}", "PRECISION", precision)
        add(server.c, f"through:{precision}", elements(0, 40_000))
        add(server.c, f"paused:{precision}", elements(0, 15_000))
    server.c("SAVE")
    server.restart()
    for precision in (10, 13):
        add(server.c, f"paused:{precision}", elements(15_000, 40_000))
        assert state(server.c, f"paused:{precision}") == state(server.c, f"through:{precision}")
        assert info(server.c, f"paused:{precision}")["estimator"] == "hip"


def test_debug_reload_keeps_everything(server):
    before = fill(server)
    server.c("DEBUG", "RELOAD")
    assert snapshot(server) == before


# Append-only file


def aof_server(start, name, preamble, **options):
    return start(name, {"appendonly": "yes", "appendfsync": "always", "aof-use-rdb-preamble": preamble,
                        "auto-aof-rewrite-percentage": "0", **options})


@pytest.mark.parametrize("preamble, compression", [("no", "zstd"), ("no", "none"), *(("yes", c) for c in COMPRESSIONS)])
def test_the_append_only_file_brings_back_every_sketch(start, server_name, preamble, compression):
    server = aof_server(start, server_name, preamble, **{"hll.rdb-compression": compression})
    before = fill(server)
    server.kill()
    server.start()
    assert snapshot(server) == before
    # Rewritten: what is there now as the shortest file, then more commands behind it.
    c = server.c
    c("BGREWRITEAOF")
    wait_for("the end of BGREWRITEAOF", lambda: _no_rewrite(server))
    assert server.info(section="persistence")["aof_last_bgrewrite_status"] == "ok"
    assert snapshot(server) == before
    c("HLL.ADD", "default", *elements(30_000, 31_000))
    c("HLL.MERGE", "hip:13", "default", "ml:10")
    c("HLL.IMPORT", "sparse:13", "FORMAT", "NATIVE", c("HLL.EXPORT", "hip:10"), "MERGE")
    c("HLL.ADD", "later", "a", "b")
    after = snapshot(server)
    server.kill()
    server.start()
    assert snapshot(server) == after


def _no_rewrite(server):
    persistence = server.info(section="persistence")
    return persistence["aof_rewrite_in_progress"] == "0" and persistence["aof_rewrite_scheduled"] == "0"


def test_settings_that_changed_do_not_change_what_the_append_only_file_means(start, server_name):
    """A key is written down with its precision and seed, not with "the default of whoever reads this"."""
    server = aof_server(start, server_name, "no", **{"hll.default-precision": "11", "hll.hash-seed": "7"})
    server.c("HLL.ADD", "k", *elements(0, 100))
    add(server.c, "k", elements(100, 10_000))
    server.c("HLL.CREATE", "empty")
    server.c("HLL.MERGE", "made", "none")
    before = snapshot(server)
    server.kill()
    server.options.update({"hll.default-precision": "14", "hll.hash-seed": "99", "hll.max-memory-per-key": "100"})
    server.start()
    assert snapshot(server) == before
    assert info(server.c, "made")["precision"] == 11
    # Known elements are still known: they are hashed with the seed of the sketch, not of the server.
    server.c("CONFIG", "SET", "hll.max-memory-per-key", "0")
    assert server.c("HLL.ADD", "k", *elements(0, 5000)) == 0


def test_what_reaches_the_append_only_file(start, server_name):
    """A key that comes into being is written as the sketch itself, then what its additions changed; calls that changed
    nothing, reads, and refusals are not written."""
    server = aof_server(start, server_name, "yes")
    c = server.c
    c("HLL.ADD", "k", "a")
    first = c("HLL.EXPORT", "k")
    c("HLL.ADD", "k", "a")
    c("HLL.ADD", "k", "b", "a")
    c("HLL.ADD", "k", "c")
    c("HLL.COUNT", "k")
    c("HLL.MERGE", "k", "none")
    for wrong in (("HLL.CREATE", "k"), ("HLL.CREATE", "new", "PRECISION", "3"), ("HLL.IMPORT", "k", "FORMAT", "NATIVE", "x", "REPLACE")):
        with pytest.raises(ReplyError):
            c(*wrong)
    c("HLL.CREATE", "m", "PRECISION", 10)
    empty = c("HLL.EXPORT", "m")
    c("HLL.MERGE", "m", "k")
    c("DEL", "m")
    log = _incremental_file(server)
    assert _commands(log) == [
        [b"SELECT", b"0"],
        [b"HLL.REPLAY", b"k", first],
        [b"HLL.REPLAY", b"k", changes(tokens(["b"]))],
        [b"HLL.ADD", b"k", b"c"],
        [b"HLL.REPLAY", b"m", empty],
        [b"HLL.MERGE", b"m", b"k"],
        [b"DEL", b"m"],
    ]


def _incremental_file(server):
    directory = os.path.join(server.directory, "appendonlydir")
    name = max(n for n in os.listdir(directory) if ".incr." in n)
    with open(os.path.join(directory, name), "rb") as f:
        return f.read()


def _commands(data):
    """The commands in an append-only file, without the annotations some servers put in."""
    commands, at = [], 0

    def line():
        nonlocal at
        end = data.index(b"\r\n", at)
        text, at = data[at:end], end + 2
        return text

    while at < len(data):
        head = line()
        if head.startswith(b"#"):
            continue
        args = []
        for _ in range(int(head[1:])):
            length = int(line()[1:])
            args.append(data[at:at + length])
            at += length + 2
        commands.append([args[0].upper(), *args[1:]])
    return commands


def test_the_rewritten_file_without_preamble_holds_our_own_commands(start, server_name):
    server = aof_server(start, server_name, "no")
    c = server.c
    for kind in KINDS:
        make(c, kind, kind, 10)
    exported = {kind.encode(): c("HLL.EXPORT", kind) for kind in KINDS}
    c("BGREWRITEAOF")
    wait_for("the end of BGREWRITEAOF", lambda: _no_rewrite(server))
    directory = os.path.join(server.directory, "appendonlydir")
    (base,) = [n for n in os.listdir(directory) if ".base." in n]
    with open(os.path.join(directory, base), "rb") as f:
        commands = [c for c in _commands(f.read()) if c[0] != b"SELECT"]
    assert {c[0] for c in commands} == {b"HLL.REBUILD"}
    assert {c[1]: c[4] for c in commands} == exported
    for word, place in ((b"HLLsketch", 2), (b"0", 3)):
        assert {c[place] for c in commands} == {word}


# One value at a time


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_dump_and_restore(server, compression):
    server.set("hll.rdb-compression", compression)
    c = server.c
    for kind in KINDS:
        make(c, kind, kind, 12)
        payload = c("DUMP", kind)
        assert c("RESTORE", f"copy-{kind}", 0, payload) == "OK"
        assert state(c, f"copy-{kind}") == state(c, kind)
        assert c("DUMP", f"copy-{kind}") == payload
        refused(c, "RESTORE", f"copy-{kind}", 0, payload, match="^BUSYKEY")
        assert c("RESTORE", f"copy-{kind}", 5_000_000, payload, "REPLACE") == "OK"
        assert 4_900_000 < c("PTTL", f"copy-{kind}") <= 5_000_000


def test_a_dump_of_any_server_restores_on_any_other(start, request):
    """The bytes inside a DUMP are ours and the same everywhere; only the version in its footer is the server's."""
    names = list(request.config.hll_servers)
    running = [start(name) for name in names]
    for source in running:
        c = source.c
        for compression in COMPRESSIONS:
            c("CONFIG", "SET", "hll.rdb-compression", compression)
            for kind in KINDS:
                c("FLUSHALL")
                make(c, "k", kind, 10)
                payload, wanted = c("DUMP", "k"), state(c, "k")
                for target in running:
                    target.c("DEL", "copy")
                    target.c("RESTORE", "copy", 0, rdb.seal(rdb.body(payload), 10))  # 10: Redis 7.0's, which all accept
                    assert state(target.c, "copy") == wanted, (source, target, compression, kind)


def test_a_snapshot_of_one_server_loads_on_the_others(start, request):
    """Wherever the server itself accepts the other's file version, the sketches in it are the same."""
    names = list(request.config.hll_servers)
    files, wanted, loaded = {}, {}, set()
    for name in names:
        server = start(name)
        wanted[name] = fill(server)
        server.c("SAVE")
        files[name] = os.path.join(server.directory, "dump.rdb")
        server.stop()
    for source in names:
        for target in names:
            try:
                server = start(target, snapshot=files[source])
            except DidNotStart as refusal:
                assert re.search("RDB format version|Wrong signature", str(refusal))  # the server itself: too new, or foreign
                continue
            assert snapshot(server) == wanted[source], (source, target)
            loaded.add((source, target))
            server.stop()
    # Every server reads its own files, and all read those of Redis 7.0.
    assert {(name, name) for name in names} <= loaded
    if "redis-7.0" in names:
        assert {("redis-7.0", name) for name in names} <= loaded


def test_copy_is_deep(server):
    c = server.c
    for kind in KINDS:
        make(c, kind, kind, 12)
        before = state(c, kind)
        assert c("COPY", kind, f"copy-{kind}") == 1
        assert state(c, f"copy-{kind}") == before
        add(c, f"copy-{kind}", elements(0, 20_000, "new"))
        assert state(c, kind) == before
        assert state(c, f"copy-{kind}") != before
        assert c("COPY", kind, kind, "DB", 4) == 1
        assert c("COPY", f"copy-{kind}", kind) == 0
        c("DEL", kind)
        c("SELECT", 4)
        assert state(c, kind) == before
        c("SELECT", 0)


def test_rename_expire_and_persist(server):
    c = server.c
    make(c, "k", "hip", 12)
    before = state(c, "k")
    c("RENAME", "k", "new")
    assert c("EXISTS", "k") == 0 and state(c, "new") == before
    c("EXPIRE", "new", 1000)
    assert 990 <= c("TTL", "new") <= 1000
    c("PERSIST", "new")
    assert c("TTL", "new") == -1 and state(c, "new") == before
    c("PEXPIRE", "new", 20)
    wait_for("the key to expire", lambda: c("DBSIZE") == 0, seconds=5)


def test_object_and_type_know_a_sketch(server):
    c = server.c
    make(c, "k", "hip", 12)
    assert c("TYPE", "k") == "HLLsketch"
    assert c("OBJECT", "ENCODING", "k") == b"raw"
    assert c("OBJECT", "REFCOUNT", "k") == 1
    payload = c("DUMP", "k")
    c("RESTORE", "idle", 0, payload, "IDLETIME", 1000)
    assert 1000 <= c("OBJECT", "IDLETIME", "idle") <= 1010
    c("HLL.COUNT", "idle")
    assert c("OBJECT", "IDLETIME", "idle") <= 10
    server.set("maxmemory-policy", "allkeys-lfu")
    c("RESTORE", "frequent", 0, payload, "FREQ", 100)
    assert 99 <= c("OBJECT", "FREQ", "frequent") <= 101


def test_scan_finds_sketches_by_type(server):
    c = server.c
    for i in range(30):
        c("HLL.ADD", f"hll{i}", "a")
        c("SET", f"string{i}", "a")
        c("PFADD", f"pf{i}", "a")
    found, cursor = set(), b"0"
    while True:
        cursor, keys = c("SCAN", cursor, "TYPE", "HLLsketch", "COUNT", 7)
        found.update(keys)
        if cursor == b"0":
            break
    assert found == {b"hll%d" % i for i in range(30)}


# Dropping keys


def test_many_big_keys_can_be_dropped_in_the_background(server):
    c = server.c
    c("HLL.CREATE", "big", "PRECISION", 18)
    add(c, "big", elements(0, 70_000), batch=10_000)
    assert info(c, "big")["encoding"] == "dense"
    add(c, "small", elements(0, 5000))
    empty = int(server.info(section="memory")["used_memory"])
    for way in ("UNLINK", "FLUSHALL ASYNC", "FLUSHDB ASYNC", "DEL", "expiry"):
        keys = [f"k{i}" for i in range(100)]
        payloads = c("DUMP", "big"), c("DUMP", "small")
        c.pipe([("RESTORE", key, 0, payloads[0]) for key in keys] + [("RESTORE", f"s{key}", 0, payloads[1]) for key in keys])
        assert int(server.info(section="memory")["used_memory"]) > empty + 100 * 2**18
        if way == "UNLINK":
            assert c("UNLINK", *keys, *[f"s{key}" for key in keys]) == 200
        elif way == "DEL":
            assert c("DEL", *keys, *[f"s{key}" for key in keys]) == 200
        elif way == "expiry":
            server.set("lazyfree-lazy-expire", "yes")
            c.pipe(("PEXPIRE", key, 1) for i in keys for key in (i, f"s{i}"))
            wait_for("the keys to expire", lambda: c("DBSIZE") == 2)
        else:
            c(*way.split())
            assert c("DBSIZE") == 0
            c("RESTORE", "big", 0, payloads[0])
            c("RESTORE", "small", 0, payloads[1])
        wait_for(f"the memory to come back after {way}",
                 lambda: int(server.info(section="memory")["used_memory"]) < empty + 400_000)
        assert (c("DUMP", "big"), c("DUMP", "small")) == payloads


def test_overwriting_a_sketch_frees_it(server):
    c = server.c
    c("HLL.CREATE", "big", "PRECISION", 18)
    add(c, "big", elements(0, 70_000), batch=10_000)
    payload, exported = c("DUMP", "big"), c("HLL.EXPORT", "big")
    before = int(server.info(section="memory")["used_memory"])
    for _ in range(40):
        c("RESTORE", "big", 0, payload, "REPLACE")
        c("HLL.IMPORT", "big", "FORMAT", "NATIVE", exported, "REPLACE")
        c("HLL.IMPORT", "big", "FORMAT", "NATIVE", exported, "MERGE")
        c("COPY", "big", "second", "REPLACE")
        c("RENAME", "second", "big")
        c("SET", "big", "now a string")
        c("DEL", "big")
        c("RESTORE", "big", 0, payload)
    wait_for("the memory of what was overwritten",
             lambda: int(server.info(section="memory")["used_memory"]) < before + 600_000)


# Active defragmentation


def prepare_to_defragment(server):
    """So that it begins with whatever there is, once it is turned on."""
    try:
        server.c("CONFIG", "SET", "activedefrag", "yes")
    except ReplyError as refusal:
        pytest.skip(f"{server} cannot defragment: {refusal.text}")
    server.c("CONFIG", "SET", "activedefrag", "no")
    server.c("CONFIG", "SET", "active-defrag-ignore-bytes", "1", "active-defrag-threshold-lower", "1", "active-defrag-threshold-upper", "2",
             "active-defrag-cycle-min", "50", "active-defrag-cycle-max", "75")


def defragmentation_hits(server):
    return int(server.info(section="stats")["active_defrag_hits"])


def test_sketches_survive_active_defragmentation(start, server_name):
    server = start(server_name, {"maxmemory": "0"})
    c = server.c
    prepare_to_defragment(server)
    # Sketches of all sizes, of which most are then deleted, leave pages with few live allocations.
    makers = {}
    for kind in KINDS:
        for precision in (9, 10, 11, 12):
            make(c, f"{kind}:{precision}", kind, precision)
            makers[f"{kind}:{precision}"] = c("DUMP", f"{kind}:{precision}")
    n = 400
    c.pipe(("RESTORE", f"{name}:{i}", 0, payload) for i in range(n) for name, payload in makers.items())
    c.pipe(("DEL", f"{name}:{i}") for i in range(n) if i % 8 for name in makers)
    before = digest(c)
    values = {name: state(c, name) for name in makers}
    c("CONFIG", "SET", "activedefrag", "yes")
    wait_for("defragmentation to move something", lambda: int(server.info(section="stats")["active_defrag_key_hits"]) > 50, seconds=30)
    for i in range(20):  # let it work while sketches are read and written
        c("HLL.ADD", f"new:{i}", *elements(0, 3000))
        assert {name: state(c, name) for name in makers} == values
        time.sleep(0.05)
    c.pipe(("DEL", f"new:{i}") for i in range(20))
    assert digest(c) == before
    for name in makers:
        c("DEL", name)
        assert state(c, f"{name}:0") == values[name]


def test_cubes_survive_active_defragmentation(start, server_name):
    """Their slices are moved while events come in and questions are answered."""
    server = start(server_name, {"maxmemory": "0"})
    c = server.c
    prepare_to_defragment(server)
    hour, begin = 3_600_000, 1_700_000_000_000
    for i in range(60):
        c("HLL.CUBE.CREATE", f"cube:{i}", "TIER", "1h", "20d", "DIMENSION", "page", "VALUES", 500, "PRECISION", 10)
    # Turn and turn about, so that the slices of one cube lie between those of others.
    for day in range(40):
        for i in range(60):
            rows = [word for n in range(100) for word in (begin + (day * 100 + n) * hour // 10, f"user:{n * 7 % 31}", f"page:{n * 13 % 89}")]
            c("HLL.CUBE.MADD", f"cube:{i}", "FIELDS", 1, "page", "ROWS", *rows)
    kept = [f"cube:{i}" for i in range(0, 60, 6)]
    c.pipe(("DEL", f"cube:{i}") for i in range(60) if i % 6)
    before = digest(c)
    top = [c("HLL.CUBE.TOP", name, "page", 10) for name in kept]
    hits = defragmentation_hits(server)
    c("CONFIG", "SET", "activedefrag", "yes")
    wait_for("defragmentation to move chunks", lambda: defragmentation_hits(server) > hits + 500, seconds=30)
    for _ in range(20):
        assert [c("HLL.CUBE.TOP", name, "page", 10) for name in kept] == top
        c("HLL.CUBE.ADD", "cube:0", begin + 400 * hour, "user:1", "page", "page:1")
        top[0] = c("HLL.CUBE.TOP", "cube:0", "page", 10)
        time.sleep(0.02)
    c("CONFIG", "SET", "activedefrag", "no")
    c("DEL", "cube:0")
    changed = digest(c)
    c("DEBUG", "RELOAD")
    assert digest(c) == changed != before
    assert [c("HLL.CUBE.TOP", name, "page", 10) for name in kept[1:]] == top[1:]
