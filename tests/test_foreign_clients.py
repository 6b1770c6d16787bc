"""Client libraries of other languages: the programs of examples/node and examples/rust say on every server what it says, in both
protocols, and their clients of a cluster find the way for every subcommand of HLL.CLUSTER, whichever node has the first key."""

import asyncio
import itertools
import json
import os
import re
import subprocess

import pytest
import redis
import redis.asyncio
import valkey
import valkey.asyncio

import servers
from clusters import Cluster
from helpers import elements

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAMS = ["node-redis.mjs", "ioredis.mjs", "redis-rs"]


def prepared(what, result):
    """What scripts/lib.sh makes ready; a loud skip where this machine cannot have it."""
    done = subprocess.run(["bash", "-c", f'source scripts/lib.sh; {what}; echo "FOUND=${result}"'], cwd=ROOT, capture_output=True, text=True,
                          timeout=170)
    found = re.search(r"^FOUND=(.+)$", done.stdout, re.M)
    if done.returncode or not found:
        pytest.skip(f"{what}: {(done.stderr or done.stdout)[-300:]}")
    return found[1]


@pytest.fixture(scope="session")
def node():
    return prepared("need_node_clients", "NODE").split()


@pytest.fixture(scope="session")
def rust():
    return prepared("need_rust_client", "RUST_CLIENT").split()


@pytest.fixture(params=PROGRAMS)
def program(request, protocol):
    """What it answers on the server at this port: the questions and their answers, in order."""
    name = request.param
    if name == "redis-rs":
        line, directory = request.getfixturevalue("rust"), ROOT
    else:
        line, directory = [*request.getfixturevalue("node"), name], os.path.join(ROOT, "target", "node-clients")

    def answers(port, *words):
        done = subprocess.run([*line, f"redis://127.0.0.1:{port}", str(protocol), *words], cwd=directory, capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return [(answer["question"], answer["answer"]) for answer in found]
    return answers


def fields(reply):
    return {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}


def test_a_tour(server, program):
    answers = dict(program(server.port))
    c = server.client()
    found = fields(c("HLL.ESTIMATE", 2, "{tour}:mon", "{tour}:tue"))
    assert answers.pop("estimate") == near([float(found[name]) for name in ("estimate", "lower", "upper")])
    steps = map(fields, c("HLL.FUNNEL", 2, "{tour}:mon", "{tour}:tue"))
    assert leaves(answers.pop("funnel")) == near(leaves([[step["step"], step["users"], step["conversion"]] for step in steps]))
    assert answers.pop("export").encode() == c("HLL.EXPORT", "{tour}:tue", "BASE64")
    assert c("HLL.EXPORT", "{tour}:copy") == c("HLL.EXPORT", "{tour}:tue")
    assert answers.pop("copy") == c("HLL.COUNT", "{tour}:tue")
    assert answers == {"query": [["desktop", 1, 1, 0], ["mobile", 2, 3, 69.9]], "top": [["mobile", 2]]}


def leaves(reply):
    """All names and values of a reply in their order, whether they come in maps or in lists, as numbers where they are such."""
    if isinstance(reply, dict):
        return leaves(list(itertools.chain.from_iterable(reply.items())))
    if isinstance(reply, list):
        return [leaf for item in reply for leaf in leaves(item)]
    text = reply.decode() if isinstance(reply, bytes) else reply
    try:
        return [float(text)]
    except (TypeError, ValueError):
        return [text]


def near(found):
    """The same numbers; of a double one library reads the last binary digit otherwise than others."""
    return [pytest.approx(leaf, rel=1e-14, nan_ok=True) if isinstance(leaf, float) else leaf for leaf in found]


@pytest.fixture(scope="module")
def cluster_and_one(request):
    """A cluster of three primaries, and a server alone."""
    config = request.config
    name = list(config.hll_servers)[-1]
    started = []

    def start(name, options=None, build="release"):
        started.append(servers.Server(name, config.hll_servers[name], config.option.module, options).start())
        return started[-1]

    yield Cluster(start, name), start(name)
    for server in started:
        trouble = server.trouble()
        server.remove()
        assert trouble is None, trouble


def ask_and_compare(cluster, one, ask):
    """Keys of three nodes, each of them once the first of every subcommand: the answers are those of a server that has them all."""
    keys = [cluster.key_of(node) for node in cluster.primaries]
    for c in (cluster.client(), one.c):
        for place, key in enumerate(keys):
            c("DEL", key)
            for at in range(1000 * place, 1000 * place + 3000, 500):
                c("HLL.ADD", key, *elements(at, at + 500))
    answers = ask(cluster.primaries[0].port, keys)
    assert [question[0] for question, _ in answers] == len(keys) * SUBCOMMANDS
    for question, answer in answers:
        expected = one.c(f"HLL.{question[0]}", *question[1:])
        if question[0] == "MERGE":
            assert expected == "OK" and answer in ("OK", b"OK", True)
        else:
            assert leaves(answer) == near(leaves(expected)), question
    for key in keys:
        assert cluster.client()("HLL.EXPORT", key) == one.c("HLL.EXPORT", key)


SUBCOMMANDS = ["COUNT", "ESTIMATE", "INTERSECT", "SEGMENT", "OVERLAP", "FUNNEL", "RETENTION", "CAMPAIGN", "MERGE"]


def questions(keys):
    """What examples/node and examples/rust ask of a cluster."""
    for turn in range(len(keys)):
        a, b, c = [*keys[turn:], *keys[:turn]]
        yield from (("COUNT", a, b, c), ("ESTIMATE", 3, a, b, c), ("INTERSECT", 2, a, b), ("SEGMENT", "ALL", 1, a, "NONE", 1, b),
                    ("OVERLAP", 3, a, b, c), ("FUNNEL", 3, a, b, c), ("RETENTION", "COHORTS", 1, a, "PERIODS", 2, b, c),
                    ("CAMPAIGN", a, b, c), ("MERGE", a, b))


def asked_in_python(library, awaited, protocol, port, keys):
    """The same by a client of a cluster of redis-py or valkey-py that knows of the commands what the server tells."""
    options = {"host": "127.0.0.1", "port": port, "protocol": protocol}
    name = "RedisCluster" if library is redis else "ValkeyCluster"
    if not awaited:
        with getattr(library, name)(**options) as client:
            return [(question, client.execute_command("HLL.CLUSTER", *question)) for question in questions(keys)]

    async def run():
        client = getattr(library.asyncio, name)(**options)
        try:
            return [(question, await client.execute_command("HLL.CLUSTER", *question)) for question in questions(keys)]
        finally:
            await client.aclose()
    return asyncio.run(run())


@pytest.mark.parametrize("awaited", [False, True], ids=["waiting", "awaited"])
@pytest.mark.parametrize("library", [redis, valkey], ids=["redis-py", "valkey-py"])
def test_a_cluster_is_asked_in_python(cluster_and_one, library, awaited, protocol):
    ask_and_compare(*cluster_and_one, lambda port, keys: asked_in_python(library, awaited, protocol, port, keys))


def test_a_cluster_is_asked_by_programs(cluster_and_one, program):
    ask_and_compare(*cluster_and_one, lambda port, keys: program(port, "cluster", *keys))
