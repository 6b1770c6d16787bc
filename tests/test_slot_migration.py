"""Valkey moves slots with their keys while they are served (CLUSTER MIGRATESLOTS), if every module says that it can be done. Keys,
counts and digests survive it, to the last bit of a running estimate, while elements are added all the time."""

import threading

import pytest

from helpers import elements
from resp import ReplyError
from servers import wait_for

KEYS = 60


@pytest.fixture
def two_nodes(start, server_name):
    """Two primaries of a cluster. The first has all slots but one: a node without any would become the other's replica."""
    if server_name != "valkey-9.1":
        pytest.skip(f"{server_name} moves no slots this way")
    first, second = (start(server_name, {"cluster-enabled": "yes", "cluster-node-timeout": "2000"}) for _ in range(2))
    first.c("CLUSTER", "ADDSLOTSRANGE", 0, 16382)
    second.c("CLUSTER", "ADDSLOTSRANGE", 16383, 16383)
    first.c("CLUSTER", "MEET", "127.0.0.1", second.port)
    for server in (first, second):
        wait_for("the cluster", lambda: b"cluster_state:ok" in server.c("CLUSTER", "INFO") and b"cluster_known_nodes:2" in server.c("CLUSTER", "INFO"))
    return first, second


class Routed:
    """A client of both nodes that asks whoever has the key."""

    def __init__(self, servers):
        self.clients = {server.port: server.client() for server in servers}
        self.port = servers[0].port

    def __call__(self, *command):
        for _ in range(1000):
            try:
                return self.clients[self.port](*command)
            except ReplyError as error:
                if not error.text.startswith("MOVED"):
                    raise
                self.port = int(error.text.rsplit(":", 1)[1])
        raise AssertionError(f"{command} found no owner")


def key(i):
    return f"k{i}"


def batches(i):
    """What is added to a key, call by call: some keys become dense on the way."""
    step = 400 if i % 3 == 0 else 7
    for n in range(40):
        yield elements(n * step, (n + 1) * step, f"u{i}")


def move(source, target):
    """All slots but the last one of each node."""
    node = target.c("CLUSTER", "MYID")
    source.c("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", 0, 16381, "NODE", node)
    wait_for("the slots to arrive", lambda: all(_owner(server) == node for server in (source, target)), seconds=60)


def _owner(server):
    (line,) = [line for line in server.c("CLUSTER", "NODES").splitlines() if b" 0-1638" in line] or [b""]
    return line[:40]


def test_slots_move_while_elements_are_added(two_nodes, start, server_name):
    first, second = two_nodes
    failures, done = [], threading.Event()

    def load():
        try:
            client = Routed(two_nodes)
            for calls in zip(*(batches(i) for i in range(KEYS))):
                for i, batch in enumerate(calls):
                    client("HLL.ADD", key(i), *batch)
        except Exception as error:  # told by the main thread
            failures.append(error)
        finally:
            done.set()

    adding = threading.Thread(target=load)
    adding.start()
    moves = 0
    while not done.is_set() or moves < 2:
        move(*((first, second) if moves % 2 == 0 else (second, first)))
        moves += 1
    adding.join()
    assert failures == []
    print(f"{moves} moves of all slots")
    twin = start(server_name).c
    for i in range(KEYS):
        for batch in batches(i):
            twin("HLL.ADD", key(i), *batch)
    client = Routed(two_nodes)
    for i in range(KEYS):
        assert client("HLL.EXPORT", key(i)) == twin("HLL.EXPORT", key(i))
        assert client("HLL.COUNT", key(i)) == twin("HLL.COUNT", key(i))
        assert client("DEBUG", "DIGEST-VALUE", key(i)) == twin("DEBUG", "DIGEST-VALUE", key(i))


def test_a_time_to_live_moves_too(two_nodes):
    first, second = two_nodes
    first.c("HLL.ADD", "k", *elements(0, 5000))
    first.c("EXPIRE", "k", 1000)
    value = first.c("HLL.EXPORT", "k")
    move(first, second)
    assert second.c("HLL.EXPORT", "k") == value
    assert 900 < second.c("TTL", "k") <= 1000
