"""HLL sketches of Apache DataSketches come in and go out: the same registers, coupons and unions as their own library has.

The truth is the Python package of Apache DataSketches (the C++ library), with the same strings.
"""

import base64
import math

import numpy as np
import pytest
from datasketches import hll_sketch, hll_union, tgt_hll_type

from foreign import TYPES, apache, as_hll_8, coupons, hll_registers
from helpers import OURS, add, digest, elements, info, refused
from setcommands import ask, holds
from test_replication import MASTER, assert_same, attach

SPARSE = [0, 1, 7, 8, 24, 25, 300]


def count(rng, most=5):
    return int(10 ** rng.uniform(0, most))


def ours(c, key, items, lg_k):
    c("DEL", key)
    c("HLL.CREATE", key, "HASH", "DATASKETCHES", "PRECISION", lg_k)
    if items:
        add(c, key, items)
    return c("HLL.EXPORT", key, "FORMAT", "DATASKETCHES")


def imported(c, key, payload):
    """Its export, after an import."""
    assert c("HLL.IMPORT", key, "FORMAT", "DATASKETCHES", payload, "REPLACE") == "OK"
    return c("HLL.EXPORT", key, "FORMAT", "DATASKETCHES")


def assert_same_content(a, b, label):
    """Two Apache sketches: the same registers, and where both still have coupons, the same coupons."""
    if coupons(a) is not None and coupons(b) is not None:
        assert np.array_equal(coupons(a), coupons(b)), label
    assert np.array_equal(hll_registers(a), hll_registers(b)), label


@pytest.mark.thorough
@pytest.mark.parametrize("lg_k", range(4, 19))
def test_adding_here_and_there_makes_the_same_sketch(one_server, rng, lg_k):
    """Every lgK, every type, both serialisations, list, set and registers; out and in again."""
    c = one_server.c
    for n in [*SPARSE, 2 << lg_k if lg_k < 16 else 1 << lg_k, count(rng)]:
        items = elements(0, n, f"{rng.random()}")
        mine = ours(c, "ours", items, lg_k)
        for kind in TYPES:
            theirs = apache(items, lg_k, kind)
            expected = as_hll_8(theirs)
            label = (lg_k, n, kind)
            assert_same_content(mine, expected, label)
            for payload in (theirs.serialize_compact(), theirs.serialize_updatable()):
                assert_same_content(imported(c, "theirs", payload), expected, label)
            described = info(c, "theirs")
            assert (described["hash"], described["precision"]) == ("datasketches", lg_k)
        # What we write is read there, and estimated from the registers, as a union is there: one of twice the same.
        read = hll_sketch.deserialize(mine)
        assert (read.lg_config_k, read.is_empty()) == (lg_k, n == 0)
        if (coupons(mine) is None) == (coupons(expected) is None):
            union = hll_union(lg_k)
            union.update(theirs)
            union.update(theirs)
            assert math.isclose(read.get_estimate(), union.get_estimate(), rel_tol=1e-12), label
        bounds = read.get_lower_bound(2), read.get_upper_bound(2)
        assert bounds[0] <= read.get_estimate() <= bounds[1]


@pytest.mark.thorough
@pytest.mark.parametrize("lg_k", [19, 20, 21])
def test_finer_sketches_are_folded_to_18(one_server, rng, lg_k):
    c = one_server.c
    for n in (0, 5, 1000, 300_000):
        items = elements(0, n, f"{rng.random()}")
        expected = hll_registers(ours(c, "ours", items, 18))
        for kind in TYPES:
            theirs = apache(items, lg_k, kind)
            assert np.array_equal(hll_registers(as_hll_8(theirs), 18), expected)
            for payload in (theirs.serialize_compact(), theirs.serialize_updatable()):
                assert np.array_equal(hll_registers(imported(c, "theirs", payload)), expected)
                assert info(c, "theirs")["precision"] == 18


def test_on_every_server(client, rng):
    for _ in range(6):
        lg_k, items = rng.randrange(4, 15), elements(0, count(rng, 4), f"{rng.random()}")
        theirs = apache(items, lg_k, rng.choice(TYPES))
        mine = ours(client, "ours", items, lg_k)
        assert_same_content(mine, as_hll_8(theirs), (lg_k, len(items)))
        assert_same_content(imported(client, "theirs", theirs.serialize_compact()), mine, (lg_k, len(items)))


@pytest.mark.parametrize("sizes", [[4], [8], [10], [12], [8, 10, 12]], ids=str)
def test_a_union_is_the_same_in_either_tool(one_server, rng, sizes):
    """Of two to five sketches of all types and numbers of elements. Of different lgK, the truth are the highest registers, folded:
    a union of the C++ library 5.2.0 that has to come down to a smaller lgK can forget what it had."""
    c = one_server.c
    for trial in range(12):
        parts, contents = [], []
        for _ in range(rng.randrange(2, 6)):
            first = rng.randrange(20_000)
            contents.append(elements(first, first + count(rng, 4.3), f"{trial}:"))
            parts.append(apache(contents[-1], rng.choice(sizes), rng.choice(TYPES)))
        names = [f"part{i}" for i in range(len(parts))]
        exports = [imported(c, name, part.serialize_compact()) for name, part in zip(names, parts)]
        c("DEL", "union")
        c("HLL.MERGE", "union", *names)
        mine = c("HLL.EXPORT", "union", "FORMAT", "DATASKETCHES")
        # Lists of coupons serve every lgK, and lower nobody's.
        dense = [part.lg_config_k for name, part in zip(names, parts) if info(c, name)["encoding"] == "dense"]
        smallest = min(dense) if dense else max(part.lg_config_k for part in parts)
        assert mine[3] == smallest
        finer = [part if part.lg_config_k >= smallest else apache(content, smallest, TYPES[0]) for part, content in zip(parts, contents)]
        highest = np.maximum.reduce([hll_registers(as_hll_8(part), smallest) for part in finer])
        assert np.array_equal(hll_registers(mine), highest), trial
        if len(sizes) == 1:
            # Their union of their sketches, and of our exports of them.
            for inputs in (parts, [hll_sketch.deserialize(export) for export in exports]):
                union = hll_union(smallest)
                for sketch in inputs:
                    union.update(sketch)
                theirs = union.get_result(tgt_hll_type.HLL_8).serialize_compact()
                assert_same_content(theirs, mine, trial)


def test_an_imported_sketch_takes_elements_as_apache_does(client, rng):
    """HLL.ADD onto an import is update onto the original."""
    for n, more in ((5, 3), (20, 20), (3000, 500)):
        theirs = apache(elements(0, n), 11)
        imported(client, "k", theirs.serialize_compact())
        known = elements(0, n)
        assert client("HLL.ADD", "k", *known) == 0
        for item in elements(n, n + more):
            theirs.update(item)
        client("HLL.ADD", "k", *elements(n, n + more))
        assert_same_content(client("HLL.EXPORT", "k", "FORMAT", "DATASKETCHES"), as_hll_8(theirs), n)


def test_the_empty_string_is_no_element_as_with_apache(client):
    client("HLL.CREATE", "k", "HASH", "DATASKETCHES")
    assert client("HLL.ADD", "k", "") == 0
    assert client("HLL.ADD", "k", "", "a") == 1
    assert client("HLL.COUNT", "k") == 1
    theirs = apache(["", "a"], 13)
    assert_same_content(client("HLL.EXPORT", "k", "FORMAT", "DATASKETCHES"), as_hll_8(theirs), "empty string")


def test_numbers_are_sent_as_the_bytes_that_apache_hashes(client):
    """Integers as 8 bytes, low one first, doubles the same with one zero and one NaN, as hll.add.md tells."""
    numbers = [0, 1, -1, 42, 2**40, -(2**63), 2**63 - 1]
    doubles = [0.0, 1.0, -2.5, 1e300, math.inf]
    theirs = hll_sketch(12)
    for number in numbers + doubles:
        theirs.update(number)
    client("HLL.CREATE", "k", "HASH", "DATASKETCHES", "PRECISION", 12)
    client("HLL.ADD", "k", *[number.to_bytes(8, "little", signed=True) for number in numbers])
    client("HLL.ADD", "k", *[np.float64(number).tobytes() for number in doubles])
    assert_same_content(client("HLL.EXPORT", "k", "FORMAT", "DATASKETCHES"), as_hll_8(theirs), "numbers")


def test_imported_estimates_come_from_the_registers(client):
    """The running estimate and the sums in the preamble are not believed."""
    theirs = apache(elements(0, 30_000), 12, tgt_hll_type.HLL_8).serialize_compact()
    imported(client, "k", theirs)
    counted = client("HLL.COUNT", "k")
    assert abs(counted - 30_000) < 5 * 0.0162 * 30_000 and info(client, "k")["estimator"] == "ml"
    forged = theirs[:8] + np.array([1e18, -5.0, math.nan]).tobytes() + theirs[32:]
    imported(client, "k", forged)
    assert client("HLL.COUNT", "k") == counted
    exported = client("HLL.EXPORT", "k", "FORMAT", "DATASKETCHES")
    assert exported[5] & 0x10 and exported[8:16] == bytes(8)  # out of order, no running estimate
    values = np.frombuffer(exported[40:], np.uint8).astype(float)
    kxq0, kxq1 = np.frombuffer(exported[16:32], np.float64)
    assert (kxq0, kxq1) == (float(np.sum(2.0 ** -values)), 0.0)
    assert int.from_bytes(exported[32:36], "little") == int(np.sum(values == 0))


def test_a_funnel_of_imported_sketches(client):
    """Sketches of a batch job in a question that their own library does not answer."""
    for name, items in {"look": elements(0, 30_000), "cart": elements(22_000, 32_000), "pay": elements(29_000, 33_000)}.items():
        imported(client, name, apache(items, 14).serialize_compact())
    rows = ask(client, "HLL.FUNNEL", 3, "look", "cart", "pay", "CONFIDENCE", "0.9999")
    for row, truth in zip(rows, (30_000, 8_000, 1_000)):
        assert holds(row, "users", truth) and abs(row["users"] - truth) < 0.5 * truth


@pytest.mark.parametrize("format", ["NATIVE", "REDIS", "DATASKETCHES"])
def test_base64_is_the_same_payload_as_text(client, format):
    client("HLL.CREATE", "k", "HASH", "DATASKETCHES" if format == "DATASKETCHES" else "REDIS", "PRECISION", 14)
    add(client, "k", elements(0, 5000))
    payload = client("HLL.EXPORT", "k", "FORMAT", format)
    text = client("HLL.EXPORT", "k", "BASE64", "FORMAT", format)
    assert text == base64.b64encode(payload) == client("HLL.EXPORT", "k", "format", format, "base64")
    wrapped = b"\n".join(text[i:i + 76] for i in range(0, len(text), 76))
    for form in (text, text.rstrip(b"="), wrapped, base64.encodebytes(payload), wrapped.replace(b"\n", b"\r\n")):
        client("DEL", "copy")
        assert client("HLL.IMPORT", "copy", "FORMAT", format, form, "BASE64", "MERGE") == "OK"
        assert client("HLL.EXPORT", "copy", "FORMAT", format) == payload
    before = digest(client, "copy")
    assert client("HLL.IMPORT", "copy", "FORMAT", format, text, "MERGE", "base64") == "OK"
    assert digest(client, "copy") == before
    refused(client, "HLL.IMPORT", "new", "FORMAT", format, payload, "BASE64", match=OURS)
    refused(client, "HLL.IMPORT", "new", "FORMAT", format, text, match=OURS)
    refused(client, "HLL.IMPORT", "new", "FORMAT", format, text, "BASE64", "BASE64", match=OURS)
    refused(client, "HLL.EXPORT", "k", "BASE64", "BASE64", match=OURS)


def test_replicas_end_with_the_same_bytes(start, server_name, rng):
    """Imports of all formats, plain and as text, over keys and into them; merges of PF keys; keys of every family."""
    master = start(server_name, {**MASTER, "hll.default-hash": "redis"})
    replica = start(server_name, {"hll.default-hash": "datasketches", "hll.max-memory-per-key": "10"})
    attach(replica, master)
    c = master.c
    c("PFADD", "pf:a", *elements(0, 50))
    c("PFADD", "pf:b", *elements(20, 5000))
    c("HLL.ADD", "added", "x")
    c("HLL.MERGE", "merged", "pf:a", "pf:b")
    c("HLL.MERGE", "added", "pf:a")
    c("HLL.ADD", "merged", *elements(4000, 6000))
    c("HLL.IMPORT", "pf:import", "FORMAT", "REDIS", c("GET", "pf:b"))
    c("HLL.IMPORT", "merged", "FORMAT", "REDIS", c("HLL.EXPORT", "pf:b", "FORMAT", "REDIS", "BASE64"), "BASE64", "MERGE")
    for i, n in enumerate((5, 300, 40_000)):
        sketch = apache(elements(0, n, f"{rng.random()}"), 12, TYPES[i])
        c("HLL.IMPORT", f"ds:{i}", "FORMAT", "DATASKETCHES", sketch.serialize_updatable())
        c("HLL.IMPORT", "ds:all", "FORMAT", "DATASKETCHES", base64.b64encode(sketch.serialize_compact()), "BASE64", "MERGE")
        c("HLL.ADD", f"ds:{i}", *elements(0, 10))
    assert_same(master, replica)


@pytest.mark.parametrize("payload", [
    b"", b"\x02\x01\x07\x0c\x03\x0c\x00", b"\x02\x02\x07\x0c\x03\x0c\x00\x08", b"\x02\x01\x03\x0c\x03\x0c\x00\x08",
    b"\x02\x01\x07\x03\x03\x0c\x00\x08", b"\x02\x01\x07\x16\x03\x0c\x00\x08", b"\x03\x01\x07\x0c\x03\x0c\x00\x08",
    b"\x02\x01\x07\x0c\x03\x08\x01\x08", b"\x02\x01\x07\x0c\x03\x08\x01\x08\x00\x00\x00\x00", b"\x02\x01\x07\x0c\x03\x08\x01\x0c\x01\x00\x00\x04",
    b"\x02\x01\x07\x0c\x03\x0c\x01\x08\x01\x00\x00\x04", b"\x02\x01\x07\x0c\xff\x00\x00\x08", b"\x02\x01\x07\x0c\x03\x0c\x00\x08\x00",
    b"\x0a\x01\x07\x04\x00\x08\x00\x0a" + bytes(31), b"\x0a\x01\x07\x04\x00\x08\x00\x0a" + bytes(32 + 15),
    b"\x0a\x01\x07\x04\x00\x08\x00\x0a" + bytes(32) + b"\x40" * 16, b"\x0a\x01\x07\x04\x00\x08\x3c\x02" + bytes(32) + b"\x0e" * 8,
    b"\x0a\x01\x07\x04\x00\x08\x00\x02" + bytes(32) + b"\x0f" * 8, b"\x03\x01\x07\x0c\x05\x08\x00\x09\xff\xff\xff\xff",
], ids=["nothing", "seven bytes", "version 2", "another family", "lgK 3", "lgK 22", "ints of another mode", "a missing coupon", "coupon 0",
        "type 3", "empty with a coupon", "a table of 2^255", "a byte too many", "cut preamble", "a register short", "register 64",
        "curMin too high", "exceptions missing", "four billion coupons"])
def test_what_is_no_sketch_is_refused(client, payload):
    client("HLL.CREATE", "k", "HASH", "DATASKETCHES")
    for tail in ([], ["MERGE"], ["REPLACE"]):
        refused(client, "HLL.IMPORT", "k" if tail else "new", "FORMAT", "DATASKETCHES", payload, *tail, match=OURS)
