"""A primary of a cluster is killed while another node is asked about keys of all of them (HLL.CLUSTER)."""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import redis
from local_server import Server

from .load import outcome, prepare
from .scenarios import Plan, Row, await_writes, durable, killed, under_load, writing
from .topology import wait_for

SLOTS = 16_384
PRIMARIES = 3
NODE_TIMEOUT_MS = 5_000
# Sketches that stay as they are, all over the slots, with overlaps; exact, so that one element too few is seen.
KEYS = [f"drill:frozen:{number}" for number in range(60)]
EXPECTED = 61 * 10


def free_cluster_port() -> int:
    """One that is free, and free 10,000 above, where nodes listen to each other; below those of outgoing connections."""
    while True:
        port = random.randrange(10_000, 22_000)
        with socket.socket() as clients, socket.socket() as bus:
            try:
                clients.bind(("127.0.0.1", port))
                bus.bind(("127.0.0.1", port + 10_000))
                return port
            except OSError:
                continue


@dataclass
class Asked:
    """A question, when it was begun and answered, and what with: None for an error."""

    begun: float
    heard: float
    answer: int | None


@dataclass
class Asker:
    """Asks the same of one node all the time."""

    server: Server
    question: list[str]
    asked: list[Asked] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        with self.server.client() as client:
            while not self._stop.is_set():
                begun, answer = time.monotonic(), None
                try:
                    answer = int(client.execute_command(*self.question))
                except redis.RedisError:
                    pass  # counted as no answer
                self.asked.append(Asked(begun, time.monotonic(), answer))

    def right_after(self, moment: float) -> Asked | None:
        """The first answer to a question that was begun after this."""
        return next((asked for asked in self.asked if asked.begun > moment and asked.answer is not None), None)


class Nodes:
    """The cluster: primaries first, then the replica of each."""

    def __init__(self, servers: list[Server]) -> None:
        self.servers = servers

    def make(self) -> None:
        """Of servers that do not know each other."""
        for number, server in enumerate(self.servers):
            with server.client() as client:
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                if number < PRIMARIES:
                    client.execute_command("CLUSTER", "ADDSLOTSRANGE", SLOTS * number // PRIMARIES, SLOTS * (number + 1) // PRIMARIES - 1)
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.servers[0].port)
        names = [self.ask(server, "MYID") for server in self.servers]
        for server in self.servers:
            wait_for("the nodes to meet", lambda server=server: all(name in self.ask(server, "NODES") for name in names)
                     and "handshake" not in self.ask(server, "NODES"))
        for number, server in enumerate(self.servers[PRIMARIES:]):
            with server.client() as client:
                client.execute_command("CLUSTER", "REPLICATE", names[number])
        for server in self.servers:
            wait_for("the cluster", lambda server=server: "cluster_state:ok" in self.ask(server, "INFO"))
        for server in self.servers[PRIMARIES:]:
            with server.client() as client:
                wait_for("replication", lambda client=client: client.info("replication").get("master_link_status") == "up")

    @staticmethod
    def ask(server: Server, what: str) -> str:
        """The text of CLUSTER <what>, as the server sends it."""
        with redis.Redis(port=server.port, socket_timeout=10) as client:
            return bytes(client.execute_command("CLUSTER", what)).decode()

    def find(self, slot: int, asked: Server) -> tuple[str, int]:
        """Who has the slot, as one node knows."""
        for line in self.ask(asked, "NODES").splitlines():
            words = line.split(" ")
            for word in words[8:]:
                first, _, last = word.partition("-")
                if not word.startswith("[") and int(first) <= slot <= int(last or first):
                    address, _, port = words[1].partition("@")[0].rpartition(":")
                    return address, int(port)
        raise redis.ConnectionError(f"slot {slot} is nobody's")

    def tag_of(self, server: Server) -> tuple[str, int]:
        """Braces whose keys this node has, and their slot."""
        number = self.servers.index(server)
        with server.client() as client:
            for at in range(SLOTS):
                slot = int(client.execute_command("CLUSTER", "KEYSLOT", f"{{{at}}}"))
                if SLOTS * number // PRIMARIES <= slot < SLOTS * (number + 1) // PRIMARIES:
                    return f"{{{at}}}", slot
        raise AssertionError("a third of all names are here")

    def fill(self) -> None:
        clients = {server.port: server.client() for server in self.servers[:PRIMARIES]}
        for number, key in enumerate(KEYS):
            slot = int(clients[self.servers[0].port].execute_command("CLUSTER", "KEYSLOT", key))
            owner = clients[self.find(slot, self.servers[0])[1]]
            owner.execute_command("HLL.ADD", key, *range(number * 10, number * 10 + 20))


def is_a_replica(server: Server) -> Callable[[], bool]:
    def follows() -> bool:
        with server.client() as client:
            return bool(client.info("replication").get("master_link_status") == "up")
    return follows


def cluster(plan: Plan) -> Row:
    """The second of three primaries is killed: its replica takes over. Every answer is compared with what is true, and the time
    told is that until both are back, writes at that primary's slots and answers about all keys."""
    options = {**durable("everysec"), "cluster-enabled": "yes", "cluster-node-timeout": str(NODE_TIMEOUT_MS), "cluster-require-full-coverage": "no"}
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(plan.start(options, port=free_cluster_port())) for _ in range(2 * PRIMARIES)]
        nodes = Nodes(servers)
        nodes.make()
        nodes.fill()
        first, victim = servers[0], servers[1]
        tag, slot = nodes.tag_of(victim)
        own, _ = nodes.tag_of(first)
        asker = Asker(first, ["HLL.CLUSTER", "COUNT", f"{own}drill:none", *KEYS])
        with victim.client() as client:
            prepare(client, tag)
        with writing(plan, lambda: nodes.find(slot, first), 1, tag=tag) as writers, asker.at_work():
            under_load(plan, writers, plan.seconds)
            if not any(asked.answer is not None for asked in asker.asked):
                raise RuntimeError("HLL.CLUSTER has not answered before the kill")
            kill = killed(victim)
            plan.say("a primary is killed")
            # With WAIT a write is acknowledged only when there is a replica again: the one that was killed.
            wait_for("its replica to take over", lambda: nodes.find(slot, first)[1] != victim.port)
            plan.say(f"its replica has taken over after {time.monotonic() - kill.sent:.1f} s")
            wait_for("answers about all keys", lambda: asker.right_after(kill.gone) is not None)
            victim.restart()
            await_writes(plan, writers, kill)
            under_load(plan, writers, plan.seconds)
        wrong = [asked.answer for asked in asker.asked if asked.answer not in (None, EXPECTED)]
        if wrong:
            raise RuntimeError(f"{len(wrong)} answers of HLL.CLUSTER were wrong, the first {wrong[0]} in place of {EXPECTED}")
        wait_for("the old primary to follow", is_a_replica(victim))
        back = asker.right_after(kill.gone)
        assert back is not None
        answers = sum(asked.answer is not None for asked in asker.asked)
        plan.say(f"{answers:,} answers, all right, and {len(asker.asked) - answers:,} errors; again after {back.heard - kill.sent:.1f} s")
        with nodes.servers[PRIMARIES + 1].client() as client:
            found = outcome(writers, client, kill)
    event = f"a primary of a cluster killed while HLL.CLUSTER was asked: no wrong answer, and all keys again after {back.heard - kill.sent:.1f} s"
    return Row.of_outcome(event, "`appendfsync everysec` and WAIT 1", found)
