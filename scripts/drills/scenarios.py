"""What can happen to a server, and what then was lost and how long it took."""

import contextlib
import io
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import redis
from care import archive
from care.__main__ import parse
from care.backup import content
from care.connection import keys, kinds
from local_server import Server, ServerError

from .load import Kill, Outcome, Writer, outcome, prepare, resumed
from .topology import CONFIG, Group, group, wait_for

REPLICAS = 2
# Of each write while replicas lag: in two seconds more than the kernel takes, and less than client-output-buffer-limit.
BALLAST = 16 << 10
# The size of what is restored: dense sketches of 8 KiB.
ELEMENTS = 3_000
CHUNK = 1_000


@dataclass(frozen=True)
class Plan:
    binary: str
    module: Path
    writers: int
    seconds: float   # of load before the kill, and again afterwards
    sketches: int    # in archives and backups
    say: Callable[[str], None]
    place: Path      # for what outlives none of it

    def start(self, options: dict[str, str], snapshot: Path | None = None, port: int | None = None) -> Server:
        """A server with a configuration file of its own: Sentinel has it rewritten."""
        server = Server(self.binary, self.place, self.module, port, options=options, snapshot=snapshot)
        server.config = self.place / f"{server.port}.conf"
        shutil.copyfile(CONFIG, server.config)
        return server


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    event: str
    kept: str        # how writes were made safe
    rto: float       # seconds
    rpo: float       # seconds of acknowledged writes that were lost
    lost: int
    of: int
    what: str = "writes"
    by_age: bool = False  # what is lost is as long as the copy is old, and the drill chose how old

    @classmethod
    def of_outcome(cls, event: str, kept: str, found: Outcome, by_age: bool = False) -> "Row":
        return cls(event, kept, found.resumed_seconds, found.lost_seconds, found.lost, found.acknowledged, by_age=by_age)


# ---- the primary dies -----------------------------------------------------------------------------------------------


def durable(fsync: str) -> dict[str, str]:
    return {"appendonly": "yes", "appendfsync": fsync, "repl-diskless-sync-delay": "0"}


@contextlib.contextmanager
def writing(plan: Plan, find: Callable[[], tuple[str, int]], replicas: int, ballast: int = 0, tag: str = "") -> Iterator[list[Writer]]:
    writers = [Writer(number, find, replicas, tag, ballast) for number in range(plan.writers)]
    try:
        for writer in writers:
            writer.start()
        yield writers
    finally:
        for writer in writers:
            writer.stop()


def under_load(plan: Plan, writers: list[Writer], seconds: float) -> None:
    """Lets them write for so long; every few seconds says how far they are."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 2))
        plan.say(f"{sum(len(writer.acknowledged) for writer in writers):,} writes acknowledged")


@contextlib.contextmanager
def stopped(server: Server) -> Iterator[None]:
    """The process does nothing until the end of the block."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def killed(server: Server) -> Kill:
    sent = time.monotonic()
    server.kill()
    return Kill(sent, time.monotonic())


def await_writes(plan: Plan, writers: list[Writer], kill: Kill) -> None:
    wait_for("writes to be taken again", lambda: resumed(writers, kill) is not None)
    plan.say(f"writes are taken again after {time.monotonic() - kill.sent:.1f} s")


def failover(plan: Plan, fsync: str, replicas: int, lag: float = 0) -> Row:
    """The primary is killed, Sentinel promotes a replica, the old primary comes back as a replica of it.

    With a `lag` the replicas have not read what came in the last so many seconds. A process that is killed leaves what it has
    sent in the kernel, which still delivers it; so each write then carries so much that most has to wait in the process."""
    with group(plan.start, plan.binary, durable(fsync), REPLICAS) as servers:
        primary = servers.servers[0]
        with primary.client() as client:
            prepare(client)
        with writing(plan, servers.find, replicas, BALLAST if lag else 0) as writers, contextlib.ExitStack() as asleep:
            under_load(plan, writers, plan.seconds)
            if lag:
                for server in servers.servers[1:]:
                    asleep.enter_context(stopped(server))
                under_load(plan, writers, lag)
            kill = killed(primary)
            asleep.close()
            plan.say("the primary is killed")
            await_writes(plan, writers, kill)
            under_load(plan, writers, plan.seconds)
        with servers.server_at(servers.find()[1]).client() as client:
            found = outcome(writers, client, kill)
        # It comes back as it was, a primary; Sentinel makes a replica of it. What it wrote into its file while it ran is
        # on the command line, too, and a module is loaded once.
        shutil.copyfile(CONFIG, primary.config)
        primary.restart()
        _all_alike(servers)
        plan.say("the old primary is back as a replica, and all hold the same")
    wait = f" and WAIT {replicas}" if replicas else ""
    event = f"the same, and the replicas were {lag:.0f} s behind" if lag else "the primary killed, a replica takes over"
    return Row.of_outcome(event, f"`appendfsync {fsync}`{wait}", found)


def _all_alike(servers: Group) -> None:
    """All but the primary follow it, and every key has the same content everywhere."""
    first = servers.server_at(servers.find()[1])

    def following(server: Server) -> bool:
        with server.client() as client:
            about = client.info("replication")
        with first.client() as client:
            ahead = client.info("replication")
        return bool(about["role"] == "slave" and about["master_port"] == first.port and about["master_link_status"] == "up"
                    and about["slave_repl_offset"] == ahead["master_repl_offset"])

    for server in servers.servers:
        if server is not first:
            wait_for("the others to follow the new primary", lambda server=server: following(server))
            compare(first, server)


def restart(plan: Plan, fsync: str) -> Row:
    """A server without replicas is killed and started again on what is on its disk."""
    with plan.start(durable(fsync)) as server:
        with server.client() as client:
            prepare(client)
        with writing(plan, lambda: ("127.0.0.1", server.port), 0) as writers:
            under_load(plan, writers, plan.seconds)
            kill = killed(server)
            server.restart()
            await_writes(plan, writers, kill)
            under_load(plan, writers, plan.seconds / 2)
        with server.client() as client:
            found = outcome(writers, client, kill)
    return Row.of_outcome("a server without replicas killed and started again", f"`appendfsync {fsync}`", found)


# ---- the machine is gone --------------------------------------------------------------------------------------------


def fill(client: redis.Redis, sketches: int) -> None:
    """Sketches of an archive's usual size, beside what the writers write; each has the elements of a first one and one more."""
    client.execute_command("HLL.ADD", "drill:filled", *range(ELEMENTS))
    with client.pipeline(transaction=False) as many:
        for number in range(sketches):
            many.execute_command("HLL.MERGE", f"drill:filled:{number}", "drill:filled")
            many.execute_command("HLL.ADD", f"drill:filled:{number}", f"only:{number}")
        many.execute()


def from_backup(plan: Plan) -> Row:
    """An RDB file that was copied away is loaded by a new server: what was written since it was begun is lost."""
    with tempfile.TemporaryDirectory(prefix="redis-hll-drill-") as place, contextlib.ExitStack() as stack:
        first = stack.enter_context(plan.start({}))
        ports = [first.port]
        with first.client() as client:
            prepare(client)
            fill(client, plan.sketches)
            with writing(plan, lambda: ("127.0.0.1", ports[0]), 0) as writers:
                under_load(plan, writers, plan.seconds / 2)
                copy = _copied_away(client, first, Path(place))
                plan.say(f"the file is copied away, {copy.stat().st_size:,} bytes")
                under_load(plan, writers, plan.seconds / 2)
                kill = killed(first)
                new = stack.enter_context(plan.start({}, copy))
                ports[0] = new.port
                await_writes(plan, writers, kill)
                under_load(plan, writers, plan.seconds / 2)
        with new.client() as client:
            found = outcome(writers, client, kill)
    return Row.of_outcome("the machine gone, an RDB file that was copied away loaded by a new server", "the file", found, by_age=True)


def _copied_away(client: redis.Redis, server: Server, place: Path) -> Path:
    client.bgsave()
    wait_for("the file", lambda: client.info("persistence")["rdb_bgsave_in_progress"] == 0)
    if client.info("persistence")["rdb_last_bgsave_status"] != "ok":
        raise ServerError("the server could not save")
    copy = place / "dump.rdb"
    shutil.copyfile(server.directory / "dump.rdb", copy)
    return copy


def from_archive(plan: Plan) -> Row:
    """Keys from the last archive are brought to a new server."""
    with tempfile.TemporaryDirectory(prefix="redis-hll-drill-") as place, contextlib.ExitStack() as stack:
        first = stack.enter_context(plan.start({}))
        with first.client() as client:
            fill(client, plan.sketches)
            prepare(client)
            taken = time.monotonic()
            caretaker("archive", "--url", url(first), "--keys", "drill:*", "--keep", "--to", place)
            (file,) = Path(place).glob("*.jsonl.gz")
            plan.say(f"archived, {file.stat().st_size:,} bytes")
            begin = time.monotonic()
            new = stack.enter_context(plan.start({}))
            caretaker("restore", "--url", url(new), str(file))
            took = time.monotonic() - begin
        compare(first, new)
        count = sum(1 for _ in archive.read(file))
    return Row("keys from the last archive restored to a new server", "the archive", took, begin - taken, 0, count, "keys", by_age=True)


def url(server: Server) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


def caretaker(*words: str) -> None:
    """As scripts/caretaker would run it; its lines are shown only where it does not end well."""
    options = parse(list(words))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = options.run(options)
    if status != 0:
        raise RuntimeError(f"caretaker {words[0]} ended with status {status}: {said.getvalue()[-500:]}")


def compare(first: Server, second: Server) -> None:
    """Raises RuntimeError unless both have the same keys with the same content."""
    with first.client() as a, second.client() as b:
        names = sorted(name for batch in keys(a, b"*") for name in batch)
        if names != sorted(name for batch in keys(b, b"*") for name in batch):
            raise RuntimeError("the servers do not have the same keys")
        for at in range(0, len(names), CHUNK):
            some = names[at:at + CHUNK]
            for name, kind in zip(some, kinds(a, some), strict=True):
                if content(a, name, kind) != content(b, name, kind):
                    raise RuntimeError(f"{name!r} is not the same on both servers")
