"""HLL.CLUSTER while nodes are busy, hand over, lose connections, have no memory left, or talk over TLS."""

import contextlib
import shutil
import subprocess
import threading

import pytest

from clusters import Cluster, slot_of
from helpers import elements
from resp import ReplyError
from servers import free_port, wait_for
from test_cluster import counts, merge_that_waits, supported, timeouts

# Servers of scripts/servers that were built with TLS.
WITH_TLS = ["redis-7.0"]


@pytest.fixture
def cluster(start, server_name):
    supported(server_name)
    return Cluster(start, server_name)


# Nodes that read keys are in the middle of something


@pytest.mark.parametrize("what", ["script", "yield", "reload", "script with a key"])
def test_a_node_that_is_busy_does_not_read_half(start, server_name, what):
    """In the middle of a script, of a command that lets the server look at its connections, and of loading, keys look absent. A
    question that arrives then waits until it is over."""
    supported(server_name)
    options = {"busy-reply-threshold": 10, "hz": 100, "loading-process-events-interval-bytes": 1024, "key-load-delay": 500}
    cluster = Cluster(start, server_name, options=options, build="checked")
    a, b, _ = cluster.primaries
    routed = cluster.client()
    keys = [f"k{i}" for i in range(300)]
    for i, key in enumerate(keys):
        routed("HLL.ADD", key, *elements(i * 10, i * 10 + 20))
    for node in cluster.primaries:
        node.c("CONFIG", "SET", "hll.cluster-timeout", 20000)
    own, others = cluster.key_of(a, "none"), cluster.key_of(b)
    done, answers, gathers = threading.Event(), [], counts(b)["gathers"]

    def asks():
        client = a.client()
        while not done.is_set():
            answers.append(client("HLL.CLUSTER", "COUNT", own, *keys))

    asking = threading.Thread(target=asks)
    asking.start()
    loop = "local n = 0; for i = 1, 15000000 do n = n + 1 end; return n"
    busy = {"script": ("EVAL", loop, 0), "script with a key": ("EVAL", loop, 1, others), "yield": ("HLL.TEST.YIELD", others, 300),
            "reload": ("DEBUG", "RELOAD")}[what]
    client = b.client()
    try:
        for _ in range(4):
            client(*busy)
            before = counts(b)["gathers"]
            wait_for("a question", lambda n=before: counts(b)["gathers"] > n)
    finally:
        done.set()
        asking.join()
    assert set(answers) == {routed("HLL.CLUSTER", "COUNT", *keys)} and len(answers) > 4
    assert counts(b)["gathers"] > gathers


# Connections


def test_what_a_fresh_connection_loses_is_sent_again(cluster):
    """Valkey loses the first message of a module on each."""
    a, b, c = cluster.primaries
    keys = [cluster.key_of(node) for node in cluster.primaries]
    for node, key in zip(cluster.primaries, keys):
        node.c("HLL.ADD", key, *elements(0, 10, key))
        node.c("CONFIG", "SET", "hll.cluster-timeout", 20000)
    for _ in range(3):
        for node in (a, c):
            # Both ways; Redis 7.0 dies if it is asked for a connection that is gone.
            wait_for("the connections", lambda n=node: sum(b"node" in link and cluster.ids[n].encode() in link for link in links(b)) == 2)
            b.c("DEBUG", "CLUSTERLINK", "KILL", "ALL", cluster.ids[node])
        for node, key in zip(cluster.primaries, keys):
            assert node.c("HLL.CLUSTER", "COUNT", key, *keys) == 30


def links(node):
    return [[bytes(word) if isinstance(word, bytes) else str(word).encode() for word in link] for link in node.c("CLUSTER", "LINKS")]


def test_no_node_is_taken_for_dead_under_load(start, server_name):
    """Sixteen clients that ask for large sketches all the time, with the smallest limits: no connection is cut because too much waits in
    it, and no heartbeat comes too late."""
    supported(server_name)
    cluster = Cluster(start, server_name, options={"cluster-link-sendbuf-limit": 1 << 20}, node_timeout=1000)
    keys = []
    for node in cluster.primaries:
        tag = cluster.key_of(node)
        for i in range(3):
            keys.append(f"{{{tag}}}{i}")
            node.c("HLL.CREATE", keys[-1], "PRECISION", 16)
            node.c("HLL.ADD", keys[-1], *elements(i * 5000, i * 5000 + 20000, tag))
    a = cluster.primaries[0]
    expected = a.c("HLL.CLUSTER", "RETENTION", "COHORTS", 3, *keys[:3], "PERIODS", 6, *keys[3:])
    done, answers, errors, seen = threading.Event(), [], [], set()

    def asks(node):
        client, own = node.client(), [key for key in keys if cluster.node_of(key) is node]
        while not done.is_set():
            try:
                if node is a:
                    answers.append(client("HLL.CLUSTER", "RETENTION", "COHORTS", 3, *keys[:3], "PERIODS", 6, *keys[3:]))
                else:
                    client("HLL.CLUSTER", "OVERLAP", 6, *own, *keys[:3])
            except ReplyError as error:
                errors.append(error.text)

    asking = [threading.Thread(target=asks, args=(node,)) for node in cluster.primaries for _ in range(5)]
    for thread in asking:
        thread.start()
    try:
        wait_for("fifty answers", lambda: seen.update(flags(a)) or len(answers) >= 50, seconds=120)
    finally:
        done.set()
        for thread in asking:
            thread.join()
    assert all(answer == expected for answer in answers)
    assert all(error.startswith(("TRYAGAIN HLL: ", "CLUSTERDOWN HLL: ", "ERR HLL: ")) and "hll.query-timeout" not in error for error in errors), set(errors)
    assert not any("fail" in flag for flag in seen), seen
    for node in cluster.primaries:
        assert not any("fail" in flag for flag in flags(node))
        exceeded = [line for line in node.c("CLUSTER", "INFO").splitlines() if b"buffer_limit_exceeded" in line]
        assert all(line.endswith(b":0") for line in exceeded), exceeded


def flags(node):
    return {line.split(" ")[2] for line in node.c("CLUSTER", "NODES").decode().splitlines()}


def test_the_bus_may_be_encrypted(start, server_name, tmp_path):
    """With `tls-cluster yes` nothing is different: answers, messages, and connections that send at once."""
    if server_name not in WITH_TLS:
        pytest.skip(f"{server_name} was built without TLS")
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hll", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)

    def secured(name, options=None, build="release"):
        tls = {"tls-port": free_port(), "tls-cluster": "yes", "tls-key-file": key, "tls-cert-file": certificate, "tls-ca-cert-file": certificate}
        return start(name, {**(options or {}), **tls}, build=build)

    cluster = Cluster(secured, server_name)
    a, b, c = cluster.primaries
    keys = [f"k{i}" for i in range(60)]
    routed = cluster.client()
    for i, key in enumerate(keys):
        routed("HLL.ADD", key, *elements(i * 50, i * 50 + 3000 if i % 10 == 0 else i * 50 + 100))
    alone = start(server_name)
    for i, key in enumerate(keys):
        alone.c("HLL.ADD", key, *elements(i * 50, i * 50 + 3000 if i % 10 == 0 else i * 50 + 100))
    for question in (("COUNT", *keys), ("INTERSECT", 2, keys[0], keys[10]), ("FUNNEL", 3, keys[0], keys[10], keys[20]), ("ESTIMATE", 60, *keys)):
        assert routed("HLL.CLUSTER", *question) == alone.c(f"HLL.{question[0]}", *question[1:])
    assert routed("HLL.CLUSTER", "MERGE", "all", *keys) == "OK"
    assert routed("HLL.COUNT", "all") == alone.c("HLL.COUNT", *keys)
    for node in cluster.primaries:
        wait_for("both connections", lambda n=node: counts(n)["links_at_once"] == 2)
    # A slot moves; a node dies.
    slot = slot_of(keys[0])
    source = cluster.node_of(keys[0])
    cluster.move(slot, source, next(node for node in cluster.primaries if node is not source))
    assert routed("HLL.CLUSTER", "COUNT", *keys) == alone.c("HLL.COUNT", *keys)
    a.c("CONFIG", "SET", "hll.cluster-timeout", 300)
    c.kill()
    with pytest.raises(ReplyError, match=f"^CLUSTERDOWN HLL: node {cluster.ids[c]} at 127.0.0.1:"):
        a.c("HLL.CLUSTER", "COUNT", cluster.key_of(a), cluster.key_of(c))


# Merges


def hand_over(heir):
    """The replica takes its primary's place, gracefully. A try that has come to nothing is over after five seconds."""
    for _ in range(10):
        with contextlib.suppress(ReplyError):
            heir.c("CLUSTER", "FAILOVER")
        with contextlib.suppress(AssertionError):
            wait_for("the replica to take over", lambda: heir.info(section="replication")["role"] == "master", seconds=6)
            return
    raise AssertionError("the replica does not take over")


def test_a_merge_without_memory_writes_nothing(cluster):
    a, _, c = cluster.primaries
    key, other = cluster.key_of(a), cluster.key_of(c)
    c.c("HLL.ADD", other, *elements(0, 100))
    with merge_that_waits(a, c, key, other) as texts:
        a.c("CONFIG", "SET", "maxmemory", 1)
    assert texts == ["OOM HLL: more memory is used than 'maxmemory' allows, nothing was written, free some or raise it"]
    a.c("CONFIG", "SET", "maxmemory", 0)
    assert a.c("EXISTS", key) == 0
    assert a.c("HLL.CLUSTER", "MERGE", key, other) == "OK"


def test_a_merge_that_waits_while_its_node_hands_over_is_not_written(start, server_name):
    """The old primary would end with such a write."""
    supported(server_name)
    cluster = Cluster(start, server_name, 3, 3, {"appendonly": "yes"}, node_timeout=20000)
    a, b, c = cluster.primaries
    heir = cluster.replicas[0]
    key, other = cluster.key_of(a), cluster.key_of(c)
    c.c("HLL.ADD", other, *elements(0, 100))
    with merge_that_waits(a, c, key, other) as texts:
        hand_over(heir)
        wait_for("the old primary to follow", lambda: a.info(section="replication")["role"] == "slave")
    assert len(texts) == 1 and texts[0].startswith(("UNBLOCKED ", "TRYAGAIN HLL: ", "MOVED ", "READONLY ")), texts
    assert heir.c("EXISTS", key) == 0
    wait_for("replication", lambda: a.info(section="replication").get("master_link_status") == "up")
    assert heir.c("HLL.CLUSTER", "MERGE", key, other) == "OK"


def test_merges_go_on_while_nodes_hand_over(start, server_name):
    """Every merge that was acknowledged is there, and no server ends with one."""
    supported(server_name)
    cluster = Cluster(start, server_name, 3, 3, {"appendonly": "yes"})
    routed = cluster.client()
    keys = [f"m{i}" for i in range(30)]
    for i, key in enumerate(keys):
        routed("HLL.ADD", key, *elements(i * 50, i * 50 + 100))
    expected = routed("HLL.CLUSTER", "COUNT", *keys)
    a, heir = cluster.primaries[0], cluster.replicas[0]
    tag = cluster.key_of(a)
    done, merged, errors = threading.Event(), [], []

    def merges(number):
        client, at = cluster.client(), 0
        while not done.is_set():
            at += 1
            try:
                client("HLL.CLUSTER", "MERGE", f"{{{tag}}}{number}:{at}", *keys)
                merged.append(f"{{{tag}}}{number}:{at}")
            except ReplyError as error:
                errors.append(error.text)
            except OSError as error:
                errors.append(str(error))
                client = cluster.client()

    merging = [threading.Thread(target=merges, args=(number,)) for number in range(4)]
    for thread in merging:
        thread.start()
    try:
        for old, new in ((a, heir), (heir, a), (a, heir)):
            before = len(merged)
            wait_for("merges", lambda n=before: len(merged) > n + 20)
            hand_over(new)
            wait_for("the old primary to follow", lambda o=old: o.info(section="replication").get("master_link_status") == "up")
            wait_for("all to know of it", lambda n=new: all(cluster.owners(node)[slot_of(tag)] == cluster.ids[n] for node in cluster.nodes))
    finally:
        done.set()
        for thread in merging:
            thread.join()
    words = ("UNBLOCKED ", "TRYAGAIN HLL: ", "CLUSTERDOWN ", "MOVED ", "READONLY ", "the server on port")
    assert all(error.startswith(words) for error in errors), set(errors)
    print(f"{len(merged)} merges, {len(errors)} errors")
    client = cluster.client()
    assert {client("HLL.COUNT", key) for key in merged} == {expected}


# What INFO says


def test_nodes_that_did_not_answer_are_counted_by_name(cluster):
    a, b, c = cluster.primaries
    key, gone = cluster.key_of(a), cluster.key_of(c)
    a.c("CONFIG", "SET", "hll.cluster-timeout", 200)
    assert timeouts(a) == {}
    c.kill()
    for _ in range(3):
        with pytest.raises(ReplyError, match="^CLUSTERDOWN HLL: "):
            a.c("HLL.CLUSTER", "COUNT", key, gone)
    assert timeouts(a) == {cluster.ids[c]: 3} and timeouts(b) == {}
    stats = a.c("HLL.STATS")
    assert stats[stats.index(b"cluster_timeouts_by_node") + 1] == f"{cluster.ids[c]}=3".encode()
    for node in (a, b):
        node.c("CLUSTER", "FORGET", cluster.ids[c])
    wait_for("the node to be forgotten", lambda: timeouts(a) == {})
