"""A bad network between the nodes of a cluster: every message of the bus goes through here.

Each node announces the port of a proxy of its own in place of its bus port (`cluster-announce-bus-port`), so that the others
connect to that. The proxy knows where messages begin and end: a head of `RCmb`, the length of the whole as four bytes, most
significant first, and the kind at byte 12. So it can lose or repeat a whole message, delay it, or cut the connection; and it can
hold back everything but messages of modules on their way to a node, which then goes on talking to the others without hearing
who owns what.

The proxies run in a process of their own, so that they wait for nobody. `Bus` is what tests hold of it.
"""

import asyncio
import collections
import json
import os
import random
import subprocess
import sys

MODULE = 9
KIND_BITS = 0x3FFF  # Valkey marks messages with a short head in the other two
SENDER = slice(40, 80)
LONGEST = 1 << 28


class Bus:
    """The proxies of a cluster's nodes."""

    def __init__(self):
        from servers import _die_with_parent

        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, preexec_fn=_die_with_parent)

    def tell(self, **command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer

    def stand_before(self, node):
        """Opens a proxy before the node's bus port and has the node announce it. Its port."""
        port = self.tell(do="open", to=node.port + 10000)["port"]
        node.c("CONFIG", "SET", "cluster-announce-bus-port", port)
        node.options["cluster-announce-bus-port"] = port  # for when it is started again
        node.bus_port = port
        return port

    def weather(self, lost=0.0, repeated=0.0, delay=0.0, cut=0.0):
        """Shares of the modules' messages that are lost and repeated; up to so many seconds by which any message is late; the share
        of messages after which the connection is cut."""
        self.tell(do="weather", lost=lost, repeated=repeated, delay=delay, cut=cut)

    def hold(self, node, name):
        """Holds back what is on its way to the node of this name, but for messages of modules."""
        self.tell(do="hold", port=node.bus_port, name=name)

    def release(self, node, name):
        """Lets all go that was held back, and what comes."""
        self.tell(do="release", port=node.bus_port, name=name)

    def counts(self):
        """Messages: passed, lost, repeated; connections cut."""
        return self.tell(do="counts")["counts"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Network:
    """What is true of all connections."""

    def __init__(self):
        self.weather = {"lost": 0.0, "repeated": 0.0, "delay": 0.0, "cut": 0.0}
        self.held = set()  # ports of proxies and names of nodes
        self.changed = asyncio.Condition()
        self.rng = random.Random(os.getpid())
        self.counts = collections.Counter()
        self.tasks = set()

    def start(self, coroutine):
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def open(self, to):
        async def connected(reader, writer):
            await Connection(self, server.sockets[0].getsockname()[1]).run(reader, writer, to)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        return server.sockets[0].getsockname()[1]

    async def change(self, hold, command):
        async with self.changed:
            (self.held.update if hold else self.held.difference_update)({command["port"], command["name"]})
            self.changed.notify_all()

    async def obey(self, command):
        what = command.pop("do")
        if what == "open":
            return {"port": await self.open(command["to"])}
        if what == "weather":
            self.weather = command
        elif what in ("hold", "release"):
            await self.change(what == "hold", command)
        return {"counts": dict(self.counts)}


class Connection:
    """One connection from a node to another's bus port, through the proxy at `port`."""

    def __init__(self, network, port):
        self.network, self.port, self.caller = network, port, None

    async def run(self, reader, writer, to):
        try:
            there, back = await asyncio.open_connection("127.0.0.1", to)
        except OSError:
            writer.close()
            return
        tasks = []
        for source, sink, forth in ((reader, back, True), (there, writer, False)):
            lanes = {kind: asyncio.Queue() for kind in (True, False)}
            tasks += [self.network.start(self.read(source, lanes, forth))]
            tasks += [self.network.start(self.write(lane, sink, forth, is_module)) for is_module, lane in lanes.items()]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        writer.close()
        back.close()

    async def read(self, source, lanes, forth):
        network = self.network
        try:
            while True:
                head = await source.readexactly(16)
                length = int.from_bytes(head[4:8], "big")
                if head[:4] != b"RCmb" or not 16 <= length <= LONGEST:
                    return
                frame = head + await source.readexactly(length - 16)
                is_module = int.from_bytes(head[12:14], "big") & KIND_BITS == MODULE
                if forth and self.caller is None and length > 2000:
                    self.caller = frame[SENDER].decode(errors="replace")
                weather, draw = network.weather, network.rng.random
                if draw() < weather["cut"]:
                    network.counts["cut"] += 1
                    return
                copies = 1
                if is_module and draw() < weather["lost"]:
                    copies = 0
                    network.counts["lost"] += 1
                elif is_module and draw() < weather["repeated"]:
                    copies = 2
                    network.counts["repeated"] += 1
                network.counts["passed"] += 1
                due = asyncio.get_running_loop().time() + draw() * weather["delay"]
                for _ in range(copies):
                    lanes[is_module].put_nowait((due, frame))
        except (OSError, asyncio.IncompleteReadError):
            return

    def is_held(self, forth):
        """Whether what goes this way is on its way to a node that is not to hear it."""
        return (self.port if forth else self.caller) in self.network.held

    async def write(self, lane, sink, forth, is_module):
        network = self.network
        try:
            while True:
                due, frame = await lane.get()
                late = due - asyncio.get_running_loop().time()
                if late > 0:
                    await asyncio.sleep(late)
                if not is_module and self.is_held(forth):
                    async with network.changed:
                        await network.changed.wait_for(lambda: not self.is_held(forth))
                sink.write(frame)
                await sink.drain()
        except OSError:
            return


async def main():
    network, loop = Network(), asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        try:
            answer = await network.obey(json.loads(line))
        except Exception as error:  # told to whoever asked
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
