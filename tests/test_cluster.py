"""HLL.CLUSTER answers for keys in any slots what one server with all keys answers: to the last digit, and register for register."""

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from chaos import FAULTS
from clusters import Cluster, slot_of
from helpers import elements, refused
from resp import ReplyError
from servers import wait_for

NAMES = ["redis-7.0", "redis-8.2", "valkey-9.1"]


def supported(name):
    if name not in NAMES:
        pytest.skip(f"clusters are tested on {', '.join(NAMES)}")


def counts(node):
    """What the module has counted of the cluster."""
    found = node.info(section="hll")
    return {name.removeprefix("hll_cluster_"): int(value) for name, value in found.items() if name.startswith("hll_cluster_") and value.isdecimal()}


def timeouts(node):
    """How often each node had not answered when a question of this one was given up: by name."""
    told = node.info(section="hll")["hll_cluster_timeouts_by_node"]
    return {name: int(number) for name, _, number in (part.partition("=") for part in told.split(",") if part)}


@pytest.fixture
def cluster(start, server_name):
    supported(server_name)
    return Cluster(start, server_name)


def fill(*clients):
    """Sketches of all kinds and precisions, PF keys, empty ones; the same for each client. Their keys."""
    keys = []
    for i in range(12):
        key = f"s{i}"
        for c in clients:
            c("HLL.CREATE", key, "PRECISION", [13, 12, 14, 10, 18][i % 5])
            for at in range(0, [0, 3, 900, 6000][i % 4], 500):
                c("HLL.ADD", key, *elements(i * 400 + at, i * 400 + at + 500 if i % 4 > 1 else i * 400 + 3))
        keys.append(key)
    return keys


QUESTIONS = [
    ("COUNT", "s1"),
    ("COUNT", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "missing"),
    ("COUNT", "s3", "missing", "s3"),
    ("COUNT", "s1", "s5", "s9"),
    ("COUNT", "s0", "s4", "s8"),
    ("COUNT", "missing"),
    ("ESTIMATE", 1, "s3"),
    ("ESTIMATE", 3, "s2", "s3", "s6", "CONFIDENCE", 0.9),
    ("INTERSECT", 2, "s2", "s3"),
    ("INTERSECT", 3, "s3", "s3", "s7"),
    ("SEGMENT", "ALL", 1, "s3", "ANY", 3, "s2", "s6", "s7", "NONE", 2, "s10", "s11"),
    ("SEGMENT", "NONE", 1, "s2", "ALL", 2, "s3", "missing"),
    ("OVERLAP", 4, "s2", "s3", "s6", "s7"),
    ("FUNNEL", 3, "s3", "s2", "s7"),
    ("RETENTION", "COHORTS", 2, "s3", "s7", "PERIODS", 3, "s2", "s3", "s11"),
    ("RETENTION", "PERIODS", 1, "s2", "COHORTS", 1, "s3", "CONFIDENCE", 0.5),
    ("CAMPAIGN", "s11", "s7", "s3", "COST", 10, "REVENUE", 30),
]


@pytest.mark.parametrize("primaries", [1, 3, pytest.param(6, marks=pytest.mark.thorough)])
def test_answers_are_those_of_one_server(start, server_name, primaries):
    supported(server_name)
    cluster = Cluster(start, server_name, primaries)
    one = start(server_name)
    fill(cluster.client(), one.c)
    for protocol in (2, 3):
        routed, alone = cluster.client(protocol), one.client(protocol)
        for question, *arguments in QUESTIONS:
            expected = alone(f"HLL.{question}", *arguments)
            assert routed("HLL.CLUSTER", question, *arguments) == expected, (question, arguments)
            assert alone("HLL.CLUSTER", question, *arguments) == expected, (question, arguments)


@pytest.mark.parametrize("sources", [["s1"], ["s1", "s5", "s9"], ["s3"], ["s2", "s3", "s4", "missing"], ["s6", "s4", "s10"],
                                     ["missing"], [f"s{i}" for i in range(12)]])
@pytest.mark.parametrize("destination", [None, 4, 900, 6000])
def test_a_merge_makes_the_same_bytes(request, one_cluster, sources, destination):
    cluster, one = one_cluster
    name = f"d{abs(hash(request.node.name)) % 10**9}"
    routed = cluster.client()
    for c in (routed, one.c):
        if destination:
            c("HLL.CREATE", name, "PRECISION", 11)
            c("HLL.ADD", name, *elements(0, destination))
    assert one.c("HLL.MERGE", name, *sources) == routed("HLL.CLUSTER", "MERGE", name, *sources) == "OK"
    assert routed("HLL.EXPORT", name) == one.c("HLL.EXPORT", name)
    assert routed("HLL.COUNT", name) == one.c("HLL.COUNT", name)


@pytest.fixture(scope="module")
def one_cluster(request, pool):
    """A cluster and a server with the same keys, for the tests of this file that only read them."""
    import servers

    config = request.config
    name = [name for name in config.hll_servers if name in NAMES][-1]
    started = []

    def start(name, options=None, build="release"):
        started.append(servers.Server(name, config.hll_servers[name], config.option.module, options).start())
        return started[-1]

    cluster, one = Cluster(start, name), start(name)
    fill(cluster.client(), one.c)
    yield cluster, one
    for server in started:
        trouble = server.trouble()
        server.remove()
        assert trouble is None, trouble


def test_pf_keys_are_read(start, server_name):
    supported(server_name)
    cluster, one = Cluster(start, server_name), start(server_name)
    routed = cluster.client()
    for c in (routed, one.c):
        for i in range(5):
            c("PFADD", f"pf{i}", *elements(i * 300, i * 300 + 700))
            c("HLL.CREATE", f"r{i}", "HASH", "REDIS", "PRECISION", 14)
            c("HLL.ADD", f"r{i}", *elements(i * 300, i * 300 + 7000))
        c("HLL.ADD", "other", "x")
        c("SET", "string", "x")
    for question in (("COUNT", "pf0", "pf1", "pf2", "r3"), ("INTERSECT", 2, "pf0", "pf1"), ("FUNNEL", 3, "r1", "pf1", "pf2")):
        assert routed("HLL.CLUSTER", *question) == one.c(f"HLL.{question[0]}", *question[1:])
    for question in (("COUNT", "pf0", "string"), ("COUNT", "pf0", "other"), ("INTERSECT", 3, "pf0", "other", "pf1")):
        with pytest.raises(ReplyError) as alone:
            one.c(f"HLL.{question[0]}", *question[1:])
        with pytest.raises(ReplyError) as found:
            routed("HLL.CLUSTER", *question)
        assert found.value.text.split(",")[1:] == alone.value.text.split(",")[1:]
        assert found.value.text.split(" ")[0] == alone.value.text.split(" ")[0]


def test_every_node_is_an_asker(start, server_name):
    """Also a replica: of its own it reads nothing, since it may be behind."""
    supported(server_name)
    cluster = Cluster(start, server_name, 3, 3)
    keys = fill(cluster.client())
    expected = cluster.client()("HLL.CLUSTER", "COUNT", *keys)
    for node in cluster.nodes:
        client = node.client()
        client("READONLY")
        own = cluster.key_of(node, "none")
        before = counts(node)["rounds"]
        assert client("HLL.CLUSTER", "COUNT", own, *keys) == expected
        assert counts(node)["rounds"] == before + 3


def test_what_a_merge_writes_is_replicated(start, server_name):
    supported(server_name)
    cluster = Cluster(start, server_name, 3, 3, {"appendonly": "yes"})
    routed = cluster.client()
    keys = fill(routed)
    node = cluster.node_of("dest")
    replica = cluster.replicas[cluster.primaries.index(node)]
    node.c("CONFIG", "SET", "notify-keyspace-events", "KEA")
    listener = node.client(3)
    listener.send("SUBSCRIBE", "__keyevent@0__:hll.merge")
    listener.read_push()
    offset = int(node.info()["master_repl_offset"])
    routed("HLL.CLUSTER", "MERGE", "dest", *keys)
    assert listener.read_push()[-1] == b"dest"
    reader = replica.client()
    reader("READONLY")
    wait_for("the replica", lambda: reader("EXISTS", "dest") == 1)
    assert reader("HLL.EXPORT", "dest") == routed("HLL.EXPORT", "dest")
    assert int(node.info()["master_repl_offset"]) > offset
    # Merged again nothing changes, and nothing is sent.
    wait_for("the replica to be level", lambda: replica.info()["slave_repl_offset"] == node.info()["master_repl_offset"])
    changes = node.info()["rdb_changes_since_last_save"]
    routed("HLL.CLUSTER", "MERGE", "dest", *keys)
    assert node.info()["rdb_changes_since_last_save"] == changes
    exported = routed("HLL.EXPORT", "dest")
    node.c("DEBUG", "LOADAOF")
    assert node.c("HLL.EXPORT", "dest") == exported


# What may not be asked


def test_rights_are_those_of_the_plain_command_on_every_key(cluster):
    routed = cluster.client()
    keys = [f"pub:{i}" for i in range(9)] + ["secret:1"]
    for key in keys:
        routed("HLL.ADD", key, *elements(0, 10, key))
    for node in cluster.primaries:
        node.c("ACL", "SETUSER", "u", "on", "nopass", "resetkeys", "~pub:*", "-@all", "+hll.cluster", "+hll.count", "+hll.merge")
        node.c("ACL", "SETUSER", "v", "on", "nopass", "resetkeys", "~*", "-@all", "+hll.cluster|count", "+hll.count")
        node.c("ACL", "SETUSER", "w", "on", "nopass", "resetkeys", "-@all", "+hll.cluster", "%R~pub:*", "(+hll.count ~secret:*)")

    def as_user(user, *command):
        client = cluster.node_of(command[2]).client()
        client("AUTH", user, "x")
        return client(*command)

    assert as_user("u", "HLL.CLUSTER", "COUNT", *keys[:9]) == 90
    assert as_user("v", "HLL.CLUSTER", "COUNT", *keys) == 100
    for user, *command in (
        ("u", "HLL.CLUSTER", "COUNT", *keys),
        ("u", "HLL.CLUSTER", "MERGE", "pub:0", "secret:1"),
        ("v", "HLL.CLUSTER", "MERGE", "pub:0", "pub:1"),
        ("w", "HLL.CLUSTER", "COUNT", *keys[:2]),
    ):
        with pytest.raises(ReplyError, match="^NOPERM"):
            as_user(user, *command)


def test_where_nobody_can_wait_keys_are_of_one_slot(cluster):
    routed = cluster.client()
    node = cluster.primaries[0]
    b, tag = cluster.key_of(node, "b"), cluster.key_of(node)
    one, two = f"{{{tag}}}1", f"{{{tag}}}2"
    for key in (one, two):
        routed("HLL.ADD", key, *elements(0, 10, key))
    client = node.client()
    client("MULTI")
    client("HLL.CLUSTER", "COUNT", one, two)
    client("HLL.CLUSTER", "COUNT", one, b)
    client("HLL.CLUSTER", "MERGE", f"{{{tag}}}3", one, two)
    count, crossed, merged = client("EXEC")
    assert (count, merged) == (20, "OK") and crossed.text.startswith("CROSSSLOT HLL: ")
    assert client("HLL.COUNT", f"{{{tag}}}3") == 20
    script = "return redis.call('HLL.CLUSTER', 'COUNT', KEYS[1], ARGV[1])"
    assert client("EVAL", script, 1, one, two) == 20
    with pytest.raises(ReplyError, match="CROSSSLOT HLL: "):
        client("EVAL", script, 1, one, b)
    # A slot on its way: what has gone already would look absent.
    other = cluster.primaries[1]
    slot = slot_of(one)
    other.c("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.ids[node])
    node.c("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.ids[other])
    node.c("MIGRATE", "127.0.0.1", other.port, two, 0, 5000)
    with pytest.raises(ReplyError, match="TRYAGAIN HLL: "):
        client("EVAL", script, 1, one, two)


def test_options_that_name_keys_come_first(cluster):
    node = cluster.primaries[0]
    for question in ("SEGMENT", "RETENTION"):
        with pytest.raises(ReplyError, match="first option must be one that names keys"):
            node.c("HLL.CLUSTER", question, "CONFIDENCE", 0.9, cluster.key_of(node))


# Slots that move


def filled_slot(cluster, routed):
    """A tag of the first primary's, and twenty keys with it, of ten elements each that no other has."""
    tag = cluster.key_of(cluster.primaries[0])
    keys = [f"{{{tag}}}{i}" for i in range(20)]
    for key in keys:
        routed("HLL.ADD", key, *elements(0, 10, key))
    return tag, keys


def half_moved(cluster, keys, gone):
    """The slot of these keys is on its way from its node to the next, and these have gone ahead. Both nodes, and the third."""
    source = cluster.node_of(keys[0])
    target, third = [node for node in cluster.primaries if node is not source]
    slot = slot_of(keys[0])
    target.c("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.ids[source])
    source.c("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.ids[target])
    for key in gone:
        source.c("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
    return source, target, third


def test_a_slot_on_its_way_is_read_at_both_its_nodes(cluster):
    """Some of its keys are at its owner still, some have gone ahead; one is written there, one is new there, and some are nowhere."""
    routed = cluster.client()
    tag, keys = filled_slot(cluster, routed)
    source, target, third = half_moved(cluster, keys, keys[:10])
    routed("HLL.ADD", keys[0], "one more")
    routed("HLL.ADD", f"{{{tag}}}new", "another")
    routed("HLL.ADD", keys[15], "a third")
    asked = [*keys, f"{{{tag}}}new", f"{{{tag}}}nowhere"]
    for node in cluster.primaries:
        own = cluster.key_of(node, "mine")
        for _ in range(3):
            assert node.c("HLL.CLUSTER", "COUNT", own, *asked) == 203
        for key, number in ((keys[0], 11), (keys[1], 10), (keys[15], 11), (asked[-1], 0)):
            assert float(node.c("HLL.CLUSTER", "SEGMENT", "ANY", 2, own, key, "ALL", 1, key)[1]) == number
        node.c("HLL.CLUSTER", "MERGE", own, *asked)
        assert node.c("HLL.COUNT", own) == 203
        node.c("DEL", own)
    # All but the last have gone; then it is over.
    for key in keys[10:19]:
        source.c("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
    own = cluster.key_of(third, "mine")
    assert third.c("HLL.CLUSTER", "COUNT", own, *asked) == 203
    source.c("MIGRATE", "127.0.0.1", target.port, keys[19], 0, 5000)
    for node in (target, source, third):
        assert third.c("HLL.CLUSTER", "COUNT", own, *asked) == 203
        node.c("CLUSTER", "SETSLOT", slot_of(keys[0]), "NODE", cluster.ids[target])
    assert third.c("HLL.CLUSTER", "COUNT", own, *asked) == 203


def test_a_key_that_has_gone_to_a_node_that_does_not_get_its_slot_is_waited_for(cluster):
    """What lies at such a node is nobody's; an answer without it would be half an answer."""
    routed = cluster.client()
    _, keys = filled_slot(cluster, routed)
    source, target, asker = half_moved(cluster, keys, keys[:10])
    slot = slot_of(keys[0])
    target.c("CLUSTER", "SETSLOT", slot, "STABLE")
    for node, first in ((source, cluster.key_of(source, "s")), (target, cluster.key_of(target, "t")), (asker, own := cluster.key_of(asker))):
        with pytest.raises(ReplyError, match="^TRYAGAIN HLL: the slot of key '.*' is being moved, ask again$"):
            node.c("HLL.CLUSTER", "COUNT", first, *keys)
    asker.c("CONFIG", "SET", "hll.cluster-timeout", 20000)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(asker.client()("HLL.CLUSTER", "COUNT", own, *keys)))
    asking.start()
    wait_for("the question to be refused", lambda: counts(asker)["answers_not_mine"] > 3)
    target.c("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.ids[source])
    asking.join()
    assert answers == [200]


def test_no_answer_is_wrong_while_slots_move(cluster):
    routed = cluster.client()
    keys = [f"m{i}" for i in range(60)]
    for i, key in enumerate(keys):
        routed("HLL.ADD", key, *elements(i * 50, i * 50 + 100))
    expected = routed("HLL.CLUSTER", "COUNT", *keys)
    first, second, third = cluster.primaries
    moved = sorted({slot_of(key) for key in keys if cluster.node_of(key) is first})
    done, answers, errors = threading.Event(), [], []

    def asks(client, own):
        while not done.is_set():
            try:
                answers.append(client("HLL.CLUSTER", "COUNT", own, *keys))
            except ReplyError as error:
                errors.append(error.text)

    own = {node: cluster.key_of(node, "none") for node in cluster.primaries}
    assert all(slot_of(key) not in moved for key in own.values())
    askers = [threading.Thread(target=asks, args=(node.client(), own[node])) for node in (first, third)]
    for asker in askers:
        asker.start()
    source, target, moves = first, second, 0
    while moves < 4 or len(answers) <= 20:
        for i, slot in enumerate(moved):
            cluster.move(slot, source, target, aborted=i % 5 == 4)
            if i % 5 == 4:
                cluster.move(slot, source, target)
        source, target, moves = target, source, moves + 1
    done.set()
    for asker in askers:
        asker.join()
    assert set(answers) == {expected}, set(answers)
    assert all(error.startswith("TRYAGAIN HLL: ") for error in errors), set(errors)
    print(f"{len(answers)} answers, {len(errors)} errors, {moves * len(moved)} moves")


def test_slots_move_by_themselves_on_valkey(start, server_name):
    if server_name != "valkey-9.1":
        pytest.skip(f"{server_name} moves no slots by itself")
    cluster = Cluster(start, server_name)
    routed = cluster.client()
    keys = [f"m{i}" for i in range(60)]
    for i, key in enumerate(keys):
        routed("HLL.ADD", key, *elements(i * 50, i * 50 + 100))
    expected = routed("HLL.CLUSTER", "COUNT", *keys)
    first, second, third = cluster.primaries
    done, answers, errors = threading.Event(), [], []

    client, own = third.client(), cluster.key_of(third, "none")

    def asks():
        while not done.is_set():
            try:
                answers.append(client("HLL.CLUSTER", "COUNT", own, *keys))
                client("HLL.CLUSTER", "MERGE", f"{{{own}}}all", *keys)
            except ReplyError as error:
                errors.append(error.text)

    asker = threading.Thread(target=asks)
    asker.start()
    source, target, moves = first, second, 0
    while moves < 6 or len(answers) <= 20:
        source.c("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 0, 5000, "NODE", cluster.ids[target])
        wait_for("the slots to arrive", lambda t=target: all(cluster.owners(node)[0] == cluster.ids[t] for node in cluster.primaries), seconds=60)
        source, target, moves = target, source, moves + 1
    done.set()
    asker.join()
    assert set(answers) == {expected} and len(answers) > 20
    assert all(error.startswith("TRYAGAIN HLL: ") for error in errors), set(errors)


# What can go wrong


def test_a_node_that_is_gone_is_named(cluster):
    a, b, c = cluster.primaries
    key, gone = cluster.key_of(a), cluster.key_of(c)
    a.c("CONFIG", "SET", "hll.cluster-timeout", 300)
    c.kill()
    with pytest.raises(ReplyError, match=f"^CLUSTERDOWN HLL: node {cluster.ids[c]} at 127.0.0.1:{c.port} did not answer$"):
        a.c("HLL.CLUSTER", "COUNT", key, gone)
    assert counts(a)["queries_timed_out"] >= 1
    assert a.c("HLL.CLUSTER", "COUNT", key, cluster.key_of(b)) == 0


def test_a_node_that_comes_back_is_asked_again(cluster):
    a, b, c = cluster.primaries
    key, other = cluster.key_of(a), cluster.key_of(c)
    c.c("HLL.ADD", other, *elements(0, 50))
    a.c("CONFIG", "SET", "hll.cluster-timeout", 20000)
    c.process.send_signal(19)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(a.client()("HLL.CLUSTER", "COUNT", key, other)))
    asking.start()
    wait_for("repetitions", lambda: counts(a)["messages_resent"] > 0)
    c.process.send_signal(18)
    asking.join()
    assert answers == [50]


def test_a_node_without_the_module_is_named(start, server_name):
    supported(server_name)

    def some(name, options=None, build="release"):
        some.calls += 1
        return start(name, options, build=build, module=some.calls != 2)

    some.calls = 0
    cluster = Cluster(some, server_name, meet=False)
    a, b, _ = cluster.primaries
    a.c("CONFIG", "SET", "hll.cluster-timeout", 300)
    with pytest.raises(ReplyError, match=f"node {cluster.ids[b]} at .* did not answer, see that it runs and that this module"):
        a.c("HLL.CLUSTER", "COUNT", cluster.key_of(a), cluster.key_of(b))


def test_a_node_with_another_seed_is_named(start, server_name):
    supported(server_name)

    def some(name, options=None, build="release"):
        some.calls += 1
        return start(name, options, module_args=["hash-seed", some.calls], build=build)

    some.calls = 0
    cluster = Cluster(some, server_name, meet=False)
    a, b, _ = cluster.primaries
    with pytest.raises(ReplyError, match=f"^ERR HLL: node {cluster.ids[b]} at .* has another hll.hash-seed, give all nodes"):
        a.c("HLL.CLUSTER", "COUNT", cluster.key_of(a), cluster.key_of(b))


def test_a_client_that_leaves_is_forgotten(cluster):
    """Its question too, at the node that is asked; and a merge is then not written."""
    a, b, c = cluster.primaries
    key, other = cluster.key_of(a), cluster.key_of(c)
    c.c("HLL.ADD", other, "x")
    c.process.send_signal(19)
    try:
        client = a.client()
        client.send("HLL.CLUSTER", "MERGE", key, other)
        wait_for("the question", lambda: a.info(section="clients")["blocked_clients"] == "1")
        client.close()
        wait_for("the client to be gone", lambda: a.info(section="clients")["blocked_clients"] == "0")
    finally:
        c.process.send_signal(18)
    assert a.c("HLL.CLUSTER", "COUNT", key, other) == 1
    assert a.c("EXISTS", key) == 0


@contextmanager
def merge_that_waits(asker, asked, key, other):
    """A merge whose other node is stopped meanwhile and goes on at the end; afterwards the list has its reply or error."""
    texts = []

    def merges():
        try:
            texts.append(asker.client()("HLL.CLUSTER", "MERGE", key, other))
        except ReplyError as error:
            texts.append(error.text)

    asker.c("CONFIG", "SET", "hll.cluster-timeout", 20000)
    asked.process.send_signal(19)
    try:
        merging = threading.Thread(target=merges)
        merging.start()
        wait_for("the question", lambda: asker.info(section="clients")["blocked_clients"] == "1")
        yield texts
    finally:
        asked.process.send_signal(18)
    merging.join()


def test_a_merge_while_the_server_is_paused_writes_nothing(start, server_name):
    """A write outside a command that goes to replicas or a file ends a server that is paused."""
    supported(server_name)
    cluster = Cluster(start, server_name, options={"appendonly": "yes"})
    a, b, c = cluster.primaries
    key, other = cluster.key_of(a), cluster.key_of(c)
    c.c("HLL.ADD", other, *elements(0, 100))
    with merge_that_waits(a, c, key, other) as texts:
        a.c("CLIENT", "PAUSE", 100000, "WRITE")
    assert texts == ["TRYAGAIN HLL: the server is paused or hands its role over, nothing was written, ask again"]
    a.c("CLIENT", "UNPAUSE")
    assert a.c("EXISTS", key) == 0
    assert a.c("HLL.CLUSTER", "MERGE", key, other) == "OK"


def test_a_merge_whose_destination_has_moved_writes_nothing(cluster):
    a, b, c = cluster.primaries
    key, other = cluster.key_of(a), cluster.key_of(c)
    c.c("HLL.ADD", other, *elements(0, 100))
    with merge_that_waits(a, c, key, other) as texts:
        for node in (b, a):
            node.c("CLUSTER", "SETSLOT", slot_of(key), "NODE", cluster.ids[b])
    # Redis sends a client away by itself when the slot of its key has moved.
    assert texts[0].startswith(("TRYAGAIN HLL: ", "MOVED ")), texts
    assert a.c("CLUSTER", "COUNTKEYSINSLOT", slot_of(key)) == b.c("EXISTS", key) == 0


def test_expired_keys_are_absent_while_the_server_is_paused(cluster):
    a, b, c = cluster.primaries
    key, other = cluster.key_of(a), cluster.key_of(c)
    for node, name in ((a, key), (c, other)):
        node.c("HLL.ADD", name, "x")
        node.c("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        node.c("PEXPIRE", name, 1)
        node.c("CLIENT", "PAUSE", 100000, "WRITE")
    time.sleep(0.01)
    assert a.c("HLL.CLUSTER", "COUNT", key, other) == 0


def test_databases_are_kept_apart(start, server_name):
    if server_name != "valkey-9.1":
        pytest.skip(f"{server_name} has one database in a cluster")
    cluster = Cluster(start, server_name, options={"cluster-databases": 4})
    a, b, c = cluster.primaries
    key, other = cluster.key_of(a), cluster.key_of(c)
    for node, name in ((a, key), (c, other)):
        client = node.client()
        client("HLL.ADD", name, "zero")
        client("SELECT", 2)
        client("HLL.ADD", name, "one", name)
    client = a.client()
    assert client("HLL.CLUSTER", "COUNT", key, other) == 1
    client("SELECT", 2)
    assert client("HLL.CLUSTER", "COUNT", key, other) == 3
    client("SELECT", 3)
    assert client("HLL.CLUSTER", "COUNT", key, other) == 0


def test_many_keys_are_read_in_slices(start, server_name):
    """Three thousand sketches on three nodes, and one server with all of them says the same."""
    supported(server_name)
    cluster, one = Cluster(start, server_name), start(server_name)
    keys = [f"w{i}" for i in range(3000)]
    owners = cluster.owners()
    for node in (*cluster.primaries, one):
        mine = [key for key in keys if node is one or owners[slot_of(key)] == cluster.ids[node]]
        replies = node.c.pipe([["HLL.ADD", key, *elements(int(key[1:]) * 20, int(key[1:]) * 20 + 30)] for key in mine])
        assert set(replies) == {1}
    routed = cluster.client()
    assert routed("HLL.CLUSTER", "COUNT", *keys) == one.c("HLL.COUNT", *keys)
    assert routed("HLL.CLUSTER", "MERGE", "all", *keys) == one.c("HLL.MERGE", "all", *keys) == "OK"
    assert routed("HLL.EXPORT", "all") == one.c("HLL.EXPORT", "all")


def test_wrong_calls_change_nothing(cluster):
    node = cluster.primaries[0]
    key = cluster.key_of(node)
    for command in (("COUNT",), ("NONSENSE", key), ("ESTIMATE", 2, key), ("INTERSECT", 9, *[key] * 9), ("SEGMENT", "ALL", 0),
                    ("FUNNEL", 1, key), ("MERGE", key), ("CAMPAIGN", key, key)):
        refused(node.c, "HLL.CLUSTER", *command, match="^ERR ")


# Programs


def run(*line):
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return subprocess.run([sys.executable, *line], capture_output=True, text=True, timeout=170, cwd=root)


@pytest.mark.thorough
@pytest.mark.parametrize("fault", FAULTS)
def test_the_chaos_finds_what_is_wrong_and_nothing_else(request, newest, fault):
    """A short one, which ends as soon as something was found; scripts/chaos runs for as long as is wished."""
    supported(newest)
    option = request.config.option
    module = option.module if fault == "none" else option.checked_module
    done = run("tests/chaos.py", "--server", newest, "--seconds", "15" if fault == "none" else "90", "--fault", fault, "--module", module)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.shipped
def test_the_demonstration_shows_what_it_promises(newest):
    supported(newest)
    done = run("scripts/cluster_demo.py", "--server", newest)
    assert done.returncode == 0, done.stderr
    found = [line for line in done.stdout.splitlines() if " answers, " in line]
    assert len(found) == 2 and all(" answers, 0 of them wrong" in line for line in found), done.stdout
    assert "exactly 30,000" in done.stdout
