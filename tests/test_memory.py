"""What a sketch costs: in memory, on disk, after it is gone, and after calls that failed."""

import os

import pytest

from helpers import COMPRESSIONS, KINDS, add, elements, info, make
from resp import ReplyError
from servers import wait_for


def used(server):
    return int(server.info(section="memory")["used_memory"])


def resident(server):
    """Resident bytes of the process as the kernel counts them: these include what C libraries allocate by themselves."""
    with open(f"/proc/{server.process.pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("n", [3_000, 100_000, 1_000_000])
def test_a_dense_key_of_the_default_precision_is_8_kib(server, n):
    c = server.c
    add(c, "k", elements(0, n), batch=10_000)
    assert info(c, "k")["encoding"] == "dense"
    assert 8192 <= c("MEMORY", "USAGE", "k") <= 8500
    assert 8192 <= info(c, "k")["memory_bytes"] <= 8500


@pytest.mark.parametrize("precision", [4, 8, 10, 12, 14, 16, 18])
def test_a_dense_key_costs_one_byte_for_each_register(server, precision):
    m = 1 << precision
    for kind in ("hip", "ml"):
        make(server.c, kind, kind, precision)
        assert m <= server.c("MEMORY", "USAGE", kind) <= m + 320


@pytest.mark.parametrize("kind", ["hip", "ml"])
def test_a_dump_of_the_default_precision_is_4700_bytes(server, kind):
    c = server.c
    for n in (100_000, 400_000):
        c("FLUSHALL")
        add(c, "k", elements(0, n), batch=10_000)
        if kind == "ml":
            add(c, "other", elements(n // 2, n + 100), batch=10_000)
            c("HLL.MERGE", "k", "other")
        assert info(c, "k")["estimator"] == kind
        assert len(c("DUMP", "k")) <= 4700
        assert len(c("HLL.EXPORT", "k")) <= 4700


# (elements, most bytes in memory, most bytes of a DUMP). PF keys: 96, 144, 560, 3632 in memory.
@pytest.mark.parametrize("n, memory, dump", [(0, 200, 60), (1, 200, 64), (10, 300, 100), (100, 1000, 400), (1000, 8500, 3300), (2047, 16_700, 6600)])
def test_a_small_key_is_small(server, n, memory, dump):
    c = server.c
    c("HLL.CREATE", "k")
    add(c, "k", elements(0, n))
    assert info(c, "k")["encoding"] == "sparse"
    assert c("MEMORY", "USAGE", "k") <= memory
    assert len(c("DUMP", "k")) <= dump
    described = info(c, "k")
    assert described["memory_bytes"] <= c("MEMORY", "USAGE", "k")
    assert described["serialized_bytes"] == len(c("HLL.EXPORT", "k"))


def test_memory_usage_tells_what_the_server_really_spends(start, server_name):
    """500 keys of each kind: the server's own total agrees with the sum over the keys. On a server of its own, as others
    may still be giving back buffers of earlier clients."""
    server = start(server_name)
    c = server.c
    for kind in ("sparse", "hip"):
        c("FLUSHALL")
        make(c, "k", kind, 12)
        payload = c("DUMP", "k")

        def spends_what_it_claims():
            c("DEL", *[f"k{i}" for i in range(500)])
            before = used(server)
            c.pipe(("RESTORE", f"k{i}", 0, payload) for i in range(500))
            spent, claimed = used(server) - before, sum(c.pipe(("MEMORY", "USAGE", f"k{i}") for i in range(500)))
            # The dictionary's table and the allocator's rounding come on top, and size classes are up to a quarter apart.
            return 0.75 * claimed < spent < 1.25 * claimed + 50_000

        # The server gives a megabyte of buffers back whenever it finds the time, which may be between the two readings.
        wait_for("a reading without buffers coming or going", spends_what_it_claims, seconds=10, every=0.3)


def test_memory_returns_after_deletion(server):
    c = server.c
    make(c, "hip", "hip", 13)
    make(c, "sparse", "sparse", 13)
    payloads = [c("DUMP", "hip"), c("DUMP", "sparse")]
    c("DEL", "hip", "sparse")
    before = used(server)
    for _ in range(2):
        c.pipe(("RESTORE", f"k{i}", 0, payloads[i % 2]) for i in range(1000))
        assert used(server) > before + 5_000_000
        c("DEL", *[f"k{i}" for i in range(1000)])
        wait_for("the memory to return", lambda: used(server) < before + 200_000)


def rounds(client, payload, broken):
    """One round of everything: 12 commands, some of them refused."""
    return [("HLL.ADD", "a", "1", "2", "3"), ("HLL.CREATE", "b", "PRECISION", 14), ("HLL.CREATE", "b"), ("HLL.MERGE", "b", "dense", "a"),
            ("HLL.MERGE", "c", "dense"), ("HLL.COUNT", "a", "b", "dense"), ("HLL.ESTIMATE", 2, "dense", "c"), ("HLL.INFO", "dense"),
            ("HLL.EXPORT", "dense"), ("HLL.IMPORT", "d", "FORMAT", "NATIVE", payload), ("HLL.IMPORT", "a", "FORMAT", "NATIVE", payload, "MERGE"),
            ("HLL.IMPORT", "d", "FORMAT", "NATIVE", broken, "REPLACE"), ("HLL.ADD", "string", "x"), ("HLL.MERGE", "e", "dense", "string"),
            ("HLL.CREATE", "e", "PRECISION", 99), ("HLL.ESTIMATE", 1, "a", "CONFIDENCE", "nan"), ("HLL.INFO", "none"), ("DUMP", "dense"),
            ("COPY", "dense", "f"), ("DEL", "a", "b", "c", "d", "f")]


@pytest.mark.thorough
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_no_call_leaks_whether_it_succeeds_or_not(server, compression):
    """2,000 rounds of 20 commands. A leak of one kilobyte in any of them would be two megabytes."""
    server.set("hll.rdb-compression", compression)
    c = server.c
    make(c, "dense", "hip", 10)
    c("SET", "string", "x")
    payload = c("HLL.EXPORT", "dense")
    broken = bytearray(payload)
    broken[len(broken) // 2] ^= 1

    def run(times):
        for _ in range(times // 50):
            replies = c.pipe(command for _ in range(50) for command in rounds(c, payload, bytes(broken)))
            refusals = sum(isinstance(r, ReplyError) for r in replies)
            assert refusals == 50 * 7
            c.errors.clear()

    run(500)
    before, resident_before = used(server), resident(server)
    run(2000)
    assert used(server) < before + 300_000
    assert resident(server) < resident_before + 4_000_000
    assert c("DBSIZE") == 2


def test_a_large_call_gives_its_memory_back(server):
    c = server.c
    c("HLL.ADD", "k", "a")
    c("HLL.ADD", "k", *elements(0, 100_000))
    before = used(server)
    for i in range(5):
        c("HLL.ADD", "k", *elements(0, 100_000))
        c("HLL.COUNT", *[f"none{i}" for i in range(10_000)], "k")
    c.close()
    server.clients.remove(c)  # its buffers are the server's, not ours
    wait_for("the memory of large calls", lambda: used(server) < before + 1_000_000)


def test_many_sparse_keys_merge_in_bounded_memory(server):
    c = server.c
    c.pipe(("HLL.ADD", f"k{i}", *elements(i * 10, i * 10 + 20)) for i in range(3000))
    before = used(server)
    assert abs(c("HLL.COUNT", *[f"k{i}" for i in range(3000)]) - 30_010) < 5 * 0.0085 * 30_010
    c("HLL.MERGE", "m", *[f"k{i}" for i in range(3000)])
    assert used(server) < before + 1_000_000
    for kind in KINDS:
        make(c, kind, kind, 10)


def test_a_cube_says_what_it_takes(server):
    """Within five percent of what the server counts, whether its allocator has classes of sizes or not."""
    c = server.c
    c("HLL.CUBE.CREATE", "shop", "TIER", "1h", "48h", "TIER", "1d", "90d", "DIMENSION", "page", "VALUES", 2_000, "DIMENSION", "device")
    before = used(server) - c("MEMORY", "USAGE", "shop")
    start, hour = 1_764_000_000_000, 3_600_000
    for at in range(60 * 24):  # one command for each half hour of thirty days
        rows = [word for i in range(100)
                for word in (start + at * hour // 2, f"user:{at * 7919 * i % 50_000}", f"/page/{(at + i) * i % 2_000}", f"device-{i % 4}")]
        c("HLL.CUBE.MADD", "shop", "FIELDS", 2, "page", "device", "ROWS", *rows)
    assert 0.95 < c("MEMORY", "USAGE", "shop") / (used(server) - before) < 1.05
