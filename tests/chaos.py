"""HLL.CLUSTER under everything that a cluster goes through, with an oracle that knows what every answer may be.

    scripts/chaos --server valkey-9.1 --seconds 300
    scripts/chaos --server valkey-9.1 --fault no-owner-check      must find something

**The oracle.** Every key has elements of its own, whose tokens no other element has, added in a fixed order by one writer; now and
then a key is deleted, and begins a new life with new elements. So what a key may hold is a list of states, (life, number of
elements), and its writer knows how far in the list the last acknowledged and the last begun change is. An answer is taken by MERGE
into a fresh key and EXPORT; it is exact, since all sketches stay small. Of each key it must hold exactly one of the states between
what was acknowledged before the call and what was begun before the answer. Two lives in one answer, a gap, an element too many or
too few are wrong answers. COUNT and SEGMENT of keys that nobody changes run beside it and
must be right to the digit.

**What happens meanwhile.** Slots with these keys move to and fro, key by key with pauses, one in five only begun and given up; on
Valkey 9 also whole ranges at once; busy scripts; CLIENT PAUSE; clients that leave; with --failover, primaries that are stopped until a
replica has taken over, with questions in their sockets.
"""

import argparse
import collections
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))

import reference  # noqa: E402
from clusters import Cluster, slot_of  # noqa: E402
from resp import ReplyError  # noqa: E402
from servers import Server, wait_for  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ALLOWED = ("TRYAGAIN HLL: ", "CLUSTERDOWN HLL: ", "MOVED ", "CLUSTERDOWN ", "UNBLOCKED ", "TRYAGAIN ")
FAULTS = ["none", "no-owner-check", "no-end-check", "half-kept", "no-pause-check"]


class Key:
    """A key, its lives and the states it may be in."""

    def __init__(self, name, taken, rng):
        self.name, self.states, self.acknowledged = name, [(0, 0)], 0
        self.lives, self.taken = [], taken

    def element(self, life, i):
        while life >= len(self.lives):
            self.lives.append([])
        elements = self.lives[life]
        while i >= len(elements):
            n = 0
            while (token := reference.token(reference.hashes([f"{self.name}:{life}:{len(elements)}:{n}"])[0])) in self.taken:
                n += 1
            self.taken[token] = (self.name, life, len(elements))
            elements.append(f"{self.name}:{life}:{len(elements)}:{n}")
        return elements[i]


class Chaos:
    def __init__(self, options):
        self.options, self.rng = options, random.Random(options.seed)
        binary = os.path.join(ROOT, "target", "servers", options.server)
        build = "release" if options.fault == "none" else "checked"
        module = options.module or os.path.join(ROOT, "target", build, "libredis_hll.so")
        self.servers = []

        def start(name, server_options=None, build=None):
            self.servers.append(Server(name, binary, module, server_options).start())
            return self.servers[-1]

        # With a file that writes go to: only then does a server that is paused end with one.
        self.cluster = Cluster(start, options.server, 3, 3 if options.failover else 0, {"appendonly": "yes"}, node_timeout=1000)
        for node in self.cluster.nodes:
            node.c("CONFIG", "SET", "hll.cluster-timeout", 10000 if options.failover else 1000)
            if options.fault != "none":
                node.c("CONFIG", "SET", "hll.test-cluster-fault", options.fault)
            node.c("CONFIG", "SET", "hll.default-precision", 18)
        self.taken, self.done = {}, threading.Event()
        self.keys = [Key(f"k{i}", self.taken, self.rng) for i in range(options.keys)]
        self.frozen = [f"frozen{i}" for i in range(12)]
        routed = self.cluster.client()
        for i, key in enumerate(self.frozen):
            routed("HLL.ADD", key, *[f"f{j}" for j in range(i * 20, i * 20 + 100)])
        self.moving = sorted({slot_of(key.name) for key in self.keys} | {slot_of(key) for key in self.frozen})
        self.wrong, self.errors, self.times = [], collections.Counter(), []
        self.answers = self.moves = self.clients_gone = 0
        self.lock = threading.Lock()
        self.failed = []

    # Who writes

    def write(self, mine, seed):
        rng, client = random.Random(seed), self.cluster.client()
        while not self.done.is_set():
            key = rng.choice(mine)
            life, count = key.states[-1]
            deleted = count > 150 or count > 0 and rng.random() < 0.02
            state = (life + 1, 0) if deleted else (life, count + 1)
            command = ("DEL", key.name) if deleted else ("HLL.ADD", key.name, key.element(life, count))
            key.states.append(state)
            while not self.done.is_set():
                try:
                    client(*command)
                    # What only one server has, a failover may lose.
                    if self.options.failover and client.last("WAIT", 1, 1000) < 1:
                        continue
                    key.acknowledged = len(key.states) - 1
                    break
                except (ReplyError, OSError, StopIteration):
                    client = self.cluster.client()
                    time.sleep(0.01)
            time.sleep(0.001)

    # Who asks

    def own_key(self, node):
        """One whose slot never moves."""
        return next(key for i in range(100000) if slot_of(key := f"own{i}") not in self.moving and self.home[slot_of(key)] == node)

    def ask(self, node, seed):
        rng, own, n = random.Random(seed), self.own_key(node), 0
        client = node.client(timeout=20)
        while not self.done.is_set():
            n += 1
            begin = time.monotonic()
            try:
                if rng.random() < 0.02:
                    leaver = node.client()
                    leaver.send("HLL.CLUSTER", "COUNT", own, *[key.name for key in self.keys])
                    leaver.close()
                    self.clients_gone += 1
                if n % 3 == 0:
                    self.ask_frozen(client, own)
                else:
                    self.ask_moving(client, f"{{{own}}}{seed}:{n}")
                with self.lock:
                    self.answers += 1
                    self.times.append(time.monotonic() - begin)
            except ReplyError as error:
                with self.lock:
                    self.errors[error.text.split(", ")[0][:60]] += 1
                if not error.text.startswith(ALLOWED):
                    self.wrong.append(f"an error that is not documented: {error.text}")
            except OSError:
                if not self.done.is_set() and not node.alive:
                    self.wrong.append(f"{node} has died")
                    return
                client = node.client(timeout=20)

    def ask_frozen(self, client, own):
        count = client("HLL.CLUSTER", "COUNT", own, *self.frozen)
        if count != 11 * 20 + 100:
            self.wrong.append(f"COUNT of keys that do not change: {count}")
        segment = client("HLL.CLUSTER", "SEGMENT", "ANY", 2, own, self.frozen[3], "ALL", 1, self.frozen[5])
        if float(segment[1]) != 60:
            self.wrong.append(f"SEGMENT of keys that do not change: {segment}")

    def ask_moving(self, client, destination):
        before = [key.acknowledged for key in self.keys]
        client("HLL.CLUSTER", "MERGE", destination, *[key.name for key in self.keys])
        after = [len(key.states) for key in self.keys]
        payload = client("HLL.EXPORT", destination)
        client("DEL", destination)
        found = {}
        for token in reference.read_sketch(payload).tokens:
            name, life, i = self.taken[token]
            found.setdefault(name, []).append((life, i))
        for key, low, high in zip(self.keys, before, after):
            elements = sorted(found.get(key.name, []))
            lives = {life for life, _ in elements}
            whole = len(lives) <= 1 and [i for _, i in elements] == list(range(len(elements)))
            possible = key.states[low:high]
            state = (lives.pop(), len(elements)) if len(lives) == 1 else None
            empty = not elements and any(count == 0 for _, count in possible)
            if not whole or not (empty or state in possible):
                self.wrong.append(f"{key.name}: {elements[:3]}... ({len(elements)}), possible {possible[0]} to {possible[-1]}")

    # What happens meanwhile

    def move(self, seed):
        rng = random.Random(seed)
        primaries = self.cluster.primaries
        clients = {node: node.client() for node in primaries}
        where = {slot: next(node for node in primaries if self.cluster.ids[node] == self.home_ids[slot]) for slot in self.moving}
        while not self.done.is_set():
            slot = rng.choice(self.moving)
            source = where[slot]
            target = rng.choice([node for node in primaries if node is not source])
            try:
                clients[target]("CLUSTER", "SETSLOT", slot, "IMPORTING", self.cluster.ids[source])
                clients[source]("CLUSTER", "SETSLOT", slot, "MIGRATING", self.cluster.ids[target])
                if rng.random() < 0.2:
                    for node in (source, target):
                        clients[node]("CLUSTER", "SETSLOT", slot, "STABLE")
                    continue
                while keys := clients[source]("CLUSTER", "GETKEYSINSLOT", slot, 10):
                    for key in keys:
                        clients[source]("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)
                        time.sleep(rng.random() * 0.004)
                for node in (target, source, *primaries):
                    clients[node]("CLUSTER", "SETSLOT", slot, "NODE", self.cluster.ids[target])
                where[slot] = target
                self.moves += 1
            except ReplyError as error:
                if "BUSY" not in error.text and "paused" not in error.text.lower():
                    self.failed.append(f"a move failed: {error.text}")
                time.sleep(0.05)
            time.sleep(rng.random() * 0.01)

    def trouble(self, seed):
        rng = random.Random(seed)
        clients = {node: node.client() for node in self.cluster.primaries}
        while not self.done.is_set():
            time.sleep(rng.random() * 0.6)
            node = rng.choice(self.cluster.primaries)
            if rng.random() < 0.5:
                clients[node]("CLIENT", "PAUSE", 60, "WRITE")
            else:
                clients[node]("EVAL", "local n = 0; for i = 1, tonumber(ARGV[1]) do n = n + 1 end; return n", 0, 4000000)

    def stop_primaries(self, seed):
        """A primary is stopped until a replica has taken over, and goes on after the keys were written there."""
        rng = random.Random(seed)
        while not self.done.is_set():
            owners = set(self.cluster.owners(self.asker))
            primaries = [node for node in self.cluster.nodes if self.cluster.ids[node] in owners and node is not self.asker]
            victim = rng.choice(primaries)
            victim.process.send_signal(signal.SIGSTOP)
            try:
                wait_for("a replica to take over", lambda: self.cluster.ids[victim] not in self.cluster.owners(self.asker), seconds=30)
                time.sleep(0.3)
            finally:
                victim.process.send_signal(signal.SIGCONT)
            self.moves += 1
            wait_for("the old primary to follow", lambda: victim.info(section="replication").get("master_link_status") == "up", seconds=60)
            time.sleep(1.0)

    def run(self):
        owners = self.cluster.owners()
        self.home_ids = owners
        self.home = [next((node for node in self.cluster.nodes if self.cluster.ids[node] == owner), None) for owner in owners]
        self.asker = self.cluster.primaries[0]
        threads = [threading.Thread(target=self.guarded, args=(self.write, self.keys[i::2], i)) for i in range(2)]
        if self.options.failover:
            threads += [threading.Thread(target=self.guarded, args=(self.ask, self.asker, 10 + i)) for i in range(4)]
            threads += [threading.Thread(target=self.guarded, args=(self.stop_primaries, 20))]
        else:
            threads += [threading.Thread(target=self.guarded, args=(self.ask, node, 10 + i)) for i, node in enumerate(self.cluster.primaries)]
            threads += [threading.Thread(target=self.guarded, args=(self.move, 20)), threading.Thread(target=self.guarded, args=(self.trouble, 30))]
        for thread in threads:
            thread.start()
        end = time.monotonic() + self.options.seconds
        while time.monotonic() < end and not self.failed and not (self.options.fault != "none" and self.wrong):
            time.sleep(0.2)
        self.done.set()
        for thread in threads:
            thread.join(60)
        return self.report()

    def guarded(self, call, *arguments):
        try:
            call(*arguments)
        except Exception as error:  # told by the main thread
            if not self.done.is_set():
                self.failed.append(f"{call.__name__}: {error!r}")

    def report(self):
        for server in self.servers:
            trouble = server.trouble()
            if trouble or not server.alive:
                self.wrong.append(trouble or f"{server} has died")
        times = sorted(self.times) or [0]
        late = sum(t > 1 for t in times)
        print(f"{self.options.server}, fault {self.options.fault}, seed {self.options.seed}: {self.answers} answers, {len(self.wrong)} wrong, "
              f"{self.moves} {'takeovers' if self.options.failover else 'moves'}, {self.clients_gone} clients left; errors {dict(self.errors)}; "
              f"median {times[len(times) // 2] * 1000:.1f} ms, 99 % within {times[len(times) * 99 // 100] * 1000:.0f} ms, {late} later than 1 s")
        for line in self.wrong[:5] + self.failed[:5]:
            print("   ", line)
        if self.options.fault != "none":
            return bool(self.wrong)
        return not self.failed and not self.wrong


def main():
    parser = argparse.ArgumentParser(description="HLL.CLUSTER while slots move, servers pause and primaries die: every answer is checked.")
    parser.add_argument("--server", default="valkey-9.1")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--keys", type=int, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--fault", choices=FAULTS, default="none", help="what is wrong on purpose, and has to be found")
    parser.add_argument("--failover", action="store_true", help="primaries are stopped until a replica takes over, instead of moving slots")
    parser.add_argument("--module", help="the module (default: target/release, or target/checked where something is to be wrong)")
    chaos = Chaos(parser.parse_args())
    try:
        good = chaos.run()
    finally:
        for server in chaos.servers:
            server.remove()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
