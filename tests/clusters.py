"""Real clusters with the module loaded: started on loopback, moved about in, watched, stopped."""

import threading
import time

from resp import Client, ReplyError
from servers import wait_for

SLOTS = 16384


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def slot_of(key):
    key = key if isinstance(key, bytes) else str(key).encode()
    begin = key.find(b"{")
    if begin >= 0:
        end = key.find(b"}", begin + 1)
        if end > begin + 1:
            key = key[begin + 1:end]
    return crc16(key) % SLOTS


class Cluster:
    """Primaries that share the slots evenly, and replicas of them. With a `bus` (bus.py) they talk to each other through it."""

    def __init__(self, start, name, primaries=3, replicas=0, options=None, node_timeout=2000, build="release", meet=True, bus=None):
        options = {"cluster-enabled": "yes", "cluster-node-timeout": node_timeout, "cluster-require-full-coverage": "no",
                   **(options or {})}
        self.own = threading.local()
        self.nodes = [start(name, options, build=build) for _ in range(primaries + replicas)]
        self.primaries, self.replicas = self.nodes[:primaries], self.nodes[primaries:]
        # Where nodes talk over TLS, they go by the port for that.
        self.ports = {node: int(node.options.get("tls-port", node.port)) for node in self.nodes}
        bus_ports = {node: bus.stand_before(node) if bus else self.ports[node] + 10000 for node in self.nodes}
        for i, node in enumerate(self.primaries):
            node.c("CLUSTER", "ADDSLOTSRANGE", SLOTS * i // primaries, SLOTS * (i + 1) // primaries - 1)
        for i, node in enumerate(self.nodes):
            node.c("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for node in self.nodes[1:]:
            self.nodes[0].c("CLUSTER", "MEET", "127.0.0.1", self.ports[node], bus_ports[node])
        self.wait(lambda node: f"cluster_known_nodes:{len(self.nodes)}".encode() in node.c("CLUSTER", "INFO"))
        self.ids = {node: node.c("CLUSTER", "MYID").decode() for node in self.nodes}
        for i, node in enumerate(self.replicas):
            primary = self.ids[self.primaries[i % primaries]]
            wait_for("the primary to be known", lambda n=node, p=primary: p.encode() in n.c("CLUSTER", "NODES"))
            node.c("CLUSTER", "REPLICATE", primary)
        self.wait(lambda node: b"cluster_state:ok" in node.c("CLUSTER", "INFO") and self.owners(node)[-1])
        for node in self.replicas:
            wait_for("replication", lambda n=node: n.info(section="replication").get("master_link_status") == "up")
        # A primary votes for a replica that it knows as one; who was refused waits for four times the node timeout.
        self.wait(lambda node: self._replicas_known_to(node) == len(self.replicas))
        if meet:
            self.wait_until_met()

    @staticmethod
    def _replicas_known_to(node):
        return sum("slave" in line.split(" ")[2].split(",") for line in node.c("CLUSTER", "NODES").decode().splitlines())

    def wait(self, condition):
        for node in self.nodes:
            wait_for(f"{node}", lambda n=node: condition(n))

    def wait_until_met(self):
        """Until every primary has exchanged messages of ours with every other."""
        keys = [self.key_of(node) for node in self.primaries]
        for node in self.nodes:
            wait_for("the nodes to know each other", lambda n=node: self._answers(n, keys))

    def _answers(self, node, keys):
        try:
            self.own_first(node, "COUNT", *keys)
            return True
        except ReplyError:
            return False

    def own_first(self, node, question, *keys):
        """A question at this node about these keys, one of its own before them."""
        client = node.client()
        if node in self.replicas:
            client("READONLY")
        try:
            return client("HLL.CLUSTER", question, self.key_of(node, "none"), *keys)
        finally:
            client.close()

    def client_of(self, node):
        """A connection that only this thread uses."""
        clients = self.own.__dict__.setdefault("clients", {})
        if node.port not in clients or clients[node.port] not in node.clients:
            clients[node.port] = node.client()
        return clients[node.port]

    def owners(self, node=None, client=None):
        """Each slot's owner, as this node knows it, asked over this client or one of its own: its id."""
        owners = [None] * SLOTS
        for line in (client or self.client_of(node or self.primaries[0]))("CLUSTER", "NODES").decode().splitlines():
            words = line.split(" ")
            for word in words[8:]:
                if word and not word.startswith("["):
                    first, _, last = word.partition("-")
                    owners[int(first):int(last or first) + 1] = [words[0]] * (int(last or first) + 1 - int(first))
        return owners

    def node_of(self, key):
        owner = self.owners()[slot_of(key)]
        return next(node for node in self.nodes if self.ids[node] == owner)

    def node_of_slot(self, slot):
        owner = self.owners()[slot]
        return next(node for node in self.nodes if self.ids[node] == owner)

    def key_of(self, node, prefix="own"):
        """A key whose slot this node, or its primary, has."""
        owners, mine = self.owners(), self.ids[node]
        if node in self.replicas:
            mine = self.ids[self.primaries[self.replicas.index(node) % len(self.primaries)]]
        return next(f"{prefix}{i}" for i in range(100000) if owners[slot_of(f"{prefix}{i}")] == mine)

    def client(self, protocol=2):
        return Routed(self, protocol)

    def move(self, slot, source, target, aborted=False):
        """Moves a slot with its keys, one by one, as redis-cli does. Aborted: before the first key has gone."""
        target.c("CLUSTER", "SETSLOT", slot, "IMPORTING", self.ids[source])
        source.c("CLUSTER", "SETSLOT", slot, "MIGRATING", self.ids[target])
        if aborted:
            for node in (source, target):
                node.c("CLUSTER", "SETSLOT", slot, "STABLE")
            return
        self._migrate(slot, source, target)
        for node in (target, source, *self.primaries):
            node.c("CLUSTER", "SETSLOT", slot, "NODE", self.ids[target])

    def _migrate(self, slot, source, target):
        while True:
            keys = source.c("CLUSTER", "GETKEYSINSLOT", slot, 100)
            if not keys:
                return
            for key in keys:
                source.c("MIGRATE", "127.0.0.1", self.ports[target], key, 0, 5000)


class Routed:
    """A client that goes where a command's first key is, and follows redirections."""

    def __init__(self, cluster, protocol=2):
        self.cluster, self.protocol = cluster, protocol
        self.clients = {}
        self.last = None  # the connection that the last reply came over

    def at(self, port):
        if port not in self.clients:
            node = next(node for node in self.cluster.nodes if node.port == port)
            self.clients[port] = node.client(self.protocol)
        return self.clients[port]

    def __call__(self, *command):
        key = first_key(command)
        port = self.cluster.node_of(key).port
        end = time.monotonic() + 20
        while True:
            try:
                self.last = self.at(port)
                return self.last(*command)
            except ReplyError as error:
                kind, *rest = error.text.split(" ")
                if kind not in ("MOVED", "ASK", "TRYAGAIN") or "HLL:" in error.text or time.monotonic() > end:
                    raise
                if kind == "MOVED":
                    port = int(rest[1].rsplit(":", 1)[1])
                elif kind == "ASK":
                    at = self.at(int(rest[1].rsplit(":", 1)[1]))
                    at("ASKING")
                    return at(*command)


def first_key(command):
    words = [str(word).upper() if not isinstance(word, bytes) else word.decode(errors="replace").upper() for word in command]
    if words[0] != "HLL.CLUSTER":
        return command[2] if words[0] in NUMBERED else command[1]
    if words[1] in ("SEGMENT", "RETENTION"):
        return command[4]
    return command[3] if f"HLL.{words[1]}" in NUMBERED else command[2]


NUMBERED = ("HLL.ESTIMATE", "HLL.INTERSECT", "HLL.OVERLAP", "HLL.FUNNEL")
