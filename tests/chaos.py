"""HLL.CLUSTER under everything that a cluster goes through, with an oracle that knows what every answer may be.

    scripts/chaos --server valkey-9.1 --seconds 300
    scripts/chaos --server valkey-9.1 --fault no-owner-check      must find something

**The oracle.** Every key has elements of its own, whose tokens no other element has, added in a fixed order by one writer; now and
then a key is deleted, and begins a new life with new elements. So what a key may hold is a list of states, (life, number of
elements), and its writer knows how far in the list the last acknowledged and the last begun change is. An answer is taken by MERGE
into a fresh key and EXPORT; it is exact, since all sketches stay small. Of each key it must hold exactly one of the states between
what was acknowledged before the call and what was begun before the answer. Two lives in one answer, a gap, an element too many or
too few are wrong answers. COUNT, SEGMENT, FUNNEL and RETENTION of keys that nobody changes run beside it and must be right to the
digit, in a second database too where clusters have one.

**What happens meanwhile** is in tests/nemeses.py: slots move and nodes are troubled (`--schedule moves`, the default), primaries are
replaced (`failover`), or replaced without the asker and the old primary hearing of it (`takeover`).

**Right** is: no wrong answer, no error but the documented ones, no server that dies, memory that does not grow, and of the questions
that were not asked while a node was stopped, killed, paused or busy, 99 % answered within a second. In five minutes or more also
10,000 answers and 1,000 moves, and at least 100 questions meanwhile for each kind of trouble.
"""

import argparse
import collections
import os
import queue
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))

import reference  # noqa: E402
from bus import Bus  # noqa: E402
from clusters import Cluster, slot_of  # noqa: E402
from nemeses import Gate, Nemeses  # noqa: E402
from resp import ReplyError  # noqa: E402
from servers import Server  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Ours are those of docs/commands/hll.cluster.md; the others are the server's own words to any command.
ALLOWED = ("TRYAGAIN HLL: ", "CLUSTERDOWN HLL: ", "MOVED ", "CLUSTERDOWN ", "UNBLOCKED ", "TRYAGAIN ", "BUSY ", "LOADING ", "MASTERDOWN ")
# Each fault and the schedule that finds it.
FAULTS = {"none": None, "no-owner-check": "moves", "no-end-check": "takeover", "half-kept": "moves", "old-fold-kept": "takeover",
          "attempts-mixed": "moves", "no-pause-check": "moves", "no-database": "moves", "work-in-receiver": "moves"}
SCHEDULES = ("moves", "failover", "takeover")
LONG = 300  # seconds from which on a run has to have done so much
MOST_GROWTH = 4 << 20  # bytes of a server's memory, from the first fifth of a run to the last


class Key:
    """A key, its lives and the states it may be in."""

    def __init__(self, name, taken):
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


def users(row):
    """That field of a flat list of names and values."""
    return float(row[row.index(b"users") + 1])


class Chaos:
    def __init__(self, options):
        self.options = options
        binary = os.path.join(ROOT, "target", "servers", options.server)
        module = options.module or os.path.join(ROOT, "target", options.build, "libredis_hll.so")
        self.calls = queue.Queue()
        self.servers, self.done, self.lock = [], threading.Event(), threading.Lock()
        self.bus = None if options.schedule == "failover" or options.no_bus else Bus()

        def start(name, server_options=None, build=None):
            self.servers.append(Server(name, binary, module, server_options).start())
            return self.servers[-1]

        self.databases = 2 if options.server == "valkey-9.1" else 1
        # With a file that writes go to: only then does a server that is paused end with one, and one that is killed keeps them. A busy
        # server looks at its connections soon and often.
        self.node_timeout = 15000 if options.schedule == "takeover" else 2000
        settings = {"appendonly": "yes", "appendfsync": "always", "busy-reply-threshold": 20, "hz": 100,
                    "loading-process-events-interval-bytes": 1024, "key-load-delay": 200}
        if options.schedule != "moves":
            settings["appendfsync"] = "everysec"
        if self.databases > 1:
            settings["cluster-databases"] = self.databases
        replicas = 0 if options.schedule == "moves" else 3
        self.cluster = Cluster(start, options.server, 3, replicas, settings, node_timeout=self.node_timeout, bus=self.bus)
        for node in self.cluster.nodes:
            self.set_up(node)
        self.asker = self.cluster.primaries[0]
        by_id = {self.cluster.ids[node]: node for node in self.cluster.nodes}
        self.home = [by_id[owner] for owner in self.cluster.owners()]
        self.has_yield = bool(self.asker.c("COMMAND", "INFO", "HLL.TEST.YIELD")[0])
        self.writers = Gate()
        self.taken, self.begun = {}, 0.0
        self.keys = [Key(f"k{i}", self.taken) for i in range(options.keys)]
        self.frozen = [f"frozen{i}" for i in range(12)]
        self.moving = sorted({slot_of(key.name) for key in self.keys} | {slot_of(key) for key in self.frozen})
        self.still = [f"still{i}" for i in range(200) if slot_of(f"still{i}") not in self.moving][:12]
        self.fill()
        self.wrong, self.errors, self.failed = [], collections.Counter(), []
        self.questions = []  # (begin, end, whether it was answered)
        self.memory = collections.defaultdict(list)
        self.nemeses = Nemeses(self)

    def set_up(self, node):
        """What a node is told that has been started."""
        client = node.client()
        client("CONFIG", "SET", "hll.cluster-timeout", 1000 if self.options.schedule == "moves" else 10000)
        client("CONFIG", "SET", "hll.default-precision", 18)
        if self.options.fault != "none":
            client("CONFIG", "SET", "hll.test-cluster-fault", self.options.fault)

    def fill(self):
        """Keys that stay as they are; those that bring a question to a node have all of their elements."""
        for database in range(self.databases):
            ranges = {key: range(i * 20, i * 20 + 100 + database) for i, key in enumerate(self.frozen if database == 0 else self.still)}
            ranges |= {self.own_key(node): range(320 + database) for node in self.cluster.primaries}
            for key, elements in ranges.items():
                client = self.home[slot_of(key)].client()
                if database:
                    client("SELECT", database)
                client("HLL.ADD", key, *[f"f{j}" for j in elements])
                client.close()

    # Who writes

    def write(self, mine, seed):
        rng, clients = random.Random(seed), {}
        routed = self.cluster.client()
        while not self.done.is_set():
            key = rng.choice(mine)
            life, count = key.states[-1]
            deleted = count > 150 or count > 0 and rng.random() < 0.1
            state = (life + 1, 0) if deleted else (life, count + 1)
            command = ("DEL", key.name) if deleted else ("HLL.ADD", key.name, key.element(life, count))
            key.states.append(state)
            while not self.done.is_set():
                try:
                    with self.writers.through():
                        if self.options.schedule == "takeover":
                            node = self.home[slot_of(key.name)]
                            if node not in clients:
                                clients[node] = node.client()
                            clients[node](*command)
                        else:
                            routed(*command)
                    # What only one server has, a failover may lose.
                    if self.options.schedule == "failover" and routed.last("WAIT", 1, 1000) < 1:
                        continue
                    key.acknowledged = len(key.states) - 1
                    break
                except (ReplyError, OSError, ValueError, AssertionError, StopIteration):
                    routed, clients = self.cluster.client(), {}
                    time.sleep(0.01)
            time.sleep(0.001)

    # Who asks

    def own_key(self, node):
        """One whose slot never moves."""
        return next(key for i in range(100000) if slot_of(key := f"own{i}") not in self.moving and self.home[slot_of(key)] is node)

    def ask(self, node, seed):
        rng, own, n = random.Random(seed), self.own_key(node), 0
        client = None
        while not self.done.is_set():
            n += 1
            begin, answered = time.monotonic(), False
            try:
                if client is None:
                    client = node.client(timeout=30)
                if rng.random() < 0.02:
                    with self.nemeses.noted("clients that leave", disturbs=False):
                        leaver = node.client()
                        leaver.send("HLL.CLUSTER", "COUNT", own, *[key.name for key in self.keys])
                        leaver.close()
                if n % 3 == 0:
                    self.ask_frozen(client, own, rng)
                else:
                    self.ask_moving(client, f"{{{own}}}{seed}:{n}")
                answered = True
            except ReplyError as error:
                with self.lock:
                    self.errors[error.text.split(", ")[0][:60]] += 1
                if not error.text.startswith(ALLOWED):
                    self.wrong.append(f"an error that is not documented: {error.text}")
            except (OSError, ValueError):
                client = None
                if not any(what in ("stop", "kill") for what, *_ in self.nemeses.times[-1:]) and not node.alive:
                    time.sleep(0.5)  # it may be about to be started again
            with self.lock:
                self.questions.append((begin, time.monotonic(), answered))
            if not answered:
                time.sleep(0.005)

    def ask_once(self, node, name):
        """One more client, with one question."""
        client = node.client(timeout=30)
        try:
            self.ask_moving(client, f"{{{self.own_key(node)}}}{name}")
        except ReplyError as error:
            if not error.text.startswith(ALLOWED):
                self.wrong.append(f"an error that is not documented: {error.text}")
        finally:
            client.close()

    def ask_frozen(self, client, own, rng):
        database = rng.randrange(self.databases)
        keys = self.still if database else self.frozen
        if self.databases > 1:
            client("SELECT", database)
        try:
            size = 100 + database
            self.expect("COUNT", client("HLL.CLUSTER", "COUNT", own, *keys), 11 * 20 + size)
            segment = client("HLL.CLUSTER", "SEGMENT", "ALL", 2, own, keys[5], "ANY", 1, keys[3])
            self.expect("SEGMENT", float(segment[1]), size - 40)
            funnel = client("HLL.CLUSTER", "FUNNEL", 4, own, keys[3], keys[4], keys[5])
            self.expect("FUNNEL", [users(row) for row in funnel], [320 + database, size, size - 20, size - 40])
            table = client("HLL.CLUSTER", "RETENTION", "COHORTS", 2, own, keys[7], "PERIODS", 2, keys[8], keys[10])
            cells = [[users(cell) for cell in row[row.index(b"periods") + 1]] for row in table]
            self.expect("RETENTION", cells, [[size, size], [size - 20, size - 60]])
        finally:
            if database:
                client("SELECT", 0)

    def expect(self, what, found, wanted):
        if found != wanted:
            self.wrong.append(f"{what} of keys that do not change: {found}, not {wanted}")

    def ask_moving(self, client, destination):
        before = [key.acknowledged for key in self.keys]
        client("HLL.CLUSTER", "MERGE", destination, *[key.name for key in self.keys])
        after = [len(key.states) for key in self.keys]
        payload = client("HLL.EXPORT", destination)
        client("DEL", destination)
        found = {}
        for token in reference.read_sketch(payload).tokens if payload else ():
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

    # The run

    def threads(self):
        make, seed = (lambda call, *arguments: threading.Thread(target=self.guarded, args=(call, *arguments))), self.options.seed
        threads = [make(self.write, self.keys[i::2], seed + i) for i in range(2)]
        nemeses = self.nemeses
        if self.options.schedule == "moves":
            threads += [make(self.ask, node, seed + 10 + i) for i, node in enumerate(self.cluster.primaries)]
            threads += [make(nemeses.move, self.moving[i::4], seed + 20 + i, self.options.server == "valkey-9.1" and i == 0) for i in range(4)]
            return [*threads, make(nemeses.trouble, seed + 30), make(nemeses.blows, seed + 31)]
        threads += [make(self.ask, self.asker, seed + 10 + i) for i in range(6)]
        return [*threads, make(nemeses.replace_primaries if self.options.schedule == "failover" else nemeses.take_over, seed + 20)]

    def run(self):
        threads = self.threads()
        self.begun = time.monotonic()
        for thread in threads:
            thread.start()
        end = self.begun + self.options.seconds
        while time.monotonic() < end and not self.failed and not self.wrong:
            self.serve_threads(0.5)
            self.look_at_memory()
            self.wrong += filter(None, (server.trouble() for server in self.servers))
        took = time.monotonic() - self.begun
        self.done.set()
        end = time.monotonic() + 60
        while any(thread.is_alive() for thread in threads) and time.monotonic() < end:
            self.serve_threads(0.1)
        return self.report(took)

    def in_main_thread(self, call):
        """Has this called there: a server that another thread has started ends with that thread."""
        called = threading.Event()
        self.calls.put((call, called))
        assert called.wait(60), "the main thread has not called it"

    def serve_threads(self, seconds):
        try:
            call, called = self.calls.get(timeout=seconds)
        except queue.Empty:
            return
        try:
            call()
        except Exception as error:  # told with all others
            self.failed.append(repr(error)[:300])
        called.set()

    def look_at_memory(self):
        for node in self.cluster.nodes:
            try:
                client = node.client(timeout=1)
                self.memory[node].append(int(node.info(client, "memory")["used_memory"]))
                client.close()
            except (OSError, ReplyError):
                continue

    def guarded(self, call, *arguments):
        try:
            call(*arguments)
        except Exception as error:  # told by the main thread
            if not self.done.is_set() or call.__name__ == "blows":
                self.failed.append(f"{call.__name__}: {error!r}")

    def growth(self):
        """Of each server's memory, between the middle of its first fifth and that of the last."""
        grown = [0]
        for sizes in self.memory.values():
            part = len(sizes) // 5
            if part >= 5:
                grown.append(sorted(sizes[-part:])[part // 2] - sorted(sizes[:part])[part // 2])
        return max(grown)

    def whereabouts(self, name):
        """What each node says of a key: whether it has it, and how it would answer."""
        said = []
        for node in self.cluster.nodes:
            try:
                client = node.client(timeout=5)
                there = name.encode() in client("CLUSTER", "GETKEYSINSLOT", slot_of(name), 1000)
                marks = [word for word in client("CLUSTER", "NODES").decode().split() if word.startswith(f"[{slot_of(name)}-")]
                said.append(f"{node.port} {'has it' if there else 'has it not'} {marks} and answers {self.answer_of(client, name)}")
            except (OSError, ReplyError) as error:
                said.append(f"{node.port}: {error}")
        return f"{name} (slot {slot_of(name)}): {'; '.join(said)}"

    @staticmethod
    def answer_of(client, name):
        try:
            return client("HLL.COUNT", name)
        except ReplyError as error:
            return error.text

    def report(self, took):
        for server in self.servers:
            trouble = server.trouble()
            if trouble or not server.alive:
                self.wrong.append(trouble or f"{server} has died")
        disturbed = sorted((begin, end) for _, begin, end, disturbs in self.nemeses.times if disturbs)

        def is_calm(question):
            return not any(begin < question[1] and question[0] < end for begin, end in disturbed)

        times = sorted(end - begin for begin, end, answered in self.questions if answered) or [0]
        calm = [question for question in self.questions if is_calm(question)]
        prompt = sum(answered and end - begin <= 1 for begin, end, answered in calm) / (len(calm) or 1)
        during = collections.Counter()
        for what, begin, end, _ in self.nemeses.times:
            if what not in ("moves", "clients that leave"):
                during[what] += sum(begin < done and asked < end for asked, done, _ in self.questions)
        answers, growth, moves = sum(answered for *_, answered in self.questions), self.growth(), self.nemeses.moves
        print(f"{self.options.server}, {self.options.schedule}, fault {self.options.fault}, seed {self.options.seed}, {took:.0f} s: {answers:,} answers, "
              f"{len(self.wrong)} wrong, {moves:,} {'moves' if self.options.schedule == 'moves' else 'takeovers'}; median "
              f"{times[len(times) // 2] * 1000:.1f} ms, 99 % within {times[len(times) * 99 // 100] * 1000:.0f} ms; of {len(calm):,} questions "
              f"in calm {prompt * 100:.2f} % answered within 1 s; memory grew by {growth / 1e6:.1f} MB")
        print(f"    questions during: {', '.join(f'{what} {number:,}' for what, number in sorted(during.items())) or 'nothing else'}")
        print(f"    errors: {dict(self.errors) or 'none'}; on the bus: {self.bus.counts() if self.bus else 'no proxies'}")
        for line in self.wrong[:5] + self.failed[:5]:
            print("   ", line)
        if self.options.fault == "none" and (self.wrong or self.failed):
            if self.wrong and self.wrong[0].split(":")[0] in (key.name for key in self.keys):
                print("   ", self.whereabouts(self.wrong[0].split(":")[0]))
            for server in self.servers:
                lines = server.log().splitlines() if server.trouble() else []
                at = next((i for i, line in enumerate(lines) if "BUG REPORT" in line), len(lines))
                print("\n".join(f"    | {line}" for line in lines[max(0, at - 10):at + 45]))
        if self.options.fault != "none":
            return bool(self.wrong)
        short = []
        if self.options.schedule == "moves" and prompt < 0.99:
            short.append("less than 99 % of the questions in calm were answered within a second")
        if growth > MOST_GROWTH:
            short.append("memory grew")
        if self.options.schedule == "moves" and self.options.seconds >= LONG:
            short += [f"{what}: {number}, wanted are {wanted}" for what, number, wanted in
                      [("answers", answers, 10_000), ("moves", moves, 1_000), *((f"questions during {w}", n, 100) for w, n in during.items())]
                      if number < wanted]
        for line in short:
            print("    too little:", line)
        return not self.failed and not self.wrong and not short

    def close(self):
        for server in self.servers:
            server.remove()
        if self.bus:
            self.bus.close()


def main():
    parser = argparse.ArgumentParser(description="HLL.CLUSTER while slots move, servers pause and primaries die: every answer is checked.")
    parser.add_argument("--server", default="valkey-9.1", help="a name of scripts/servers")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--fault", choices=list(FAULTS), default="none", help="what is wrong on purpose, and has to be found")
    parser.add_argument("--schedule", choices=SCHEDULES, help="what happens (default: moves, or what finds the fault)")
    parser.add_argument("--calm", type=float, default=0.6, help="most seconds between two short troubles; ten times that is between long ones")
    parser.add_argument("--no-bus", action="store_true", help="nodes talk to each other directly")
    parser.add_argument("--build", choices=["release", "checked"], help="of the module (default: release, or checked where it must be)")
    parser.add_argument("--module", help="the module itself, in place of a build")
    options = parser.parse_args()
    options.schedule = options.schedule or FAULTS[options.fault] or "moves"
    options.build = options.build or ("release" if options.fault == "none" and options.schedule != "takeover" else "checked")
    if options.fault == "no-database" and options.server != "valkey-9.1":
        parser.error("only clusters of Valkey 9 have more than one database")
    chaos = Chaos(options)
    try:
        good = chaos.run()
    finally:
        chaos.close()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
