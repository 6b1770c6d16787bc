"""Writers that remember what was acknowledged to them.

Each write is one transaction: the number of the write into a set, an element into a sketch, an event into a cube. So
afterwards the set tells of every single acknowledged write whether it is there, and the cube, whose events are counted
exactly, must have as many as the sets have members: the module's values survive exactly what the server's own survive.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

Address = tuple[str, int]

CUBE, SKETCH, BALLAST = "drill:cube", "drill:users", "drill:ballast"
# A dead server on loopback refuses at once; this is for one that is up and stuck.
SOCKET_SECONDS = 2
WAIT_MS = 1000
PAUSE = 0.02  # between attempts while nobody takes writes


def prepare(client: redis.Redis, tag: str = "") -> None:
    client.execute_command("HLL.CUBE.CREATE", tag + CUBE, "DIMENSION", "writer", "VALUES", 64)


def set_name(writer: int, tag: str = "") -> str:
    return f"{tag}drill:acknowledged:{writer}"


@dataclass(frozen=True)
class Acknowledged:
    """A write, by its number. Times are monotonic seconds."""

    begun: float
    heard: float
    number: int


@dataclass
class Writer:
    """One thread with one connection. `find` says where the primary is; with `replicas` a write counts as acknowledged when
    WAIT has heard of it from so many."""

    number: int
    find: Callable[[], Address]
    replicas: int
    tag: str = ""     # before the names of keys: in a cluster, braces that put them all into one slot
    ballast: int = 0  # bytes that each write carries besides, so that what waits for a replica outgrows the kernel's buffers
    acknowledged: list["Acknowledged"] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        client: redis.Redis | None = None
        number = 0
        while not self._stop.is_set():
            # A write without an answer is not repeated: it may be there, and nobody was promised that it is.
            number += 1
            try:
                if client is None:
                    client = self.connect()
                begun = time.monotonic()
                if self.write(client, number):
                    self.acknowledged.append(Acknowledged(begun, time.monotonic(), number))
            except redis.RedisError:
                if client is not None:
                    client.close()
                client = None
                self._stop.wait(PAUSE)
        if client is not None:
            client.close()

    def connect(self) -> redis.Redis:
        """A client of the primary that makes no attempt twice, which would hide what is measured.

        It has one connection, and so pipelines have the same: WAIT is about the writes of its own connection, and on one that
        has written nothing some servers answer it at once."""
        host, port = self.find()
        return redis.Redis(connection_pool=redis.ConnectionPool(host=host, port=port, socket_timeout=SOCKET_SECONDS,
                                                                retry=Retry(NoBackoff(), 0), max_connections=1))

    def write(self, client: redis.Redis, number: int) -> bool:
        """Whether the write is acknowledged."""
        user = f"{self.number}:{number}"
        with client.pipeline(transaction=True) as together:
            together.sadd(set_name(self.number, self.tag), number)
            together.execute_command("HLL.ADD", self.tag + SKETCH, user)
            together.execute_command("HLL.CUBE.ADD", self.tag + CUBE, "*", user, "writer", self.number)
            if self.ballast:
                together.set(self.tag + BALLAST, bytes(self.ballast))
            together.execute()
        return self.replicas == 0 or int(client.wait(self.replicas, WAIT_MS)) >= self.replicas


@dataclass(frozen=True)
class Kill:
    """When the signal was sent and when the process was gone. What was begun in between may have been answered by it."""

    sent: float
    gone: float


@dataclass(frozen=True)
class Outcome:
    """What became of the acknowledged writes."""

    acknowledged: int         # of those begun before the server was gone
    lost: int
    lost_seconds: float       # from the first lost one to the kill
    resumed_seconds: float    # from the kill until a write that was begun afterwards was acknowledged


def resumed(writers: list[Writer], kill: Kill) -> float | None:
    """When the first write that was begun after the kill was acknowledged."""
    later = [write.heard for writer in writers for write in writer.acknowledged[-1:] if write.begun > kill.gone]
    return min(later, default=None)


def outcome(writers: list[Writer], client: redis.Redis, kill: Kill) -> Outcome:
    """Compares what the writers, all of one tag, remember with what the server has; raises RuntimeError where its own values disagree."""
    before = lost = members = 0
    first_lost = first_after = None
    for writer in writers:
        there = {int(member) for member in client.smembers(set_name(writer.number, writer.tag))}
        members += len(there)
        for write in writer.acknowledged:
            if write.begun > kill.gone:
                first_after = write.heard if first_after is None else min(first_after, write.heard)
            else:
                before += 1
            if write.number not in there:
                lost += 1
                first_lost = write.heard if first_lost is None else min(first_lost, write.heard)
    if first_after is None:
        raise RuntimeError("no write was acknowledged after the kill")
    events = events_of(client, writers[0].tag)
    if events != members:
        raise RuntimeError(f"the cube has {events} events and the sets {members} members: they were written together")
    return Outcome(before, lost, 0.0 if first_lost is None else max(0.0, kill.sent - first_lost), first_after - kill.sent)


def events_of(client: redis.Redis, tag: str = "") -> int:
    reply = client.execute_command("HLL.CUBE.COUNT", tag + CUBE)
    pairs = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
    return int(pairs[b"events"])
