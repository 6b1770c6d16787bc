"""What comes over the bus under a node's name from somebody who is none does no harm, whatever it is. And what we send is sent at
once, and never more of it than a server keeps for a slow node."""

import socket
import struct

import pytest
import redis
import valkey
from xxhash import xxh3_64_intdigest

from clusters import Cluster, slot_of
from helpers import digest, elements
from resp import ReplyError
from servers import wait_for
from test_cluster import counts, supported

OURS = 0xA7
HELLO, QUESTION, ANSWER, QUESTION_ARRIVED, ANSWER_ARRIVED, CANCEL = range(1, 7)
KINDS = [HELLO, QUESTION, ANSWER, QUESTION_ARRIVED, ANSWER_ARRIVED, CANCEL]


@pytest.fixture
def cluster(start, server_name):
    supported(server_name)
    return Cluster(start, server_name)


def on_the_bus(cluster, sender, payload):
    """A message of a module as the bus carries it: a head of 2,256 bytes, most of them zeros here, and the module's bytes.
    The sender is a node's name, and nothing else shows who it is."""
    port = sender.port
    head = (b"RCmb" + bytes(4) + struct.pack(">HHHH", 1, port, 9, 0) + bytes(24) + cluster.ids[sender].encode() + bytes(2048 + 40 + 46)
            + struct.pack(">H", 0) + bytes(30) + struct.pack(">HHH", 0, port + 10000, 1) + bytes(4))
    message = head + struct.pack("<Q", 0) + struct.pack(">I", len(payload)) + bytes([OURS]) + payload
    return message[:4] + struct.pack(">I", len(message)) + message[8:]


def ours(kind, cookie, body=b"", request=1, attempt=0, part=0, whole=None, fingerprint=0, version=1):
    """A message as src/cluster/wire.rs draws it, with the right checksum."""
    whole = len(body) if whole is None else whole
    begin = b"HLLc" + bytes([version, kind, 0, 0]) + struct.pack("<Q", cookie)
    end = struct.pack("<QIIII", request, attempt, part, whole, fingerprint) + bytes(8) + body
    return begin + struct.pack("<Q", xxh3_64_intdigest(begin + bytes(8) + end)) + end


class Impostor:
    """A connection to a node's bus port that says it is another node."""

    def __init__(self, cluster, sender, target):
        self.cluster, self.sender, self.target = cluster, sender, target
        self.connect()

    def connect(self):
        self.socket = socket.create_connection(("127.0.0.1", self.target.port + 10000), timeout=20)

    def send(self, payload):
        """A server keeps one connection from each node: the real one's next heartbeat takes this one's place."""
        while True:
            try:
                return self.socket.sendall(on_the_bus(self.cluster, self.sender, payload))
            except OSError:
                self.connect()

    def wait(self):
        """Until the node has looked at all that reached it."""
        seen = []

        def is_still():
            seen.append(counts(self.target)["messages_received"])
            return len(seen) > 20 and seen[-20] == seen[-1]

        wait_for("all of it to be looked at", is_still)


def test_who_only_knows_a_name_is_not_heard(cluster, rng):
    """Forged questions, answers, acknowledgements and greetings, repeated, cut and damaged: they are counted, nothing is read,
    written or sent to whoever sends them, and the nodes go on answering."""
    a, b, c = cluster.primaries
    keys = [cluster.key_of(node) for node in cluster.primaries]
    for node, key in zip(cluster.primaries, keys):
        node.c("HLL.ADD", key, *elements(0, 100, key))
    before = [digest(node.c) for node in cluster.primaries]
    expected = a.c("HLL.CLUSTER", "COUNT", *keys)
    gathers, refused = counts(b)["gathers"], counts(b)["messages_refused"]
    impostor = Impostor(cluster, a, b)
    for i in range(4000):
        kind = rng.choice(KINDS)
        body = rng.randbytes(rng.choice([0, 1, 19, 30, 300, 5000]))
        message = ours(kind, rng.choice([0, 1, rng.getrandbits(64)]), body, rng.getrandbits(64), rng.randrange(4), rng.randrange(3),
                       rng.choice([None, 0, 10, 1 << 24, (1 << 32) - 1]), rng.getrandbits(32), rng.choice([1, 1, 1, 0, 2, 255]))
        shape = rng.randrange(4)
        if shape == 1:
            message = message[:rng.randrange(len(message))]
        elif shape == 2:
            at = rng.randrange(len(message))
            message = message[:at] + bytes([message[at] ^ 1 << rng.randrange(8)]) + message[at + 1:]
        elif shape == 3:
            message = rng.randbytes(rng.randrange(200))
        impostor.send(message)
    impostor.wait()
    assert counts(b)["messages_refused"] > refused + 1000
    assert counts(b)["gathers"] == gathers
    assert [digest(node.c) for node in cluster.primaries] == before
    for node, key in zip(cluster.primaries, keys):
        others = [other for other in keys if other != key]
        wait_for("an answer", lambda n=node, k=[key, *others]: answer(n, k) == expected)


def answer(node, keys):
    try:
        return node.c("HLL.CLUSTER", "COUNT", *keys)
    except ReplyError as error:
        assert error.text.startswith("CLUSTERDOWN HLL: "), error.text
        return None


def test_a_flood_of_greetings_is_answered_ten_times_a_second(cluster):
    a, b, _ = cluster.primaries
    impostor = Impostor(cluster, a, b)
    sent, received = counts(b)["messages_sent"], counts(b)["messages_received"]
    hello = ours(HELLO, 7, struct.pack("<QQBBB", 1, 2, 1, 1, 1))
    for _ in range(3000):
        impostor.send(hello)
    impostor.wait()
    assert counts(b)["messages_received"] > received + 1000
    # Only ten of ours go out in a second: few, however long this took.
    assert counts(b)["messages_sent"] - sent < 300
    key, other = cluster.key_of(a), cluster.key_of(b)
    wait_for("an answer", lambda: answer(a, [key, other]) == 0)


def test_a_small_limit_of_what_is_kept_for_a_node_is_not_exceeded(start, server_name):
    """Questions with long names to a node that is stopped, and answers of many large sketches."""
    supported(server_name)
    cluster = Cluster(start, server_name, options={"cluster-link-sendbuf-limit": 1 << 20}, node_timeout=10000)
    a, b, c = cluster.primaries
    own, tag = cluster.key_of(a), cluster.key_of(b)
    keys = [f"{{{tag}}}{i}" for i in range(60)]
    for key in keys:
        b.c("HLL.CREATE", key, "PRECISION", 16)
        b.c("HLL.ADD", key, *elements(0, 20000, key))
    a.c("CONFIG", "SET", "hll.cluster-timeout", 20000)
    table = a.c("HLL.CLUSTER", "OVERLAP", 1 + 5, own, *keys[:5])
    assert len(table) == 15
    assert a.c("HLL.CLUSTER", "RETENTION", "COHORTS", 1, own, "PERIODS", len(keys), *keys)
    a.c("CONFIG", "SET", "hll.cluster-timeout", 900)
    long = [f"{{{tag}}}{'x' * 4000}{i}" for i in range(100)]
    b.process.send_signal(19)
    try:
        for _ in range(3):
            with pytest.raises(ReplyError, match="^CLUSTERDOWN HLL: "):
                a.c("HLL.CLUSTER", "COUNT", own, *long)
    finally:
        b.process.send_signal(18)
    for node in cluster.primaries:
        assert b"cluster_stats_messages" in node.c("CLUSTER", "INFO")
        exceeded = [line for line in node.c("CLUSTER", "INFO").splitlines() if b"buffer_limit_exceeded" in line]
        assert all(line.endswith(b":0") for line in exceeded), exceeded
    wait_for("an answer", lambda: answer(a, [own, *long]) == 0)


def test_connections_to_other_nodes_send_at_once(cluster):
    """Also after a reconnect; and not where that is turned off."""
    a, b, _ = cluster.primaries
    for node in cluster.primaries:
        wait_for("both connections", lambda n=node: counts(n)["links_at_once"] == 2)
    b.c("DEBUG", "CLUSTERLINK", "KILL", "ALL", cluster.ids[a])  # both ways; Redis 7.0 dies if asked for one that is gone
    for node in cluster.primaries:
        wait_for("both connections again", lambda n=node: counts(n)["links_at_once"] == 2)
    a.c("CONFIG", "SET", "hll.cluster-nodelay", "no")
    wait_for("nobody to look", lambda: counts(a)["links_at_once"] == 0)


@pytest.mark.parametrize("library", [redis, valkey], ids=["redis-py", "valkey-py"])
def test_client_libraries_find_their_way(cluster, library):
    """With a cluster client that knows nothing of our commands but what the server tells."""
    make = library.RedisCluster if library is redis else library.ValkeyCluster
    with make(host="127.0.0.1", port=cluster.primaries[0].port) as client:
        keys = [f"k{i}" for i in range(9)]
        for i, key in enumerate(keys):
            client.execute_command("HLL.ADD", key, *elements(i, i + 10))
        assert len({cluster.node_of(key) for key in keys}) == 3
        for node in cluster.primaries:
            first = cluster.key_of(node)
            asked = counts(node)["queries"]
            assert client.execute_command("HLL.CLUSTER", "COUNT", first, *keys) == 18
            assert client.execute_command("HLL.CLUSTER", "INTERSECT", 2, first, keys[0])
            assert client.execute_command("HLL.CLUSTER", "SEGMENT", "ANY", 1, first, "ALL", 2, *keys[:2])
            assert client.execute_command("HLL.CLUSTER", "RETENTION", "COHORTS", 1, first, "PERIODS", 2, *keys[:2])
            assert client.execute_command("HLL.CLUSTER", "MERGE", first, *keys) in (b"OK", True, "OK")
            assert client.execute_command("HLL.COUNT", first) == 18
            assert counts(node)["queries"] == asked + 5
            client.execute_command("DEL", first)


def test_the_server_tells_where_the_first_key_is(cluster):
    c = cluster.primaries[0].c
    for call in (("COUNT", "k", "l"), ("MERGE", "k", "l"), ("CAMPAIGN", "k", "l", "m"), ("ESTIMATE", 2, "k", "l"), ("INTERSECT", 2, "k", "l"),
                 ("OVERLAP", 2, "k", "l"), ("FUNNEL", 2, "k", "l"), ("SEGMENT", "NONE", 2, "k", "l", "ALL", 1, "m"),
                 ("RETENTION", "PERIODS", 2, "k", "l", "COHORTS", 1, "m")):
        assert c("COMMAND", "GETKEYS", "HLL.CLUSTER", *call) == [b"k"], call
    assert slot_of("k") == c("CLUSTER", "KEYSLOT", "k")
