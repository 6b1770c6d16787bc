"""What happens to a cluster while tests/chaos.py asks it. Each nemesis is a thread that notes when it was at work.

Slots move key by key with pauses, one in five only begun and given up, four at a time; on Valkey 9 a quarter of them by the server's
own CLUSTER MIGRATESLOTS, while the others rest. Short troubles: CLIENT PAUSE, a script that is busy for longer than the server waits before it looks at its
connections again, a module's command that does the same by itself, a reload. Long ones: a node that is stopped for longer than the
others wait for it, with questions in its sockets; one that is killed and started again; a bus that loses, repeats, delays and cuts.
"""

import contextlib
import random
import signal
import threading
import time

from resp import ReplyError
from servers import wait_for

# What a server says that is busy, paused, loading or just starting: asked again, it does what it was told.
AGAIN = ("BUSY", "paused", "IOERR", "LOADING", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "MASTERDOWN")


class Gate:
    """Many go through it at a time, or one has it closed, when nobody is inside any more."""

    def __init__(self):
        self.condition, self.inside, self.is_closed = threading.Condition(), 0, False

    @contextlib.contextmanager
    def through(self):
        with self.condition:
            self.condition.wait_for(lambda: not self.is_closed)
            self.inside += 1
        try:
            yield
        finally:
            with self.condition:
                self.inside -= 1
                self.condition.notify_all()

    @contextlib.contextmanager
    def closed(self):
        with self.condition:
            self.condition.wait_for(lambda: not self.is_closed)
            self.is_closed = True
            self.condition.wait_for(lambda: not self.inside)
        try:
            yield
        finally:
            with self.condition:
                self.is_closed = False
                self.condition.notify_all()


class Patient:
    """A connection to a node that asks again while the node is busy, and again after it was started anew."""

    def __init__(self, node, is_over=lambda: False):
        self.node, self.client, self.is_over = node, None, is_over

    def __call__(self, *command, seconds=60):
        end = time.monotonic() + seconds
        while True:
            try:
                if self.client is None:
                    self.client = self.node.client(timeout=20)
                return self.client(*command)
            except ReplyError as error:
                if time.monotonic() > end or not any(word in error.text for word in AGAIN):
                    raise
            except (OSError, ValueError):
                self.client = None
                if time.monotonic() > end:
                    raise
            if self.is_over():
                raise AssertionError(f"{self.node} would not do {command} before the end")
            time.sleep(0.01)


    def keys_in_slot(self, slot):
        """Some of them, or none if there are none. A node that is loading would say so too early; then it does not tell its size."""
        while True:
            self("PING")
            try:
                keys, size = self.client.pipe([("CLUSTER", "GETKEYSINSLOT", slot, 10), ("DBSIZE",)])
            except (OSError, ValueError):
                self.client = None
                continue
            if not isinstance(keys, ReplyError) and not isinstance(size, ReplyError):
                return keys
            time.sleep(0.01)


class Nemeses:
    """Those of one run, whose cluster, slots and end they share with it."""

    def __init__(self, chaos):
        self.chaos, self.cluster, self.options = chaos, chaos.cluster, chaos.options
        self.movers = Gate()  # whoever stops or kills a node has it closed: a key half moved from a node that dies is on two
        # What Valkey sends to a node of a slot that it moves by itself is lost, and never missed, while that node reloads or is too busy.
        self.attentive = threading.Lock()
        self.handover, self.migration = threading.Lock(), threading.Lock()
        self.times = []       # (what, begin, end, whether questions may fail meanwhile)
        self.lock = threading.Lock()
        self.moves = 0

    @property
    def is_over(self):
        return self.chaos.done.is_set()

    def patient(self, node):
        """One that gives up when the run ends because something is wrong."""
        return Patient(node, lambda: bool(self.chaos.wrong))

    @contextlib.contextmanager
    def noted(self, what, disturbs=True):
        begin = time.monotonic()
        try:
            yield
        finally:
            with self.lock:
                self.times.append((what, begin, time.monotonic(), disturbs))

    # Slots

    def move(self, slots, seed, by_itself=False):
        rng = random.Random(seed)
        primaries = self.cluster.primaries
        clients = {node: self.patient(node) for node in primaries}
        where = {slot: self.chaos.home[slot] for slot in slots}
        while not self.is_over:
            slot = rng.choice(slots)
            source = where[slot]
            target = rng.choice([node for node in primaries if node is not source])
            # While Valkey moves slots by itself it refuses the other way.
            gate = self.by_itself() if by_itself else self.movers.through()
            with gate, self.noted("moves by the server" if by_itself else "moves", disturbs=False):
                if self.move_by_itself(slot, target, clients[source]) if by_itself else self.move_keys(slot, source, target, clients, rng):
                    where[slot] = target
                    with self.lock:
                        self.moves += 1
            time.sleep(rng.random() * (1 if by_itself else 0.25))

    @contextlib.contextmanager
    def by_itself(self):
        with self.movers.closed(), self.attentive:
            yield

    def move_keys(self, slot, source, target, clients, rng):
        ids = self.cluster.ids

        def begin(pause=0.0):
            """With a pause in the wrong order: keys that are missing are then nowhere, and questions about them have to wait."""
            marks = [(target, "IMPORTING", source), (source, "MIGRATING", target)]
            for node, what, other in reversed(marks) if pause else marks:
                clients[node]("CLUSTER", "SETSLOT", slot, what, ids[other])
                time.sleep(pause)

        if rng.random() < 0.2:
            # A key that is made meanwhile is made at the target, where nobody would look for it afterwards.
            with self.chaos.writers.closed():
                begin()
                time.sleep(rng.random() * 0.01)
                for node in (source, target):
                    clients[node]("CLUSTER", "SETSLOT", slot, "STABLE")
            return False
        begin(rng.random() * 0.25 if rng.random() < 0.2 else 0)
        while keys := clients[source].keys_in_slot(slot):
            for key in keys:
                # One at a time: two nodes that send to each other wait for each other, and serve nobody.
                with self.migration:
                    clients[source]("MIGRATE", "127.0.0.1", target.port, key, 0, 5000, "REPLACE")
                time.sleep(rng.random() * 0.004)
        # One at a time, and the next when all have heard of the new epoch that comes with it: else two nodes may claim a slot, and one of
        # them throws its keys away, which is the servers' own affair and not ours.
        with self.handover:
            for node in (target, source, *self.cluster.primaries):
                clients[node]("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
            self.wait_for_one_epoch(clients)
        return True

    def wait_for_one_epoch(self, clients):
        def epochs():
            texts = [client("CLUSTER", "INFO").decode() for client in clients.values()]
            return {line for text in texts for line in text.splitlines() if line.startswith("cluster_current_epoch:")}

        wait_for("all to hear of an epoch", lambda: len(epochs()) == 1, seconds=60, every=0.002)

    def move_by_itself(self, slot, target, source):
        """Valkey moves it; whether it did."""
        wanted = self.cluster.ids[target]
        source("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", wanted)

        patient = {node: self.patient(node) for node in self.cluster.primaries}

        def is_over():
            (job, *_) = source("CLUSTER", "GETSLOTMIGRATIONS")
            state = dict(zip(job[::2], job[1::2]))[b"state"]
            return state if state in (b"success", b"failed", b"cancelled") else None

        state = wait_for("a slot to be moved", is_over, seconds=60)
        if state == b"success":
            for node in self.cluster.primaries:
                wait_for("all to know of it", lambda n=node: self.cluster.owners(n, patient[n])[slot] == wanted)
            self.wait_for_one_epoch(patient)
        return state == b"success"

    # Short troubles

    def trouble(self, seed):
        rng = random.Random(seed)
        clients = {node: self.patient(node) for node in self.cluster.primaries}
        kinds = ["pause", "script", "reload"] + ["yield"] * self.chaos.has_yield
        while not self.is_over:
            time.sleep(rng.random() * self.options.calm)
            node, what = rng.choice(self.cluster.primaries), rng.choice(kinds)
            if what == "pause":
                with self.noted(what):
                    clients[node]("CLIENT", "PAUSE", 60, "WRITE")
                    time.sleep(0.06)
                continue
            command = {"script": ("EVAL", "local n = 0; for i = 1, tonumber(ARGV[1]) do n = n + 1 end; return n", 0, 4000000),
                       "yield": ("HLL.TEST.YIELD", self.chaos.own_key(node), 150), "reload": ("DEBUG", "RELOAD")}[what]
            with self.attentive, self.noted(what):
                clients[node](*command)

    # Long ones

    def blows(self, seed):
        """One of the long troubles every few seconds."""
        rng = random.Random(seed)
        kinds = ["stop", "kill"] + ["bus"] * bool(self.chaos.bus)
        at = 0
        while not self.is_over:
            self.chaos.done.wait(self.options.calm * 10 * (0.5 + rng.random()))
            if self.is_over:
                return
            node, what, at = rng.choice(self.cluster.primaries), kinds[at % len(kinds)], at + 1
            if what == "bus":
                with self.noted("bus"):
                    self.chaos.bus.weather(lost=0.1, repeated=0.1, delay=0.05, cut=0.002)
                    self.chaos.done.wait(3)
                    self.chaos.bus.weather()
                continue
            with self.movers.closed(), self.noted(what):
                if self.is_over:
                    return
                if what == "stop":
                    node.process.send_signal(signal.SIGSTOP)
                    time.sleep(self.chaos.node_timeout / 1000 + 0.6)
                    node.process.send_signal(signal.SIGCONT)
                else:
                    # A reload begins the append-only file anew; until that is written, who is killed loses what was acknowledged. And
                    # a server that is told to reload while it is starting is no good any more.
                    with self.attentive:
                        patient = self.patient(node)
                        wait_for("the file", lambda p=patient: b"aof_rewrite_in_progress:0" in p("INFO", "persistence")
                                 and b"aof_rewrite_scheduled:0" in p("INFO", "persistence"))
                        node.process.kill()
                        node.process.wait()
                        time.sleep(rng.random() * 0.3)
                        self.chaos.in_main_thread(lambda n=node: n.start(n.port))
                        self.chaos.set_up(node)
                # What was missed meanwhile is made good before it counts against anybody.
                for other in self.cluster.primaries:
                    wait_for("the cluster", lambda n=other: self.is_whole(n), seconds=60)
                time.sleep(0.2)

    def is_whole(self, node):
        try:
            patient = self.patient(node)
            text = patient("CLUSTER", "NODES").decode()
            if b"cluster_state:ok" not in patient("CLUSTER", "INFO"):
                return False
        except ReplyError:
            return False
        return "fail" not in text and text.count(" connected") == len(self.cluster.nodes)

    # Primaries that are replaced

    def replace_primaries(self, seed):
        """A primary is stopped until a replica has taken over, or hands over by itself, and follows it then."""
        rng = random.Random(seed)
        cluster, asker = self.cluster, self.chaos.asker
        while not self.is_over:
            owners = set(cluster.owners(asker))
            primaries = [node for node in cluster.nodes if cluster.ids[node] in owners and node is not asker]
            victim, gracefully = rng.choice(primaries), rng.random() < 0.5
            with self.noted("handover" if gracefully else "failover"):
                if gracefully:
                    replica = next(node for node in cluster.nodes if node.info(section="replication").get("master_port") == str(victim.port))
                else:
                    replica = None
                    victim.process.send_signal(signal.SIGSTOP)
                try:
                    wait_for("a replica to take over", lambda v=victim, r=replica: self.has_been_replaced(v, r), seconds=60, every=0.5)
                    time.sleep(0.3)
                finally:
                    victim.process.send_signal(signal.SIGCONT)
            self.moves += 1
            wait_for("the old primary to follow", lambda: victim.info(section="replication").get("master_link_status") == "up", seconds=60)
            self.chaos.done.wait(1.0)

    def has_been_replaced(self, victim, replica):
        """Whether the asker knows it. A replica that hands over is told again: it gives up where nodes have just voted for another."""
        if self.cluster.ids[victim] not in self.cluster.owners(self.chaos.asker):
            return True
        with contextlib.suppress(ReplyError):
            if replica:
                replica.c("CLUSTER", "FAILOVER")
        return False

    def take_over(self, seed):
        """A replica takes over, and neither the old primary nor the asker hears of it at first. The asker holds its answers until it
        has heard: what the old primary has told it meanwhile is then seen to be an old owner's."""
        rng, cluster, chaos = random.Random(seed), self.cluster, self.chaos
        pairs = [list(pair) for pair in zip(cluster.primaries, cluster.replicas)][1:]
        while not self.is_over:
            pair = rng.choice(pairs)
            old, new = pair
            with self.noted("takeover", disturbs=False):
                with chaos.writers.closed():
                    wait_for("the replica to be level", lambda: self.is_level(old, new))
                    chaos.asker.c("CONFIG", "SET", "hll.test-cluster-hold", "yes")
                    for node in (chaos.asker, old):
                        chaos.bus.hold(node, cluster.ids[node])
                    new.c("CLUSTER", "FAILOVER", "TAKEOVER")
                    wait_for("the replica to be a primary", lambda: new.info(section="replication")["role"] == "master")
                    for slot, node in enumerate(chaos.home):
                        if node is old:
                            chaos.home[slot] = new
                # Those who asked before are held, so others ask what the old primary does not know of any more.
                time.sleep(0.3)
                late = [threading.Thread(target=chaos.guarded, args=(chaos.ask_once, chaos.asker, f"late{self.moves}:{i}")) for i in range(4)]
                for thread in late:
                    thread.start()
                time.sleep(0.1)
                chaos.bus.release(chaos.asker, cluster.ids[chaos.asker])
                wait_for("the asker to hear of it", lambda: cluster.ids[old] not in cluster.owners(chaos.asker))
                chaos.asker.c("CONFIG", "SET", "hll.test-cluster-hold", "no")
                for thread in late:
                    thread.join()
                chaos.bus.release(old, cluster.ids[old])
            wait_for("the old primary to follow", lambda: old.info(section="replication").get("master_link_status") == "up", seconds=60)
            self.moves += 1
            pair.reverse()
            chaos.done.wait(0.3)

    @staticmethod
    def is_level(old, new):
        follower = new.info(section="replication")
        return follower.get("master_link_status") == "up" and follower["slave_repl_offset"] == old.info(section="replication")["master_repl_offset"]
