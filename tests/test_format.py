"""The stored format is what docs/format.md says: a reader built from that page alone reads all that the module writes,
what is built from it alone is read by the module, and nothing else is."""

import re
from pathlib import Path

import pytest

import reference
from conftest import ROOT
from helpers import COMPRESSIONS, KINDS, OURS, add, elements, make, refused
from reference import CHANGES, SKETCH, frame

PAGE = (Path(ROOT) / "docs" / "format.md").read_text(encoding="utf-8")


def drawn_frames():
    """The frames that the page draws, byte by byte: in a block the pairs of hexadecimal digits at the beginning of lines."""
    frames = []
    for block in re.findall(r"^```text\n(.*?)^```", PAGE, re.S | re.M):
        rows = re.findall(r"^ {3}((?:[0-9a-f]{2}(?: +|$))+)", block, re.M)
        if data := bytes.fromhex("".join(rows)):
            frames.append(data)
    return frames


def test_the_frames_that_the_page_draws_are_those_that_the_module_writes(one_server):
    c = one_server.c
    c("HLL.CREATE", "v", "HASH", "REDIS", "PRECISION", 14)
    c("HLL.ADD", "v", "a", "b", "c")
    c("HLL.ADD", "one", "a")
    c("HLL.CREATE", "tiny", "PRECISION", 4)
    c("HLL.ADD", "tiny", "a", "b", "c", "d")
    two = reference.changes(reference.token(h) for h in reference.hashes(["b", "c"]))
    assert drawn_frames() == [c("HLL.EXPORT", key) for key in ("v", "one", "tiny")] + [two]
    assert c("HLL.REPLAY", "one", two) == "OK"
    assert c("HLL.COUNT", "one") == 3


@pytest.mark.parametrize("precision", [4, 10, 13])
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_export_is_read_by_the_page_alone(one_server, kind, compression, precision):
    one_server.set("hll.rdb-compression", compression)
    c = one_server.c
    items = elements(0, make(c, "k", kind, precision))
    read = reference.read_sketch(c("HLL.EXPORT", "k"))
    assert (read.precision, read.family, read.seed) == (precision, "xxh3", 0)
    if kind in ("empty", "sparse"):
        assert read.tokens == sorted(reference.tokens(items))
    else:
        assert read.registers == bytes(r.stored() for r in reference.dense(items, precision).registers)
        assert read.origin == {"hip": "added", "ml": "merged"}[kind]
        # 16 registers do not become smaller.
        assert read.coding == (compression if precision > 4 else "none")
    assert read.count() == c("HLL.COUNT", "k")


def test_every_hash_family_and_a_plain_sketch_are_read_by_the_page_alone(one_server):
    c = one_server.c
    for family in reference.FAMILIES:
        for n in (0, 100, 20_000):
            c("HLL.CREATE", f"{family}:{n}", "HASH", family, "PRECISION", 14)
            add(c, f"{family}:{n}", elements(0, n))
            read = reference.read_sketch(c("HLL.EXPORT", f"{family}:{n}"))
            assert (read.precision, read.family, read.seed) == (14, family, 0)
            assert read.count() == c("HLL.COUNT", f"{family}:{n}")
    plain = c("HLL.EXPORT", "redis:20000", "FORMAT", "REDIS")
    c("HLL.IMPORT", "plain", "FORMAT", "REDIS", plain)
    read, full = (reference.read_sketch(c("HLL.EXPORT", key)) for key in ("plain", "redis:20000"))
    assert read.origin == "plain"
    assert read.registers == bytes(byte & ~3 for byte in full.registers)
    assert read.count() == c("HLL.COUNT", "plain")


@pytest.mark.parametrize("precision", [4, 7, 10])
def test_registers_without_history_count_as_the_page_says(one_server, precision):
    """At few registers, where the divisor is more than a rounding."""
    c = one_server.c
    c("HLL.CREATE", "k", "HASH", "DATASKETCHES", "PRECISION", precision)
    add(c, "k", elements(0, 20_000))
    c("HLL.IMPORT", "plain", "FORMAT", "DATASKETCHES", c("HLL.EXPORT", "k", "FORMAT", "DATASKETCHES"))
    read = reference.read_sketch(c("HLL.EXPORT", "plain"))
    assert (read.precision, read.origin) == (precision, "plain")
    assert read.count() == c("HLL.COUNT", "plain")


def test_a_seed_is_written(start, newest):
    for seed in (1, 250, 251, 2**16, 2**32, 2**63 - 1):
        server = start(newest, module_args=["hash-seed", str(seed)])
        server.c("HLL.ADD", "k", "a", "b")
        read = reference.read_sketch(server.c("HLL.EXPORT", "k"))
        assert read.seed == seed
        assert read.tokens == sorted(reference.tokens(["a", "b"], seed))
        server.stop()


def test_what_is_made_from_the_page_alone_is_read(one_server):
    c = one_server.c
    items = elements(0, 3_000)
    dense = reference.dense(items, 10)
    body = bytes([10, 0, 0, 1, 0, 1]) + bytes(r.stored() for r in dense.registers)
    assert c("HLL.IMPORT", "k", "FORMAT", "NATIVE", frame(SKETCH, body)) == "OK"
    assert c("HLL.COUNT", "k") == round(dense.ml())
    add(c, "added", items)
    c("HLL.CREATE", "empty", "PRECISION", 10)
    c("HLL.MERGE", "empty", "added")
    assert reference.read_sketch(c("HLL.EXPORT", "empty")).registers == body[6:]


@pytest.mark.parametrize("kind", ["sparse", "hip"])
def test_a_frame_that_is_not_the_wanted_one_is_named(client, kind):
    make(client, "k", kind, 8)
    payload = client("HLL.EXPORT", "k")
    body = reference.body_of(payload, SKETCH)
    damaged = "^ERR HLL: payload is damaged or not a sketch, give the bytes of HLL.EXPORT unchanged$"
    for wrong, match in [
        (frame(SKETCH, body, version=2), "^ERR HLL: payload is of format version 2, this module reads version 1$"),
        (frame(CHANGES, body), "^ERR HLL: payload is a list of changes, not a sketch, give "),
        (frame(77, body), "^ERR HLL: payload is of the unknown kind 77, give "),
        (payload + b"x", "^ERR HLL: payload has a byte behind its end, give "),
        (payload * 2, f"^ERR HLL: payload has {len(payload)} bytes behind its end, give "),
        (frame(SKETCH, body[:3]), "^ERR HLL: payload has an impossible header, give "),
        (frame(SKETCH, b"\x13" + body[1:]), "^ERR HLL: payload has an impossible precision, give "),
        (payload[:-1], damaged),
        (b"", damaged),
        # Lengths that lie in both directions, the checksum being right for them.
        *((frame(SKETCH, body, length=lie), damaged) for lie in (0, len(body) - 1, len(body) + 1, len(body) + 4, 2**32, 2**63, 2**64 - 1)),
        # The right length in another form than the shortest.
        (_sealed(bytes([SKETCH, 1, 252]) + len(body).to_bytes(4, "little") + body), damaged),
    ]:
        for tail in ([], ["REPLACE"], ["MERGE"]):
            refused(client, "HLL.IMPORT", "k" if tail else "new", "FORMAT", "NATIVE", wrong, *tail, match=match)
        with pytest.raises(reference.NotStored):
            reference.read_sketch(wrong)


def _sealed(content):
    return content + reference.checksum(content)


def test_replayed_content_is_a_frame_of_either_kind(one_server):
    c = one_server.c
    c("HLL.CREATE", "k")
    token = reference.token(reference.hashes(["a"])[0])
    assert reference.read_changes(reference.changes([token])) == [token]
    for wrong in [reference.changes([]), reference.changes([39]), reference.changes([token])[:-1], reference.changes([token]) + b"x",
                  frame(CHANGES, b"abc"), frame(77, b"abcd"), frame(SKETCH, b""), token.to_bytes(4, "little"), b""]:
        refused(c, "HLL.REPLAY", "k", wrong, match="^ERR HLL: content is not what this module propagates")
        with pytest.raises(reference.NotStored):
            reference.read_changes(wrong)
    for kind in (CHANGES, SKETCH):
        refused(c, "HLL.REPLAY", "k", frame(kind, b"abcd", version=3), match="^ERR HLL: payload is of format version 3, .+ 1$")
    assert c("HLL.REPLAY", "k", reference.changes([token])) == "OK"
    assert c("HLL.ADD", "k", "a") == 0 and c("HLL.COUNT", "k") == 1
