"""A replica holds the same bytes as its master, however it got them and however it is configured itself."""

import pytest

import reference
from helpers import KINDS, add, digest, elements, estimate, info, make, refused, state
from resp import ReplyError
from servers import wait_for

# No pings into the stream while we measure it, and room for everything we write while a link is down.
MASTER = {"repl-ping-replica-period": "3600", "repl-backlog-size": "64mb", "repl-diskless-sync-delay": "0"}


def attach(replica, master):
    replica.c("REPLICAOF", "127.0.0.1", master.port)
    wait_for("the first synchronisation", lambda: replica.info(section="replication").get("master_link_status") == "up")
    in_step(master, replica)


def offset(master):
    return int(master.info(section="replication")["master_repl_offset"])


def in_step(master, *replicas):
    """Wait until the replicas have executed all that the master has sent."""
    for replica in replicas:
        def caught_up():
            there = replica.info(section="replication")
            return there.get("master_link_status") == "up" and int(there["slave_repl_offset"]) == offset(master)
        wait_for("the replica to catch up", caught_up)


def assert_same(master, *replicas, exports=True):
    """Same keys, same content, same way of counting; and same bytes of an export, where both store alike."""
    in_step(master, *replicas)
    keys = sorted(k for k in master.c("KEYS", "*") if master.c("TYPE", k) == "HLLsketch")
    for replica in replicas:
        assert sorted(replica.c("KEYS", "*")) == sorted(master.c("KEYS", "*"))
        assert digest(replica.c) == digest(master.c)
        for key in keys:
            assert state(replica.c, key) == state(master.c, key)
            if exports:
                assert replica.c("HLL.EXPORT", key) == master.c("HLL.EXPORT", key)


def write_everything(c, tag):
    """Every way to write, on keys of every kind."""
    for kind in KINDS:
        make(c, f"{tag}:{kind}", kind, 10)
        c("HLL.ADD", f"{tag}:{kind}", f"{tag} more")
    add(c, f"{tag}:added", elements(0, 9000))
    c("HLL.CREATE", f"{tag}:created")
    c("HLL.MERGE", f"{tag}:copy", f"{tag}:hip")
    c("HLL.MERGE", f"{tag}:nothing", "none")
    c("HLL.MERGE", f"{tag}:merged", f"{tag}:sparse", "none", f"{tag}:added")
    c("HLL.MERGE", f"{tag}:added", f"{tag}:hip")
    payload = c("HLL.EXPORT", f"{tag}:ml")
    c("HLL.IMPORT", f"{tag}:imported", "FORMAT", "NATIVE", payload)
    c("HLL.IMPORT", f"{tag}:imported", "FORMAT", "NATIVE", c("HLL.EXPORT", f"{tag}:sparse"), "REPLACE")
    c("HLL.IMPORT", f"{tag}:imported", "FORMAT", "NATIVE", payload, "MERGE")
    c("COPY", f"{tag}:hip", f"{tag}:twin")
    c("HLL.ADD", f"{tag}:twin", "only here")
    c("RESTORE", f"{tag}:restored", 0, c("DUMP", f"{tag}:hip"))
    c("HLL.ADD", b"\x00\r\n\xff" + tag.encode(), b"\x00", "")
    c("HLL.ADD", f"{tag}:gone", "x")
    c("DEL", f"{tag}:gone")


@pytest.mark.parametrize("diskless, load", [("no", "disabled"), ("yes", "disabled"), ("yes", "swapdb")])
def test_full_then_running_synchronisation(start, server_name, diskless, load):
    master = start(server_name, {**MASTER, "repl-diskless-sync": diskless})
    replica = start(server_name, {"repl-diskless-load": load})
    replica.c("HLL.ADD", "of the replica", "must go")
    write_everything(master.c, "before")
    attach(replica, master)
    assert_same(master, replica)
    write_everything(master.c, "after")
    assert_same(master, replica)


def test_the_settings_of_a_replica_do_not_matter(start, server_name):
    """Another default precision, another seed, a memory limit and another compression: still the same bytes."""
    master = start(server_name, {**MASTER, "hll.hash-seed": "12345", "hll.default-precision": "12"})
    replica = start(server_name, {"hll.hash-seed": "999", "hll.default-precision": "6", "hll.max-memory-per-key": "10",
                                  "hll.rdb-compression": "none"})
    write_everything(master.c, "before")
    attach(replica, master)
    write_everything(master.c, "after")
    assert_same(master, replica, exports=False)
    assert info(replica.c, "after:nothing")["precision"] == 12
    # Promoted, it goes on with the seed of the sketch: elements the master knew are known.
    replica.c("REPLICAOF", "NO", "ONE")
    replica.c("CONFIG", "SET", "hll.max-memory-per-key", "0")
    assert replica.c("HLL.ADD", "after:hip", *elements(0, 1000)) == 0


def test_a_short_break_of_the_link_is_made_good_from_the_backlog(start, server_name):
    master = start(server_name, MASTER)
    replica = start(server_name)
    write_everything(master.c, "before")
    attach(replica, master)

    def syncs():
        stats = master.info(section="stats")
        return int(stats["sync_full"]), int(stats["sync_partial_ok"])

    full, partial = syncs()
    for round_ in range(3):
        # The kill and the writes go out together: the replica cannot be back in between.
        payload = [("CLIENT", "KILL", "TYPE", "replica"), ("HLL.ADD", f"fresh{round_}", "x"), ("HLL.ADD", "before:hip", f"broken{round_}"),
                   ("HLL.ADD", "before:sparse", *elements(0, 5000, f"broken{round_}")), ("HLL.MERGE", "before:hip", "before:sparse")]
        replies = master.c.pipe(payload)
        assert replies[0] == 1 and not any(isinstance(r, ReplyError) for r in replies)
        write_everything(master.c, f"round{round_}")
        wait_for("a partial resynchronisation", lambda: syncs()[1] > partial + round_)
        assert_same(master, replica)
    assert syncs()[0] == full


def test_a_chain_of_replicas_and_a_promotion(start, server_name):
    master, middle, last = start(server_name, MASTER), start(server_name, MASTER), start(server_name, {"hll.default-precision": "5"})
    write_everything(master.c, "before")
    attach(middle, master)
    attach(last, middle)
    write_everything(master.c, "after")
    in_step(master, middle)
    assert_same(middle, last)
    assert_same(master, middle)
    middle.c("REPLICAOF", "NO", "ONE")
    write_everything(middle.c, "promoted")
    assert_same(middle, last)


def test_transactions_and_scripts_replicate(start, server_name):
    master, replica = start(server_name, MASTER), start(server_name)
    attach(replica, master)
    c = master.c
    c("MULTI")
    for command in [("HLL.CREATE", "k", "PRECISION", 10), ("HLL.ADD", "k", *elements(0, 3000)), ("HLL.ADD", "new", "a"),
                    ("HLL.MERGE", "m", "k", "new"), ("HLL.CREATE", "k"), ("HLL.ADD", "k", "user:1")]:
        c(*command)
    assert isinstance(c("EXEC")[4], ReplyError)
    assert_same(master, replica)
    script = """
        for i = 1, 3000 do redis.call('HLL.ADD', KEYS[1], 'element ' .. i) end
        redis.call('HLL.MERGE', KEYS[2], KEYS[1])
        redis.pcall('HLL.CREATE', KEYS[1])
        local p = redis.call('HLL.EXPORT', KEYS[2])
        redis.call('HLL.IMPORT', KEYS[3], 'FORMAT', 'NATIVE', p)
        return redis.call('HLL.COUNT', KEYS[3])
    """
    assert abs(c("EVAL", script, 3, "s", "sm", "si") - 3000) < 200
    assert c("EXISTS", "s", "sm", "si") == 3
    assert_same(master, replica)
    before = offset(master)
    c("EVAL", "return redis.call('HLL.ADD', KEYS[1], 'element 1')", 1, "s")
    c("MULTI")
    c("HLL.ADD", "s", "element 2")
    c("HLL.COUNT", "s")
    c("EXEC")
    assert offset(master) == before


def test_what_changed_nothing_is_not_sent(start, server_name):
    master, replica = start(server_name, MASTER), start(server_name)
    attach(replica, master)
    c = master.c
    for kind in KINDS:
        make(c, kind, kind, 10)
    add(c, "k", elements(0, 3000))
    payload = c("HLL.EXPORT", "hip")
    in_step(master, replica)
    before, dirty = offset(master), int(master.info(section="persistence")["rdb_changes_since_last_save"])
    assert add(c, "k", elements(0, 3000)) == 0
    c("HLL.ADD", "hip", "user:1")
    c("HLL.MERGE", "k", "none", "k")
    c("HLL.MERGE", "hip", "empty")
    c("HLL.MERGE", "ml", "sparse", "hip")
    c("HLL.IMPORT", "ml", "FORMAT", "NATIVE", payload, "MERGE")
    for kind in KINDS:
        info(c, kind), estimate(c, kind), c("HLL.COUNT", kind, "k"), c("HLL.EXPORT", kind)
    for wrong in (("HLL.CREATE", "k"), ("HLL.ADD", "k"), ("HLL.CREATE", "new", "PRECISION", "99"), ("HLL.IMPORT", "k", "FORMAT", "NATIVE", "x", "REPLACE"),
                  ("HLL.ESTIMATE", 9, "k"), ("HLL.INFO", "none")):
        with pytest.raises(ReplyError):
            c(*wrong)
    assert offset(master) == before
    assert int(master.info(section="persistence")["rdb_changes_since_last_save"]) == dirty
    c("HLL.ADD", "k", "new")
    assert offset(master) > before
    assert int(master.info(section="persistence")["rdb_changes_since_last_save"]) > dirty
    assert_same(master, replica)


def test_a_short_addition_is_sent_as_it_came(start, server_name):
    """The stream of an addition to an existing key is as long as the addition, not as the sketch."""
    master, replica = start(server_name, MASTER), start(server_name)
    attach(replica, master)
    make(master.c, "k", "hip", 18)
    in_step(master, replica)
    before = offset(master)
    master.c("HLL.ADD", "k", "one new element")
    assert offset(master) - before < 200
    assert_same(master, replica)


@pytest.mark.parametrize("hash_name", ["XXH3", "REDIS", "DATASKETCHES"])
def test_of_an_addition_only_what_changed_the_sketch_is_sent(start, server_name, hash_name):
    """Four bytes for each element that did, whatever its length, and the replica ends with the same bytes: through the
    sparse form, the turn to registers (p = 10 turns at 256), and in a full sketch, where most elements change nothing."""
    master, replica = start(server_name, MASTER), start(server_name, {"hll.default-precision": "5"})
    attach(replica, master)
    c = master.c
    c("HLL.CREATE", "k", "PRECISION", 10, "HASH", hash_name)
    in_step(master, replica)
    frame = len(b"*3\r\n$10\r\nHLL.REPLAY\r\n$1\r\nk\r\n$4009\r\n\r\n") + len(reference.frame(reference.CHANGES, bytes(4000))) - 4000
    for round_ in range(20):
        before = offset(master)
        batch = [f"{round_}:{i}:{'x' * 60}" for i in range(1000)]
        assert c("HLL.ADD", "k", *batch, *batch) == 1
        # Of the first thousand nearly each changes the sketch, of the tenth (of m = 1024 registers) some hundred.
        assert offset(master) - before <= frame + 4 * (1000 if round_ < 10 else 300)
        assert_same(master, replica)
    before = offset(master)
    assert c("HLL.ADD", "k", *batch) == 0
    assert offset(master) == before
    # A single long element, too.
    for i in range(1000):
        c("HLL.ADD", "k", f"single {i}" + "x" * 1000)
    assert offset(master) - before < 1000 * 40
    assert_same(master, replica)


def test_a_replay_takes_what_a_write_sends_and_nothing_else(server):
    c = server.c
    changes = reference.changes([0xc1d27c01, 0xa734ea40])
    refused(c, "HLL.REPLAY", "k", changes, match="no such key")
    c("HLL.CREATE", "k")
    whole = c("HLL.EXPORT", "k")
    for wrong in (b"", b"\0", b"abc", changes[:-1], changes[1:], reference.changes([]), reference.changes([0xffffffff]),
                  reference.changes([0xc1d27c01, 0x27]), changes + b"\0", whole[:-1]):
        refused(c, "HLL.REPLAY", "k", wrong, match="^ERR HLL: content is not")
        assert c("HLL.COUNT", "k") == 0
    assert c("HLL.REPLAY", "k", changes) == "OK"
    assert c("HLL.COUNT", "k") == 2
    assert c("HLL.REPLAY", "k", changes) == "OK"
    assert c("HLL.COUNT", "k") == 2
    assert c("HLL.REPLAY", "k", whole) == "OK"
    assert c("HLL.COUNT", "k") == 0
    c("EXPIRE", "k", 1000)
    assert c("HLL.REPLAY", "k", whole) == "OK"
    assert 900 < c("TTL", "k") <= 1000  # what is there is changed, and not made anew
    c("SET", "s", "x")
    c("PFADD", "pf", "x")
    for content in (changes, whole):
        refused(c, "HLL.REPLAY", "s", content, match="^WRONGTYPE")
        refused(c, "HLL.REPLAY", "pf", content, match="only read here")
    assert c("GET", "s") == b"x"


def test_a_replica_counts_and_does_not_write(start, server_name):
    master, replica = start(server_name, MASTER), start(server_name)
    attach(replica, master)
    for kind in KINDS:
        make(master.c, kind, kind, 10)
    in_step(master, replica)
    r = replica.c
    assert r("HLL.COUNT", *KINDS) == master.c("HLL.COUNT", *KINDS)
    assert estimate(r, "hip", "ml") == estimate(master.c, "hip", "ml")
    payload = r("HLL.EXPORT", "hip")
    for command in [("HLL.ADD", "hip", "x"), ("HLL.ADD", "new", "x"), ("HLL.CREATE", "new"), ("HLL.MERGE", "hip", "ml"),
                    ("HLL.IMPORT", "new", "FORMAT", "NATIVE", payload)]:
        refused(r, *command, match="^READONLY")
    # A replica does not drop an expired key by itself, but does not count it either.
    master.c("PEXPIRE", "hip", 30)
    wait_for("the key to expire on the replica", lambda: r("HLL.COUNT", "hip") == 0, seconds=5)


def test_sketches_expire_on_both(start, server_name):
    master, replica = start(server_name, MASTER), start(server_name)
    attach(replica, master)
    write_everything(master.c, "k")
    for key in master.c("KEYS", "*"):
        master.c("PEXPIRE", key, 10)
    wait_for("the keys to expire", lambda: master.c("DBSIZE") == 0)
    in_step(master, replica)
    assert replica.c("DBSIZE") == 0
