"""A cluster of two nodes, by both libraries: keys of every command are found, binary ones too, and errors say what is wrong."""

import importlib

import pytest
from servers import wait_for

from redis_hll import HLL, AsyncHLL, CrossSlot, HLLError

BEGIN = 1_772_409_600_000
SLOTS = 16_384


@pytest.fixture
def nodes(start, server_name):
    first, second = (start(server_name, {"cluster-enabled": "yes", "cluster-node-timeout": "2000"}) for _ in range(2))
    first.c("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS // 2 - 1)
    second.c("CLUSTER", "ADDSLOTSRANGE", SLOTS // 2, SLOTS - 1)
    second.c("CLUSTER", "SET-CONFIG-EPOCH", 2)
    first.c("CLUSTER", "MEET", "127.0.0.1", second.port)
    for node in (first, second):
        wait_for("the cluster", lambda node=node: b"cluster_state:ok" in node.c("CLUSTER", "INFO")
                 and b"cluster_known_nodes:2" in node.c("CLUSTER", "INFO"))
    return first


@pytest.fixture(params=["redis", "valkey"])
def library(request):
    return request.param


def client(library, port, kind="Cluster", decode=False):
    module = importlib.import_module(f"{library}.asyncio.cluster" if kind == "Async" else f"{library}.cluster")
    return getattr(module, f"{library.capitalize()}Cluster")(host="127.0.0.1", port=port, decode_responses=decode)


def keys(slot):
    """Two binary keys of one slot."""
    return [b"\xff{%d}a" % slot, b"\xfe{%d}b" % slot]


@pytest.mark.parametrize("decode", [False, True], ids=["bytes", "decoded"])
def test_waiting(nodes, library, decode):
    hll = HLL(client(library, nodes.port, decode=decode), strict=True)
    for slot in range(6):  # on both nodes
        a, b = keys(slot)
        hll.add_many(a, range(100))
        hll.add_many_to((b, number) for number in range(50, 150))
        assert hll.count(a, b) == 150 and hll.estimate(a, b).estimate == pytest.approx(150, abs=0.01)
        assert round(hll.intersect(a, b).estimate) == 50
        assert [round(step.users.estimate) for step in hll.funnel(a, b)] == [100, 50]
        assert hll.retention([a], [b])[0].periods[0].rate.holds(0.5)
        assert hll.monitor(a + b"m").track(a, exact=100).level == "ok"
        cube = hll.cube(b"cube" + a)
        cube.create(tiers=[("1d", "400d")])
        assert cube.add_many([(n, BEGIN) for n in range(500)], fields=()).counted == 500
        cube.store(b"stored" + a)
        assert hll.count(b"stored" + a) == pytest.approx(500, abs=2)
    with hll.pipeline() as pipeline:
        laters = [pipeline.estimate(*keys(slot)) for slot in range(6)]
        infos = [pipeline.cube(b"cube" + keys(slot)[0]).info() for slot in range(6)]
        pipeline.execute()
    assert [round(later.value.estimate) for later in laters] == [150] * 6 and infos[0].value.zone == "UTC"
    everywhere = [keys(slot)[0] for slot in range(6)]
    across = hll.cluster
    assert across.count(*everywhere) == 100 and across.estimate(*everywhere, confidence=0.9).confidence == 0.9
    assert round(across.intersect(*everywhere).estimate) == 100 and len(across.overlap(*everywhere)) == 15
    assert [round(step.users.estimate) for step in across.funnel(keys(0)[0], keys(1)[1])] == [100, 50]
    assert round(across.segment(all=everywhere[:2], none=[keys(5)[1]]).estimate) == 50
    assert across.retention(everywhere[:2], everywhere[2:])[1].periods[3].rate.holds(1)
    assert round(across.campaign(*everywhere[:3], cost=1).unique_clicks.estimate) == 100
    across.merge("all", *everywhere)
    with hll.pipeline() as pipeline:
        later = pipeline.cluster.count("all", *everywhere)
        pipeline.execute()
    assert later.value == 100
    with pytest.raises(CrossSlot):
        hll.count(keys(0)[0], keys(1)[0])
    with pytest.raises(CrossSlot):
        hll.merge(keys(0)[0], keys(1)[0])


async def test_awaited(nodes, library):
    cluster = client(library, nodes.port, "Async")
    try:
        hll = AsyncHLL(cluster, strict=True)
        for slot in range(6):
            a, b = keys(slot)
            await hll.add_many(a, range(100))
            await hll.add(b, *range(50, 150))
            assert (await hll.estimate(a, b)).estimate == pytest.approx(150, abs=0.01)
        assert await hll.cluster.count(*[keys(slot)[0] for slot in range(6)]) == 100
        async with hll.pipeline() as pipeline:
            laters = [pipeline.intersect(*keys(slot)) for slot in range(6)]
            await pipeline.execute()
        assert [round(later.value.estimate) for later in laters] == [50] * 6
        with pytest.raises(HLLError, match="do not work on a cluster"):
            hll.pipeline(transaction=True)
        with pytest.raises(CrossSlot):
            await hll.count(keys(0)[0], keys(1)[0])
    finally:
        await cluster.aclose()
