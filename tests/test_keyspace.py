"""Notifications, WATCH, client-side caching, eviction, cluster slots and access rights see our keys as they see the server's own."""

import pytest

from helpers import KINDS, add, digest, elements, estimate, info, make, refused, state
from resp import ReplyError
from servers import wait_for

# Notifications


class Listener:
    """Collects keyspace events as (event, key)."""

    def __init__(self, server, classes):
        server.set("notify-keyspace-events", classes)
        self.server, self.client = server, server.client()
        self.client.send("PSUBSCRIBE", "__keyevent@*__:*")
        self.client.read()

    def events(self):
        """Those since the last call, up to a mark that we set ourselves."""
        self.server.c("PUBLISH", "__keyevent@0__:mark", "end")
        seen = []
        while True:
            _, _, channel, key = self.client.read()
            event = channel.decode().split(":", 1)[1]
            if event == "mark":
                return seen
            seen.append((event, key.decode()))


@pytest.mark.parametrize("classes", ["Ed", "EA"])
def test_changes_fire_events_named_like_the_command(server, classes):
    listener, c = Listener(server, classes), server.c

    def ours():
        return [(event, key) for event, key in listener.events() if event.startswith("hll.")]

    c("HLL.CREATE", "k")
    assert ours() == [("hll.create", "k")]
    c("HLL.ADD", "k", "a")
    c("HLL.ADD", "new", "a", "b")
    assert ours() == [("hll.add", "k"), ("hll.add", "new")]
    c("HLL.MERGE", "k", "new")
    c("HLL.MERGE", "m", "k")
    c("HLL.MERGE", "e", "none")
    assert ours() == [("hll.merge", "k"), ("hll.merge", "m"), ("hll.merge", "e")]
    payload = c("HLL.EXPORT", "m")
    c("HLL.IMPORT", "i", "FORMAT", "NATIVE", payload)
    c("HLL.IMPORT", "e", "FORMAT", "NATIVE", payload, "MERGE")
    c("HLL.IMPORT", "k", "FORMAT", "NATIVE", payload, "REPLACE")
    assert ours() == [("hll.import", "i"), ("hll.import", "e"), ("hll.import", "k")]


def test_the_servers_own_events_come_too(server):
    listener, c = Listener(server, "EA"), server.c
    c("HLL.ADD", "k", "a")
    c("COPY", "k", "copy")
    c("RENAME", "copy", "renamed")
    c("EXPIRE", "k", 100)
    c("DEL", "k")
    names = [event for event, _ in listener.events()]
    assert {"hll.add", "copy_to", "rename_from", "rename_to", "expire", "del"} <= set(names)


def test_what_changed_nothing_fires_nothing(server):
    c = server.c
    for kind in KINDS:
        make(c, kind, kind, 10)
    listener = Listener(server, "EAd")
    payload = c("HLL.EXPORT", "hip")
    for kind in ("sparse", "hip", "ml"):
        assert c("HLL.ADD", kind, "user:1", "user:2") == 0
        c("HLL.MERGE", kind, "none", kind, "empty")
    c("HLL.MERGE", "ml", "hip", "sparse")
    c("HLL.IMPORT", "ml", "FORMAT", "NATIVE", payload, "MERGE")
    c("HLL.COUNT", *KINDS)
    estimate(c, *KINDS)
    info(c, "hip")
    for wrong in (("HLL.CREATE", "hip"), ("HLL.CREATE", "new", "PRECISION", 1), ("HLL.IMPORT", "hip", "FORMAT", "NATIVE", "x", "REPLACE"),
                  ("HLL.MERGE", "hip")):
        with pytest.raises(ReplyError):
            c(*wrong)
    assert [e for e in listener.events() if e[0] != "keymiss"] == []


def test_a_replica_fires_the_same_events_for_additions(start, server_name):
    master, replica = start(server_name), start(server_name)
    replica.c("REPLICAOF", "127.0.0.1", master.port)
    wait_for("the first synchronisation", lambda: replica.info(section="replication").get("master_link_status") == "up")
    listener = Listener(replica, "Ed")
    master.c("HLL.CREATE", "k")
    master.c("HLL.ADD", "k", "a")
    master.c("WAIT", 1, 5000)
    assert ("hll.add", "k") in listener.events()


# WATCH and client-side caching


@pytest.mark.parametrize("kind", KINDS)
def test_watch_sees_changes_and_only_changes(client, server, kind):
    make(client, "k", kind, 10)
    client("HLL.CREATE", "subset", "PRECISION", 10)
    add(client, "other", elements(0, 3000, "other"))
    if kind != "empty":
        client("HLL.ADD", "subset", "user:1")
    payload, same = client("HLL.EXPORT", "other"), client("HLL.EXPORT", "subset")
    other = server.client()

    def transaction_after(*command):
        client("WATCH", "k")
        try:
            other(*command)
        except ReplyError:
            pass
        client("MULTI")
        client("PING")
        return client("EXEC")

    nothing = [("HLL.COUNT", "k"), ("HLL.INFO", "k"), ("HLL.EXPORT", "k"), ("HLL.ESTIMATE", 1, "k"), ("HLL.MERGE", "k", "none", "k"),
               ("HLL.MERGE", "k", "subset"), ("HLL.MERGE", "unrelated", "k"), ("HLL.CREATE", "k"), ("HLL.IMPORT", "k", "FORMAT", "NATIVE", same, "MERGE"),
               ("HLL.IMPORT", "k", "FORMAT", "NATIVE", "broken", "REPLACE"), ("HLL.ADD", "unrelated", "x")]
    if kind != "empty":
        nothing += [("HLL.ADD", "k", "user:1", "user:2")]
    for command in nothing:
        assert transaction_after(*command) == ["PONG"], command
    # One new element may well change nothing in a dense sketch; of 200 some do, for these fixed elements.
    for command in [("HLL.ADD", "k", *elements(0, 200, "new")), ("HLL.MERGE", "k", "other"), ("HLL.IMPORT", "k", "FORMAT", "NATIVE", payload, "REPLACE"),
                    ("DEL", "k"), ("HLL.CREATE", "k"), ("DEL", "k"), ("HLL.MERGE", "k", "other"), ("DEL", "k"), ("HLL.ADD", "k", "x")]:
        assert transaction_after(*command) is None, command


def test_clients_that_cache_a_count_hear_of_changes_and_only_of_changes(server):
    writer, cacher = server.client(), server.client(3)
    writer("HLL.ADD", "k", "a")
    cacher("CLIENT", "TRACKING", "ON")

    def heard():
        cacher.pushes.clear()
        cacher("PING")
        return [keys for kind, keys in cacher.pushes if kind == b"invalidate"]

    for command, told in [(("HLL.ADD", "k", "a"), False), (("HLL.ADD", "k", "b"), True), (("HLL.MERGE", "k", "none"), False),
                          (("HLL.COUNT", "k"), False), (("DEL", "k"), True)]:
        cacher("HLL.COUNT", "k")
        heard()
        writer(*command)
        assert heard() == ([[b"k"]] if told else []), command


# Memory limits of the server


def test_a_full_server_refuses_to_grow_and_still_counts(server):
    c = server.c
    make(c, "k", "hip", 10)
    make(c, "other", "sparse", 10, "other")
    payload = c("HLL.EXPORT", "other")
    server.set("maxmemory-policy", "noeviction")
    server.set("maxmemory", "1")
    for command in [("HLL.ADD", "k", "new"), ("HLL.ADD", "new", "new"), ("HLL.CREATE", "new"), ("HLL.MERGE", "k", "other"), ("HLL.MERGE", "new", "k"),
                    ("HLL.IMPORT", "new", "FORMAT", "NATIVE", payload)]:
        refused(c, *command, match="^OOM")
    assert c("HLL.COUNT", "k") > 0
    assert estimate(c, "k", "other")["method"] == "ml"
    assert info(c, "k")["precision"] == 10
    assert c("HLL.EXPORT", "other") == payload
    assert c("DEL", "other") == 1
    server.set("maxmemory", "0")
    assert c("HLL.ADD", "k", "new") in (0, 1)


def test_sketches_are_evicted_like_other_keys(start, server_name):
    server = start(server_name)
    c = server.c
    used = int(server.info(section="memory")["used_memory"])
    add(c, "k", elements(0, 2500))
    payload = c("HLL.EXPORT", "k")
    c("DEL", "k")
    c("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", used + 4_000_000)
    for i in range(1500):
        c("HLL.IMPORT", f"k{i}", "FORMAT", "NATIVE", payload)
        c("HLL.ADD", f"k{i}", f"one more {i}")
    stats = server.info()
    assert int(stats["evicted_keys"]) > 500
    assert int(stats["used_memory"]) < used + 5_000_000
    assert c("DBSIZE") + int(stats["evicted_keys"]) == 1500
    assert abs(c("HLL.COUNT", "k1499") - 2500) < 5 * 0.0073 * 2500


# Access rights


def test_key_patterns_bound_every_command(server):
    c = server.c
    for key in ("mine:a", "mine:b", "theirs:a"):
        c("HLL.ADD", key, "x", "y")
    payload = c("HLL.EXPORT", "mine:a")
    c("ACL", "SETUSER", "me", "on", ">pw", "+@all", "~mine:*")
    me = server.client()
    me("AUTH", "me", "pw")
    for command in [("HLL.ADD", "theirs:a", "z"), ("HLL.CREATE", "theirs:new"), ("HLL.COUNT", "theirs:a"), ("HLL.COUNT", "mine:a", "theirs:a"),
                    ("HLL.MERGE", "mine:a", "theirs:a"), ("HLL.MERGE", "mine:a", "mine:b", "theirs:a"), ("HLL.MERGE", "theirs:a", "mine:a"),
                    ("HLL.ESTIMATE", 1, "theirs:a"), ("HLL.ESTIMATE", 2, "mine:a", "theirs:a"), ("HLL.INFO", "theirs:a"), ("HLL.EXPORT", "theirs:a"),
                    ("HLL.IMPORT", "theirs:new", "FORMAT", "NATIVE", payload)]:
        refused(me, *command, match="^NOPERM")
    assert me("HLL.ADD", "mine:a", "z") == 1
    assert me("HLL.COUNT", "mine:a", "mine:b") == 3
    assert estimate(me, "mine:a", "mine:b", confidence="0.9")["estimate"] == 3
    assert me("HLL.MERGE", "mine:new", "mine:a", "mine:b") == "OK"
    assert me("HLL.IMPORT", "mine:i", "FORMAT", "NATIVE", payload) == "OK"


def test_permission_to_read_and_permission_to_write_are_told_apart(server):
    c = server.c
    c("HLL.ADD", "r:a", "x")
    c("HLL.ADD", "w:a", "y")
    payload = c("HLL.EXPORT", "r:a")
    c("ACL", "SETUSER", "me", "on", ">pw", "+@all", "%R~r:*", "%W~w:*", "~rw:*")
    me = server.client()
    me("AUTH", "me", "pw")
    assert me("HLL.COUNT", "r:a", "rw:a") == 1
    assert estimate(me, "r:a", "rw:a")["estimate"] == 1
    assert info(me, "r:a")["count"] == 1
    assert me("HLL.EXPORT", "r:a") == payload
    assert me("HLL.MERGE", "rw:a", "r:a") == "OK"
    assert me("HLL.ADD", "w:a", "z") == 1  # like PFADD, which needs the right to write only
    assert me("HLL.CREATE", "w:new") == "OK"
    for command in [("HLL.COUNT", "w:a"), ("HLL.COUNT", "r:a", "w:a"), ("HLL.ESTIMATE", 1, "w:a"), ("HLL.INFO", "w:a"), ("HLL.EXPORT", "w:a"),
                    ("HLL.ADD", "r:a", "z"), ("HLL.CREATE", "r:new"), ("HLL.MERGE", "r:a", "rw:a"), ("HLL.MERGE", "rw:a", "w:a"),
                    ("HLL.IMPORT", "r:new", "FORMAT", "NATIVE", payload)]:
        with pytest.raises(ReplyError, match="^NOPERM"):
            me(*command)


def test_a_dry_run_of_rights_knows_our_keys(server):
    c = server.c
    c("ACL", "SETUSER", "me", "on", ">pw", "+@all", "%R~r:*")
    assert c("ACL", "DRYRUN", "me", "HLL.ESTIMATE", 2, "r:a", "r:b", "CONFIDENCE", "0.9") == "OK"
    assert b"permissions" in c("ACL", "DRYRUN", "me", "HLL.ESTIMATE", 2, "r:a", "b", "CONFIDENCE", "0.9")
    assert b"permissions" in c("ACL", "DRYRUN", "me", "HLL.ADD", "r:a", "x")


# Cluster slots


def test_commands_find_their_keys_in_a_cluster(start, server_name):
    server = start(server_name, {"cluster-enabled": "yes"})
    c = server.c
    c("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    wait_for("the cluster", lambda: b"cluster_state:ok" in c("CLUSTER", "INFO"))
    assert c("HLL.CREATE", "{t}k", "PRECISION", 10) == "OK"
    assert c("HLL.ADD", "{t}k", "a", "b") == 1
    assert c("HLL.ADD", "elsewhere", "c") == 1
    assert c("HLL.COUNT", "{t}k", "{t}none") == 2
    assert c("HLL.MERGE", "{t}m", "{t}k", "{t}none") == "OK"
    assert estimate(c, "{t}k", "{t}m", confidence="0.9")["estimate"] == 2
    payload = c("HLL.EXPORT", "{t}k")
    assert c("HLL.IMPORT", "{t}i", "FORMAT", "NATIVE", payload) == "OK"
    assert info(c, "{t}i")["precision"] == 10
    for command in [("HLL.COUNT", "{t}k", "elsewhere"), ("HLL.MERGE", "{t}k", "elsewhere"), ("HLL.MERGE", "{t}k", "{t}m", "elsewhere"),
                    ("HLL.ESTIMATE", 2, "{t}k", "elsewhere"), ("HLL.ESTIMATE", 3, "{t}k", "{t}m", "elsewhere", "CONFIDENCE", "0.9")]:
        refused(c, *command, match="^CROSSSLOT")
    # Keys of a slot that is served by nobody are refused by the server, which therefore saw them.
    slot = c("CLUSTER", "KEYSLOT", "elsewhere")
    c("CLUSTER", "DELSLOTS", slot)
    server.c("CONFIG", "SET", "cluster-require-full-coverage", "no")
    wait_for("the loss of the slot", lambda: _down(c))
    for command in [("HLL.ADD", "elsewhere", "x"), ("HLL.COUNT", "elsewhere"), ("HLL.INFO", "elsewhere"), ("HLL.EXPORT", "elsewhere"),
                    ("HLL.CREATE", "elsewhere"), ("HLL.ESTIMATE", 1, "elsewhere"), ("HLL.MERGE", "elsewhere", "elsewhere"),
                    ("HLL.IMPORT", "elsewhere", "FORMAT", "NATIVE", payload)]:
        with pytest.raises(ReplyError, match="^CLUSTERDOWN"):
            c(*command)


def _down(c):
    try:
        c("GET", "elsewhere")
    except ReplyError as error:
        return error.text.startswith("CLUSTERDOWN Hash slot not served")
    return False


def test_a_slot_with_sketches_can_move(start, server_name):
    """MIGRATE carries sketches between servers as it carries other keys."""
    source, target = start(server_name), start(server_name, {"hll.default-precision": "7", "hll.hash-seed": "3"})
    wanted = {}
    for kind in KINDS:
        make(source.c, kind, kind, 12)
        wanted[kind] = state(source.c, kind)
    before = digest(source.c)
    assert source.c("MIGRATE", "127.0.0.1", target.port, "", 0, 10_000, "KEYS", *KINDS) == "OK"
    assert source.c("DBSIZE") == 0
    assert {kind: state(target.c, kind) for kind in KINDS} == wanted
    assert digest(target.c) == before
